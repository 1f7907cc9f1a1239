"""Products that bear one name: nothing is asked of them in which they differ, and their rows take one place
in a prompt.
"""

from typing import Any

import polars as pl
import pytest

from data.catalogue.pairing import read_pairing
from data.questions import further_kinds
from data.questions.filling import PAIRS
from data.questions.grounding import Grounding
from data.questions.products import answer_block, partners_of, with_shared_facts, without_namesakes
from data.questions.retrieval import Retriever
from data.questions.templates import attribute_questions

SHIRT = "Zarvo Plain Men's Shirt"
ROWS = [
    ("a", SHIRT, {"Fabric": "Cotton", "Pattern": "Plain", "Neck": "Round"}),
    ("b", "zarvo  plain men's shirt", {"Fabric": "Linen", "Pattern": "Plain"}),
    ("c", SHIRT, {"Pattern": "Plain", "Fabric": "Cotton"}),
    ("d", "Kabra Plain Men's Shirt", {"Fabric": "Silk", "Washable": "Yes"}),
]
CONTEXT = "Online shopping for Men's Clothing"


@pytest.fixture
def products() -> pl.DataFrame:
    rows = []
    for key, name, facts in ROWS:
        pairs = [{"key": k, "value": v} for k, v in facts.items()]
        rows.append({"id": key, "name": name, "facts": pairs})
    table = pl.DataFrame(rows, schema_overrides={"facts": PAIRS})
    unknown: dict[str, Any] = {column: pl.lit(None, pl.String) for column in ("type", "brand", "rating")}
    kind = {"category": pl.lit("Men's Clothing"), "shelf": pl.lit("Shirts"), "product_kind": pl.lit("top")}
    table = table.with_columns(**unknown, **kind, plural=False)
    partners = partners_of(pl.col("product_kind"), read_pairing("clothing"))
    return table.with_columns(
        block=answer_block(2), partners=partners, keywords=pl.lit([], pl.List(pl.String))
    )


def facts(table: pl.DataFrame) -> dict[str, dict[str, str]]:
    return {row["id"]: {f["key"]: f["value"] for f in row["facts"]} for row in table.to_dicts()}


def test_namesakes_keep_the_facts_that_they_share(products: pl.DataFrame) -> None:
    shared = with_shared_facts(products)
    assert shared.columns == products.columns
    plain = {"Pattern": "Plain"}
    assert facts(shared) == {"a": plain, "b": plain, "c": plain, "d": {"Fabric": "Silk", "Washable": "Yes"}}


def test_namesakes_without_a_shared_fact_have_none(products: pl.DataFrame) -> None:
    assert facts(with_shared_facts(products.filter(pl.col("id").is_in(["a", "b"]))))["a"] == {
        "Pattern": "Plain"
    }
    other = products.with_columns(
        facts=pl.when(pl.col("id") == "b").then(pl.col("facts").list.head(1)).otherwise("facts")
    )
    assert facts(with_shared_facts(other)) == {"a": {}, "b": {}, "c": {}, "d": facts(other)["d"]}


def test_nothing_is_asked_in_which_namesakes_differ(products: pl.DataFrame) -> None:
    asked = attribute_questions(with_shared_facts(products), 3, 1)
    pairs = asked.filter(pl.col("product_id") != "d").explode("conditions").unnest("conditions")
    assert set(pairs["key"]) == {"Pattern", "Shelf"}


def test_what_a_row_does_not_say_is_asked_of_products_with_a_name_of_their_own(
    products: pl.DataFrame,
) -> None:
    assert without_namesakes(products)["id"].to_list() == ["d"]
    asked = [further_kinds.unsaid_questions(products, seed) for seed in range(20)]
    assert set(pl.concat(asked)["product_id"]) == {"d"}


def test_yes_no_questions_ask_for_no_yes(products: pl.DataFrame) -> None:
    """'Is yes the washable of the shirt?' is no English."""
    asked = pl.concat([further_kinds.yes_no_questions(products, seed) for seed in range(20)])
    pairs = asked.explode("conditions").unnest("conditions")
    assert set(pairs.filter(pl.col("product_id") == "d")["key"]) == {"Fabric"}


@pytest.mark.parametrize(
    "question",
    [
        f"What fabric is the {SHIRT}?",
        "anything similar to the zarvo plain shirt?",
        f"What else is like the {SHIRT}? Something similar?",
        "plain shirts",
    ],
)
def test_a_name_takes_one_place(products: pl.DataFrame, question: str) -> None:
    rows, _ = Retriever(products).relevant(CONTEXT, question, 3)
    names = [row["name"].lower().split() for row in rows]
    assert names
    assert all(names.count(name) == 1 for name in names)


def test_in_training_the_answers_row_takes_its_namesakes_place(products: pl.DataFrame) -> None:
    grounding = Grounding(products, 2)
    lines = grounding.context(CONTEXT, "Do you have a men's shirt?", ["b"]).splitlines()[1:]
    assert len(lines) == 2
    assert sum("Linen" in line for line in lines) == 1
    assert sum("Silk" in line for line in lines) == 1
