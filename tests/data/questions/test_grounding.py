"""Rows of the catalogue in prompts: which are found, in which order, that they are whole, and that training,
evaluation and chat write the same.
"""

from pathlib import Path
from typing import Any

import polars as pl
import pytest

from data.catalogue.pairing import read_pairing
from data.questions import grounded_prompts
from data.questions.filling import PAIRS
from data.questions.grounding import NOTHING, Grounding, compact
from data.questions.intents import without_budget
from data.questions.products import answer_block, partners_of
from data.questions.retrieval import Retriever
from data.scoring.rules import rule_answers
from data.tokens.prompts import Renderer
from tests.conftest import POCKET

ROWS = [
    ("a", "Zarvo Striped Men's Shirt", "Men's Clothing", "Shirts", "top", "Cotton", "4.5"),
    ("b", "Kabra Plain Men's Shirt", "Men's Clothing", "Shirts", "top", "Linen", "4.0"),
    ("c", "Lumo Printed Men's Shirt", "Men's Clothing", "Shirts", "top", "Silk", None),
    ("d", "Pello Men's Jeans", "Men's Clothing", "Jeans", "bottom", "Denim", None),
    ("e", "Pello Women's Jeans", "Women's Clothing", "Jeans", "bottom", "Denim", None),
]
CONTEXT = "Online shopping for Men's Clothing"


def shop() -> pl.DataFrame:
    columns = ["id", "name", "category", "shelf", "product_kind", "fabric", "rating"]
    table = pl.DataFrame(ROWS, schema=columns, orient="row")
    pair = pl.struct(key=pl.lit("Fabric"), value=pl.col("fabric"))
    table = table.with_columns(facts=pl.concat_list(pair).cast(PAIRS), type=pl.lit(None, pl.String))
    partners = partners_of(pl.col("product_kind"), read_pairing("clothing"))
    table = table.with_columns(brand=pl.lit(None, pl.String), plural=False, block=answer_block(2))
    return table.with_columns(partners=partners, keywords=pl.lit([], pl.List(pl.String)))


@pytest.fixture
def products() -> pl.DataFrame:
    return shop()


def ids(products: pl.DataFrame, question: str, count: int = 2, context: str = CONTEXT) -> list[str]:
    rows, _ = Retriever(products).relevant(context, question, count)
    return [row["id"] for row in rows]


@pytest.mark.parametrize(
    ("question", "found"),
    [
        ("what is the zarvo stripd shirt made of", ["a"]),
        ("do you have a men's shirt", ["a", "b"]),
        ("What goes well with the Kabra Plain Men's Shirt?", ["d"]),
        ("What could I buy instead of the Lumo Printed Men's Shirt?", ["a", "b"]),
        ("what goes well with the kabra plain shirt", ["d", "b"]),
        ("What could I buy instead of the Lumo Printed Shirt?", ["a", "c"]),
        ("Zarvo Striped Men's Shirt or Pello Men's Jeans, which fabric?", ["a", "d"]),
        ("is the kabra plain men's shirt like the lumo printed men's shirt", ["b", "c"]),
        ("do you have anything in linen?", ["b"]),
        ("garden hoses", []),
        ("which trousers form an otufit with the Kabra Plain Men's Shirt", ["d"]),
        ("an alternatvie to the Lumo Printed Men's Shirt?", ["a", "b"]),
    ],
)
def test_rows_are_found_by_what_is_asked(products: pl.DataFrame, question: str, found: list[str]) -> None:
    assert ids(products, question)[: len(found)] == found
    assert bool(ids(products, question)) == bool(found)


def test_a_product_that_is_named_in_full_is_not_offered_in_its_own_place(products: pl.DataFrame) -> None:
    assert "c" not in ids(products, "What could I buy instead of the Lumo Printed Men's Shirt?", 5)
    assert ids(products, "What goes well with the Kabra Plain Men's Shirt?", 5) == ["d"]


