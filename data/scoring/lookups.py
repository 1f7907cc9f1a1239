"""What a fine-tune must beat: answers straight from the catalogue or the training answers, and what an
untuned model is given to read.

Which text is most like another is told by a function from outside: ``nearest(documents, queries) -> places``.
"""

from collections.abc import Callable
from dataclasses import dataclass

import polars as pl

from data.questions.follow_ups import whole_question
from data.questions.phrases import CONTEXT
from data.scoring.rules import rule_answers

Nearest = Callable[[list[str], list[str]], list[int]]
AskBase = Callable[[pl.DataFrame, str], list[str | None]]

LOOKUPS = ("same-product", "exact", "tfidf", "nearest-answer", "rules")
UNTUNED = ("untuned", "untuned-row", "untuned-shots")  # the base without its adapter
BASELINES = (*LOOKUPS, *UNTUNED)

INSTRUCTION = (
    "Answer the customer in one sentence from these rows. Then write 'Product Name:' and the name of the"
    " product that you mean. If no row fits, say that you are sorry; if a row does not say what is asked, say"
    " that the catalogue does not say it."
)


@dataclass(frozen=True)
class Catalogue:
    """What baselines know: products, training questions with answers, and how many of these a prompt
    shows.
    """

    products: pl.DataFrame
    training: pl.DataFrame
    shots: int
    seed: int


def _row_answers(products: pl.DataFrame) -> pl.DataFrame:
    """id -> answer: all that the catalogue says of the product, then the block in the published format."""
    fact = pl.format("{}: {}", pl.element().struct.field("key"), pl.element().struct.field("value"))
    told = (
        pl.concat_list(pl.format("Shelf: {}", "shelf"), pl.col("facts").list.eval(fact))
        .list.drop_nulls()
        .list.join("; ")
    )
    return products.select("id", answer=pl.format("{}\n{}", told, "block"))


def _product_texts(products: pl.DataFrame) -> list[str]:
    """What is searched of each product: its name, brand, category, shelf, and facts."""
    fact = pl.concat_str(pl.element().struct.field("key"), pl.lit(" "), pl.element().struct.field("value"))
    parts = [pl.col(c).fill_null("") for c in ("name", "brand", "category", "shelf", "type")] + [
        pl.col("facts").list.eval(fact).list.join(" ")
    ]
    return products.select(text=pl.concat_str(parts, separator=" "))["text"].to_list()


def _question_texts(questions: pl.DataFrame) -> list[str]:
    """Context and question, with earlier turns, as they are searched for."""
    whole = questions.with_columns(whole=whole_question(questions))
    return whole.select(pl.concat_str("context", pl.lit(" "), "whole")).to_series().to_list()


def _nearest_products(questions: pl.DataFrame, products: pl.DataFrame, nearest: Nearest) -> pl.Series:
    """The id of the product whose row is most like each question."""
    return products["id"].gather(nearest(_product_texts(products), _question_texts(questions)))


def products_named_in(questions: pl.DataFrame, products: pl.DataFrame) -> pl.Series:
    """The id of the product with the longest name that occurs in each question, or null; of several, the
    first of the category asked in.
    """
    names = products.select("id", "category", name=pl.col("name").str.to_lowercase())
    place = questions.select(
        pl.int_range(pl.len()).alias("row"),
        category=pl.col("context").str.strip_prefix(CONTEXT),
        name=whole_question(questions)
        .str.to_lowercase()
        .str.extract_many(names["name"].unique().implode(), overlapping=True),
    )
    longest = (
        place.explode("name")
        .sort(pl.col("name").str.len_chars(), descending=True)
        .unique("row", keep="first", maintain_order=True)
    )
    found = longest.join(names, on="name", suffix="_there").with_columns(
        here=pl.col("category") == pl.col("category_there")
    )
    first = found.sort("row", "here", descending=[False, True]).unique(
        "row", keep="first", maintain_order=True
    )
    return place.select("row").join(first.select("row", "id"), on="row", how="left", maintain_order="left")[
        "id"
    ]


