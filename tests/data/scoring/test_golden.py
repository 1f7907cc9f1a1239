"""Verdicts on answers to a user's own questions: one case for each verdict and each way to be right."""

from typing import Any

import polars as pl
import pytest

from data.scoring.golden import GOLDEN_VERDICTS, judge_golden

PRODUCTS = pl.DataFrame({"name": ["Red Shirt", "Red Shirt Deluxe", "Blue Scarf", "Mug 12 oz"]})
BLOCK = "\n Product Name: {}\nProduct Category: Clothing\nProduct Details:\n- Fabric: {}"
SHIRT = BLOCK.format("Red Shirt", "Cotton")


def judged(answer: str | None, **row: Any) -> dict[str, Any]:
    question = {
        "line": 2,
        "question": "q",
        "context": "",
        "right": ["red shirt"],
        "attribute": "",
        "value": "",
    }
    table = pl.DataFrame(
        [question | {"kind": "question"} | row], schema_overrides={"right": pl.List(pl.String)}
    )
    return judge_golden(table, PRODUCTS, [answer]).row(0, named=True)


FABRIC = {"attribute": "Fabric", "value": "Cotton"}
PRICE = {"attribute": "Price", "value": "Rs. 1,299.00"}
ABSENT = {"right": [], "kind": "absent"}
UNSAID = {"kind": "unsaid", "attribute": "Lining"}


@pytest.mark.parametrize(
    ("answer", "row", "verdict"),
    [
        (f"It is made of cotton.{SHIRT}", FABRIC, "right"),
        ("The red shirt is made of COTTON.", FABRIC, "right"),
        ("We have the red shirt.", {}, "right"),
        (f"It is made of silk.{BLOCK.format('Red Shirt', 'Silk')}", FABRIC, "wrong_fact"),
        (f"It is made of cotton.{BLOCK.format('Red Shirt', 'Silk')}", FABRIC, "wrong_fact"),
        ("The red shirt is made of cottonwool.", FABRIC, "wrong_fact"),
        ("The red shirt is made of cotton.", {"attribute": "Color", "value": "Red"}, "wrong_fact"),
        ("The red shirt costs 1299 rupees.", PRICE, "right"),
        ("The red shirt costs 1,299 rupees.", PRICE, "right"),
        ("The red shirt costs 12 rupees.", PRICE, "wrong_fact"),
        ("Mug 12 oz costs 12.", {"right": ["mug 12 oz"], "attribute": "Price", "value": "12"}, "right"),
        ("Mug 12 oz is nice.", {"right": ["mug 12 oz"], "attribute": "Price", "value": "12"}, "wrong_fact"),
        (BLOCK.format("Blue Scarf", "Cotton"), FABRIC, "wrong_product"),
        ("I like the red shirt deluxe.", {}, "wrong_product"),
        (BLOCK.format("Green Hat", "Cotton"), FABRIC, "invented"),
        ("Sorry, we do not have that.", FABRIC, "wrong_decline"),
        ("Sorry, we have nothing like a garden hose.", ABSENT, "right"),
        ("Unfortunately we don't sell hoses.", ABSENT, "right"),
        (f"Take this.{SHIRT}", ABSENT, "not_declined"),
        ("Hello there!", ABSENT, "unclear"),
        ("Hello there!", {}, "unclear"),
        ("The catalogue does not say that of the red shirt.", UNSAID, "right"),
        ("That is not stated.", UNSAID, "right"),
        (f"Its lining is silk.{SHIRT}", UNSAID, "wrong_fact"),
        (None, {}, "failed"),
    ],
)
def test_verdicts(answer: str | None, row: dict[str, Any], verdict: str) -> None:
    assert judged(answer, **row)["verdict"] == verdict
    assert verdict in GOLDEN_VERDICTS


def test_the_longest_name_is_the_one_that_is_named() -> None:
    assert judged("I like the Red  Shirt Deluxe.")["named"] == "red shirt deluxe"
    assert judged("I like the Red Shirts.")["named"] is None