def test_a_category_keeps_other_peoples_products_out(products: pl.DataFrame) -> None:
    assert ids(products, "denim jeans", 5) == ["d"]
    assert set(ids(products, "denim jeans", 5, context="")) == {"d", "e"}


def test_training_sees_the_answers_row_and_prediction_what_is_found(products: pl.DataFrame) -> None:
    ground = Grounding(products, 2)
    question = "Do you have a striped men's shirt or a plain men's shirt?"
    predicted, trained = ground.context(CONTEXT, question), ground.context(CONTEXT, question, ["e"])
    assert "Zarvo Striped" in predicted
    assert "Pello Women's" not in predicted
    assert "- Pello Women's Jeans | Jeans | Fabric: Denim" in trained
    assert predicted.splitlines()[0] == CONTEXT
    assert len(predicted.splitlines()) == len(trained.splitlines()) == 3


def test_a_comparison_is_trained_with_both_rows(products: pl.DataFrame) -> None:
    asked = {"context": CONTEXT, "question": "Which fabric?", "kind": "comparison"}
    questions = pl.DataFrame([asked | {"product_id": "a", "answer_id": "d"}])
    (trained,) = Grounding(products, 2).contexts(questions, for_training=True)
    assert {line.split(" | ")[0] for line in trained.splitlines()[1:]} == {
        "- Zarvo Striped Men's Shirt",
        "- Pello Men's Jeans",
    }


def test_what_a_question_names_comes_first_and_an_answer_before_its_equals(products: pl.DataFrame) -> None:
    ground = Grounding(products, 3)

    def names(question: str, *needed: str) -> list[str]:
        lines = ground.context(CONTEXT, question, needed).splitlines()[1:]
        return [line.split(" ")[1] for line in lines]

    assert names("what is the kabra plain shirt made of")[0] == "Kabra"
    assert names("what is the lumo printed shirt made of", "c")[0] == "Lumo"
    found = names("Do you have a men's shirt?")
    assert found == names("Do you have a men's shirt?")
    assert len(found) == 3
    last = {"Zarvo": "a", "Kabra": "b", "Lumo": "c"}[found[-1]]
    assert names("Do you have a men's shirt?", last) == [found[-1], found[1], found[0]]
    assert names("Do you have something in silk or linen?", "b")[0] == "Kabra"
    assert names("what could i buy instead of the lumo printed shirt", "a") == ["Zarvo", "Kabra", "Lumo"]


def test_chat_and_serving_write_what_evaluation_writes(products: pl.DataFrame, tmp_path: Path) -> None:
    products.write_parquet(tmp_path / "products.parquet")
    origin: dict[str, Any] = {"data": {"grounding": "rows", "grounding_rows": 2}}
    renderer = grounded_prompts.renderer_of(str(POCKET), origin, lambda: tmp_path / "products.parquet")
    question = "What is the Zarvo Striped Men's Shirt made of?"
    plain, context = Renderer(str(POCKET)), Grounding(products, 2).context(CONTEXT, question)
    wanted = plain.render(context, question, None).ids
    earlier = [("Who is the Lumo Printed Men's Shirt for?", "Men.")]
    (evaluated,) = renderer.prompts([CONTEXT], ["And the fabric?"], [earlier])
    assert evaluated == renderer.conversation(CONTEXT, earlier, "And the fabric?")
    assert renderer.prompts([CONTEXT], [question]) == [wanted]
    assert renderer.conversation(CONTEXT, [], question) == wanted
    assert compact(products.row(0, named=True), []) in plain.tokenizer.decode(wanted)


@pytest.mark.parametrize(
    ("question", "named"),
    [
        ("and who is it for?", True),
        ("and in cotton?", True),
        ("do you have it in blue?", True),
        ("do you have linen shirts?", False),
        ("What fabric is the Lumo Printed Men's Shirt?", False),
    ],
)
def test_a_second_turn_goes_on_about_the_product_of_the_first(
    products: pl.DataFrame, question: str, named: bool
) -> None:
    earlier = [("what is the zarvo striped shirt made of", "It is cotton. Zarvo Striped Men's Shirt")]
    searched = Retriever(products).with_subject(CONTEXT, question, earlier)
    assert ("Zarvo" in searched) is named
    rows = Grounding(products, 2).context(CONTEXT, question, earlier=earlier)
    assert ("- Zarvo Striped" in rows) or not named