def lookup_answers(
    method: str, questions: pl.DataFrame, products: pl.DataFrame, training: pl.DataFrame, nearest: Nearest
) -> list[str]:
    """One answer for each question; '' where the method finds none.

    same-product: the answer that names the product most often named in training, to every question. exact:
    the row of the product whose name is in the question. tfidf: the row most like the question.
    nearest-answer: the answer to the training question most like it. rules: see `data.scoring.rules`.
    """
    if method == "rules":
        return rule_answers(questions, products)
    if method == "same-product":
        most = (
            training.drop_nulls("answer_id")
            .group_by("answer_id")
            .agg(pl.len(), pl.col("answer").first())
            .sort("len", "answer_id", descending=[True, False])
        )
        return [str(most["answer"][0])] * questions.height
    if method == "nearest-answer":
        return (
            training["answer"]
            .gather(nearest(_question_texts(training), _question_texts(questions)))
            .to_list()
        )
    ids = (
        products_named_in(questions, products)
        if method == "exact"
        else _nearest_products(questions, products, nearest)
    )
    found = pl.DataFrame({"id": ids}).join(_row_answers(products), on="id", how="left", maintain_order="left")
    return found["answer"].fill_null("").to_list()


def spread(questions: pl.DataFrame, count: int) -> pl.DataFrame:
    """``count`` of the questions, evenly over all of them; 0: all."""
    if not count or questions.height <= count:
        return questions
    return questions[[place * questions.height // count for place in range(count)]]


def baseline_answers(
    names: list[str],
    questions: pl.DataFrame,
    catalogue: Catalogue,
    nearest: Nearest,
    ask_base: AskBase | None,
) -> dict[str, list[str | None]]:
    """Baseline -> its answers: look-ups, and the untuned base alone, with the nearest row, or with training
    questions.

    Args:
        ask_base: (questions, name of the baseline) -> the untuned base's answers; None: there is none, and it
        is left out.
    """
    products, training = catalogue.products, catalogue.training
    answers: dict[str, list[str | None]] = {}
    for name in names:
        if name in LOOKUPS:
            answers[name] = [*lookup_answers(name, questions, products, training, nearest)]
            continue
        if ask_base is None:
            continue
        asked = questions
        if name == "untuned-row":
            asked = with_rows(questions, products, nearest)
        elif name == "untuned-shots":
            asked = with_shots(questions, training, catalogue.shots, catalogue.seed)
        answers[name] = ask_base(asked, name)
    return answers


def with_rows(questions: pl.DataFrame, products: pl.DataFrame, nearest: Nearest) -> pl.DataFrame:
    """The questions with the row most like each and the answer's format before them, for a model to answer
    from.
    """
    rows = pl.DataFrame({"id": _nearest_products(questions, products, nearest)}).join(
        _row_answers(products), on="id", maintain_order="left"
    )
    return questions.with_columns(
        question=pl.format(
            "From the catalogue:\n{}\n\n{}\n\n{}", pl.lit(rows["answer"]), pl.lit(INSTRUCTION), "question"
        )
    )


def with_shots(questions: pl.DataFrame, training: pl.DataFrame, shots: int, seed: int) -> pl.DataFrame:
    """The questions with ``shots`` training questions and their answers before them, the kinds of question
    in turn.
    """
    drawn = training.with_columns(order=pl.struct("product_id", "question").hash(seed)).sort("order")
    drawn = drawn.with_columns(turn=pl.int_range(pl.len()).over("kind")).sort("turn", "kind").head(shots)
    shown = "\n\n".join(
        f"Question: {question}\nAnswer: {answer}"
        for question, answer in drawn.select("question", "answer").rows()
    )
    return questions.with_columns(
        question=pl.format("{}\n\nQuestion: {}\nAnswer:", pl.lit(shown), "question")
    )
