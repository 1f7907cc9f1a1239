"""Answers from the catalogue, judged by the same rules as a model's."""

import polars as pl
import pytest

from architectures.baselines.similarity import nearest
from data.catalogue.pairing import read_pairing
from data.questions.suggestions import top_of_partition
from data.questions.templates import make_questions
from data.scoring import lookups, published, summaries, verdicts
from tests.data.scoring.test_verdicts import shop


def asked() -> tuple[pl.DataFrame, pl.DataFrame]:
    products = shop()
    questions = make_questions(products, top_of_partition(products, 2), 2, 2, 1, read_pairing("clothing"))
    return products, questions.with_columns(split=pl.lit("test"))


def accuracy(method: str, kind: str) -> float:
    products, questions = asked()
    found = lookups.lookup_answers(
        method,
        questions,
        products,
        questions.with_columns(question=pl.lit("Q: ") + pl.col("question")),
        nearest,
    )
    rows = verdicts.judge(questions.with_columns(prediction=pl.Series(found)), products)
    return float(rows.filter(pl.col("kind") == kind).select(summaries.RIGHT.mean()).item())


def test_the_row_of_the_product_named_answers_questions_about_it() -> None:
    assert accuracy("exact", "attribute") >= 0.75  # two products share a name; their rows differ
    assert accuracy("exact", "alternative") == 0


def test_no_name_in_the_question_is_no_answer() -> None:
    products, questions = asked()
    nothing = questions.head(1).with_columns(question=pl.lit("Do you have gloves?"))
    assert lookups.lookup_answers("exact", nothing, products, questions, nearest) == [""]


def test_the_longest_name_counts_and_of_several_the_one_of_the_category_asked_in() -> None:
    products, questions = asked()
    mens = questions.head(1).with_columns(
        question=pl.lit("Is the LU TOP warm?"), context=pl.lit("Online shopping for Men's Clothing")
    )
    assert lookups.products_named_in(mens, products).to_list() == ["4"]
    longer = mens.with_columns(question=pl.lit("Is the Lu Top (M) [a|b]: x warm?"))
    assert lookups.products_named_in(longer, products).to_list() == ["3"]


def test_the_most_similar_row_and_answer() -> None:
    assert accuracy("tfidf", "search") == 1
    assert accuracy("nearest-answer", "attribute") == 1  # its training questions are the questions themselves


def test_one_product_for_everything() -> None:
    products, questions = asked()
    found = lookups.lookup_answers("same-product", questions, products, questions, nearest)
    assert len(set(found)) == 1
    legacy = published.published_scores(pl.Series(found), questions["answer"])
    assert legacy["accuracy"] == 1.0  # what the published figure is worth
    rows = verdicts.judge(questions.with_columns(prediction=pl.Series(found)), products)
    assert rows.select(summaries.RIGHT.mean()).item() < 0.5


@pytest.mark.parametrize("shots", [1, 3])
def test_an_untuned_model_is_given_rows_or_examples_to_read(shots: int) -> None:
    products, questions = asked()
    given = lookups.with_rows(questions, products, nearest)
    assert given["question"].str.starts_with("From the catalogue:\n").all()
    assert given["question"].str.ends_with(questions["question"]).all()
    assert (
        given["question"].str.contains("write 'Product Name:'", literal=True).all()
    )  # it is told the format
    shown = lookups.with_shots(questions, questions, shots, 0)["question"]
    assert shown.str.count_matches("Answer: ").to_list() == [shots] * questions.height
    assert shown.str.ends_with(
        pl.select(pl.format("Question: {}\nAnswer:", questions["question"])).to_series()
    ).all()