def test_a_model_without_rows_is_rendered_as_before(tmp_path: Path) -> None:
    for origin in ({"data": {}}, {"data": {"grounding": "none", "grounding_rows": 3}}):
        assert type(grounded_prompts.renderer_of(str(POCKET), origin, lambda: tmp_path / "none")) is Renderer
    origin = {"data": {"grounding": "rows", "grounding_rows": 2}}
    with pytest.raises(
        ValueError, match=r"answers from rows of the catalogue, and .*products\.parquet cannot be read"
    ):
        grounded_prompts.renderer_of(str(POCKET), origin, lambda: tmp_path / "products.parquet")
    pl.DataFrame({"name": ["a"]}).write_parquet(tmp_path / "products.parquet")
    with pytest.raises(ValueError, match=r"give products\.parquet of prepared data"):
        grounded_prompts.renderer_of(str(POCKET), origin, lambda: tmp_path / "products.parquet")


@pytest.mark.parametrize(
    ("question", "budget"),
    [
        ("something warm for my daughter under 500", 500),
        ("shirts below rs. 1,500", 1500),
        ("a shirt for less than ₹ 799.50?", 799.5),
        ("jeans, max of 20", 20),
        ("my budget is $45", 45),
        ("looking for a shirt wtihin rs. 1350", 1350),
        ("a shirt belwo 500 pls", 500),
        ("shirt under the jacket", None),
        ("a winter shirt in size 32", None),
        ("size 32 jeans", None),
    ],
)
def test_budgets_are_read(question: str, budget: float | None) -> None:
    assert without_budget(question)[1].most == budget


def test_a_budget_keeps_dearer_products_out(products: pl.DataFrame) -> None:
    prices = {"a": "Rs. 1,299", "b": "Rs. 499", "c": "Rs. 2,000.50"}
    value = pl.col("id").replace_strict(prices, default=None)
    price = pl.concat_list(pl.struct(key=pl.lit("Price"), value=value)).cast(PAIRS)
    priced = products.with_columns(
        facts=pl.when(value.is_null()).then("facts").otherwise(pl.concat_list("facts", price))
    )
    assert set(ids(priced, "men's shirt", 5)) == {"a", "b", "c"}  # jeans share clearly less
    assert ids(priced, "men's shirt under Rs. 500", 5) == ["b"]
    assert set(ids(priced, "men's shirt under 1,300", 5)) == {"a", "b"}
    asked = pl.DataFrame({"context": [CONTEXT], "question": ["I need a cotton shirt under 500"]})
    assert "Kabra Plain" in rule_answers(asked, priced)[0]
    assert "Kabra Plain" in rule_answers(asked.with_columns(question=pl.lit("linen shirt")), priced)[0]


@pytest.mark.parametrize(
    ("question", "row", "marked"),
    [
        ("Is the fabric of the Kabra Plain Men's Shirt linen?", "b", ["fabric? linen", "linen: yes"]),
        ("is the fabric of the kabra plian mens shirt linnen", "b", ["fabric? linen", "linen: yes"]),
        ("Is the fabric of the Kabra Plain Men's Shirt silk?", "b", ["fabric? linen", "silk: no"]),
        ("Do you have shirts in silk?", "c", ["shirt: yes", "silk: yes"]),
        ("Do you have shirts in silk?", "a", ["shirt: yes", "silk: no"]),
        ("What is the Pello Men's Jeans made of?", "d", ["fabric? denim"]),
        ("Are the Pello Men's Jeans denim jeans?", "d", ["fabric? denim", "denim: yes", "jeans: yes"]),
        ("is the kabra plain shirt silk or what", "b", ["fabric? linen", "silk: no"]),
        ("Do you have a novel?", "a", []),
        ("show me something similar to the kabra plain", "a", []),
    ],
)
def test_values_that_a_question_names_are_marked_in_the_row(
    products: pl.DataFrame, question: str, row: str, marked: list[str]
) -> None:
    product = products.row(by_predicate=pl.col("id") == row, named=True)
    lines = Grounding(products, 3).context(CONTEXT, question, [row]).splitlines()
    assert compact(product, marked) in lines
    assert compact(product, ["x: no"]).endswith("; x: no")


