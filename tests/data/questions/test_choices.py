"""Questions with which a shopper chooses (comparisons, budgets) and goes on (a second turn)."""

from typing import Any

import polars as pl
import pytest

from data.catalogue.cells import first_number
from data.catalogue.cleaning import CatalogueFilter
from data.questions.further_kinds import yes_no_questions
from data.questions.intents import price_order, without_budget
from data.questions.phrases import PRICE_LIMIT
from data.scoring.verdicts import RIGHT_VERDICTS, judge
from tests.catalogues import clean, questions_of
from tests.conftest import ROOT
from tests.data.catalogue.test_cleaning import DEPARTMENTS, FULL


@pytest.fixture(scope="module")
def priced() -> tuple[pl.DataFrame, pl.DataFrame, pl.Series]:
    columns = FULL | {"price": "discounted_price"}
    rule = CatalogueFilter("Clothing", DEPARTMENTS, 10, False)
    cleaned = clean(ROOT / "data/sample/catalogue.csv", columns, [], rule)
    return questions_of(cleaned.products, wording="shoppers", attribute_questions=1)


def test_every_answer_is_judged_right(priced: Any) -> None:
    products, questions, _ = priced
    judged = judge(questions.with_columns(prediction="answer"), products)
    assert judged.filter(~pl.col("verdict").is_in(RIGHT_VERDICTS)).is_empty()
    assert judged.filter(pl.col("kind") == "budget").height > 100


def test_a_budget_is_above_the_price_and_read_from_every_wording(priced: Any) -> None:
    products, questions, _ = priced
    price = pl.col("facts").list.eval(
        pl.element().struct.field("value").filter(pl.element().struct.field("key") == "Price")
    )
    prices = products.select(product_id="id", price=first_number(price.list.first()))
    rows = questions.filter(pl.col("kind") == "budget").join(prices, on="product_id")
    limit = pl.col("conditions").list.last().struct.field("value").cast(pl.Float64)
    assert rows.filter(pl.col("price") > limit).is_empty()
    assert set(rows["conditions"].list.last().struct.field("key")) == {PRICE_LIMIT}
    read, asked = 0, rows.filter(pl.col("question").str.contains(r"\d"))
    for question, wanted in asked.select("question", limit).rows():
        read += without_budget(question.lower())[1].most == wanted
    assert read > 0.95 * asked.height  # the others have a typing error where the budget stands
    for_cheapest = rows.filter(~pl.col("question").str.contains(r"\d"))
    ordered = [price_order(question.lower()) for question in for_cheapest["question"]]
    assert ordered.count(1) > 0.95 * for_cheapest.height > 0


def test_comparisons_pair_products_of_one_shelf_and_one_side_of_the_split(priced: Any) -> None:
    products, questions, unseen = priced
    rows = questions.filter(pl.col("kind") == "comparison")
    assert rows.height > 100
    shelf = products.select("id", "shelf", "category")
    both = rows.join(shelf, left_on="product_id", right_on="id")
    both = both.join(shelf, left_on="answer_id", right_on="id", suffix="_other")
    assert (both["shelf"] == both["shelf_other"]).all()
    assert (both["category"] == both["category_other"]).all()
    one, other = (rows[name].is_in(unseen.implode()) for name in ("product_id", "answer_id"))
    assert (one == other).all()
    assert (one == (rows["split"] == "unseen")).all()


def test_a_second_turn_names_no_product_and_asks_for_something_else(priced: Any) -> None:
    rows = priced[1].filter(pl.col("kind") == "follow_up")
    names = priced[0].select(product_id="id", name="name")
    rows = rows.join(names, on="product_id")
    assert rows.height > 100
    assert set(priced[1].filter(pl.col("earlier").is_not_null())["kind"]) == {"follow_up"}
    for question, answer, name, earlier in rows.select("question", "answer", "name", "earlier").rows():
        assert name.lower() not in question.lower()
        (turn,) = earlier
        assert name in turn["question"]
        assert name in turn["answer"]
        assert turn["answer"].splitlines()[0] != answer.splitlines()[0]


def test_prices_keep_their_case(priced: Any) -> None:
    answers = priced[1]["answer"].str.split("Product Name:").list.first()
    assert not answers.str.contains(r"is rs\.").any()


def test_comparisons_are_judged_without_other_kinds(priced: Any) -> None:
    products, questions, _ = priced
    rows = questions.filter(pl.col("kind") == "comparison")
    right = judge(rows.with_columns(prediction="answer"), products)
    assert set(right["verdict"]) == {"right_facts"}
    first_alone = pl.col("answer").str.replace(r"^(.*? for the .*?), .* for the .*\.", "$1.")
    wrong = judge(rows.with_columns(prediction=first_alone), products)
    assert set(wrong["verdict"]) == {"wrong_fact"}


def test_the_words_for_a_wish_do_not_tell_whether_the_shop_has_it(priced: Any) -> None:
    products, questions, _ = priced
    asked = questions.filter(pl.col("split") == "train", pl.col("kind").is_in(["search", "absent"]))
    low = pl.col("question").str.to_lowercase()
    for start in ("do you sell", "hi, i need", "where do i find"):
        rows = asked.filter(low.str.starts_with(start), low.str.contains(" by "))
        counts = dict(rows.group_by("kind").len().rows())
        assert counts["search"] > counts["absent"] > 0
    brands = products.select(answer_id="id", brand="brand")
    conditions = pl.col("conditions").list
    wished = asked.filter(conditions.len() == 2, conditions.last().struct.field("key") == "Brand")
    named = wished.join(brands, on="answer_id")
    assert named.height == wished.height > 100
    assert (named["brand"] == named["conditions"].list.last().struct.field("value")).all()


def test_a_value_in_another_spelling_is_no_other_value() -> None:
    facts = [[{"key": "Neck", "value": value}] for value in ("V Neck", "V-Neck", "v neck")]
    products = pl.DataFrame({"id": ["a", "b", "c"], "name": ["A", "B", "C"], "facts": facts})
    products = products.with_columns(type=pl.lit("Top"), shelf=pl.lit("Tops"), brand=pl.lit("Zarvo"))
    asked = yes_no_questions(products, 0)
    assert asked["expected"].to_list() == ["Yes"] * 3