def test_rows_are_found_and_marked_by_the_words_of_shoppers(products: pl.DataFrame) -> None:
    is_warm = pl.col("fabric") == "Silk"
    words = pl.when(is_warm).then(pl.lit(["warm", "cosy"])).otherwise(pl.lit([], pl.List(pl.String)))
    (line,) = (
        Grounding(products.with_columns(keywords=words), 3)
        .context(CONTEXT, "smth warm for my uncle")
        .splitlines()[1:]
    )
    assert line.startswith("- Lumo Printed Men's Shirt")
    assert line.endswith("; warm: yes")


def test_values_that_share_a_word_are_both_marked(products: pl.DataFrame) -> None:
    necks = pl.when(pl.col("id") == "a").then(pl.lit("Turtle Neck")).otherwise(pl.lit("Round Neck"))
    fact = pl.concat_list(pl.struct(key=pl.lit("Neck"), value=necks)).cast(PAIRS)
    question = "the Zarvo Striped Men's Shirt - turtle neck or round neck?"
    (line,) = Grounding(products.with_columns(facts=fact), 3).context(CONTEXT, question).splitlines()[1:]
    assert line.endswith("; turtle neck: yes; round neck: no")


def test_a_value_is_not_put_together_from_parts_of_others(products: pl.DataFrame) -> None:
    """Skinny jeans in a slim fit are neither slim jeans nor of a skinny fit."""
    fits = {"d": "Slim Fit", "e": "Skinny Fit"}
    fit = pl.col("id").replace_strict(fits, default=None)
    facts = pl.concat_list(pl.struct(key=pl.lit("Fit"), value=fit)).cast(PAIRS)
    kinds = pl.when(pl.col("id") == "d").then(pl.lit("Skinny Jeans")).otherwise(pl.lit("Slim Jeans"))
    jeans = products.tail(2).with_columns(facts=facts, type=kinds)
    question = "show me something in slim fit, skinny jeans"
    (line,) = Grounding(jeans, 3).context(CONTEXT, question).splitlines()[1:]
    assert line.endswith("; slim fit: yes; skinny jeans: yes")


def test_the_name_of_an_attribute_is_part_of_its_value(products: pl.DataFrame) -> None:
    facts = pl.col("facts").list.eval(pl.struct(key=pl.lit("Fit"), value=pl.lit("Regular")))
    fits = products.with_columns(facts=pl.when(pl.col("id") == "a").then(facts).otherwise("facts"))
    named = products["facts"].list.eval(pl.struct(key=pl.lit("Fit"), value=pl.lit("Regular Fit")))
    both = fits.with_columns(facts=pl.when(pl.col("id") == "b").then(named).otherwise("facts"))
    (line,) = (
        Grounding(both, 3)
        .context(CONTEXT, "Is the fit of the Zarvo Striped Men's Shirt regular?")
        .splitlines()[1:]
    )
    assert line.endswith("Fit: Regular; fit? regular; regular: yes")


def test_a_search_shows_the_rows_that_have_all_that_is_asked_for(products: pl.DataFrame) -> None:
    ground = Grounding(products, 3)
    in_silk = ground.context(CONTEXT, "Do you have shirts in silk?").splitlines()[1:]
    assert [line.split(" | ")[0] for line in in_silk] == ["- Lumo Printed Men's Shirt"]
    assert ground.context(CONTEXT, "Do you have jeans in silk?") == f"{CONTEXT}\n{NOTHING}"
    assert ground.context(CONTEXT, "Good morning!") == CONTEXT
