"""Verdicts and the published counting, each on answers made to fall into one class."""

import math

import polars as pl
import pytest

from data import scoring
from data.questions import PAIR, products_for_questions
from data.report import grounded_table, table
from tests.data.test_questions import product


def shop() -> pl.DataFrame:
    solid = [{"key": "Fabric", "value": "Denim"}, {"key": "Pattern", "value": "Solid"}]
    striped = [{"key": "Fabric", "value": "Linen"}, {"key": "Pattern", "value": "Striped"}]
    tops = {"level_3": "Western Wear", "level_4": "Tops"}
    rows = [
        product(id="1", name="Kai Solid Jeans", attributes=solid),
        product(id="2", name="Kai Striped Jeans", attributes=striped),
        product(id="3", name="Lu Top (M) [a|b]: x", brand="Lu", attributes=solid, **tops),
        product(id="4", name="Lu Top", brand="Lu", level_2="Men's Clothing", attributes=solid, **tops),
        product(id="5", name="Kai Solid Jeans", attributes=striped),
    ]
    return products_for_questions(pl.concat(rows), 6)


def reply(sentence: str, name: str, *details: str) -> str:
    lines = "".join(f"- {detail}\n" for detail in details)
    return f"{sentence}\n Product Name: {name}\nProduct Category: Women's Clothing\nProduct Details:\n{lines}"


def verdict(kind: str, prediction: str | None, told: str | None = None, wanted: dict[str, str] | None = None, asked: str = "1") -> str:
    pairs = [{"key": key, "value": value} for key, value in (wanted or {}).items()]
    schema = {"product_id": pl.String, "kind": pl.String, "told": pl.String, "wanted": PAIR, "prediction": pl.String}
    row = pl.DataFrame([(asked, kind, told, pairs, prediction)], schema=schema, orient="row")
    return str(scoring.judge(row, shop())["verdict"][0])


@pytest.mark.parametrize(
    ("prediction", "expected"),
    [
        (reply("It is made of denim.", "Kai Solid Jeans", "Fabric: Denim", "Pattern: Solid"), "right_facts"),
        (reply("It is made of DENIM.", "kai  solid jeans", "fabric: denim"), "right_facts"),
        (reply("It is made of denim.", "Kai Solid Jeans"), "right_facts"),
        (reply("It is made of silk.", "Kai Solid Jeans", "Fabric: Denim"), "wrong_fact"),
        (reply("It is made of denim.", "Kai Solid Jeans", "Fabric: Silk"), "wrong_fact"),
        (reply("It is made of denim.", "Kai Solid Jeans", "Fabric: Denim", "Shade: Solid"), "wrong_fact"),
        (reply("It is made of denim.", "Kai Striped Jeans", "Fabric: Linen"), "wrong_product"),
        (reply("It is made of denim.", "Kai Jeans", "Fabric: Denim"), "invented"),
        ("It is made of denim.", "no_details"),
        ("It is made of denim.\n Product Name: \nProduct Category: x", "no_details"),
        ("", "no_details"),
        (None, "failed"),
    ],
)
def test_verdict_on_an_attribute(prediction: str | None, expected: str) -> None:
    assert verdict("attribute", prediction, told="denim") == expected


def test_a_name_that_two_products_share_is_judged_by_the_one_that_fits() -> None:
    striped = reply("It is made of linen.", "Kai Solid Jeans", "Fabric: Linen", "Pattern: Striped")
    assert verdict("attribute", striped, told="linen", asked="5") == "right_facts"


def test_names_may_hold_any_character() -> None:
    assert verdict("attribute", reply("Denim.", "Lu Top (M) [a|b]: x", "Fabric: Denim"), told="denim", asked="3") == "right_facts"


def test_verdict_on_a_search() -> None:
    wanted = {"Fabric": "linen", "Brand": "Kai", "Shelf": "Jeans"}
    assert verdict("search", reply("Here.", "Kai Striped Jeans", "Fabric: Linen"), wanted=wanted) == "right_facts"
    assert verdict("search", reply("Here.", "Lu Top", "Fabric: Denim"), wanted=wanted) == "wrong_product"


def test_verdict_on_an_alternative() -> None:
    assert verdict("alternative", reply("Try it.", "Kai Striped Jeans", "Fabric: Linen")) == "right_facts"
    assert verdict("alternative", reply("Try it.", "Kai Solid Jeans", "Fabric: Denim")) == "wrong_product"
    assert verdict("alternative", reply("Try it.", "Lu Top", "Fabric: Denim")) == "wrong_product"


def test_verdict_on_an_outfit() -> None:
    assert verdict("outfit", reply("It goes well.", "Lu Top (M) [a|b]: x", "Fabric: Denim")) == "right_facts"
    assert verdict("outfit", reply("It goes well.", "Kai Striped Jeans", "Fabric: Linen")) == "wrong_product"
    assert verdict("outfit", reply("Of the men's shelf.", "Lu Top", "Fabric: Denim")) == "wrong_product"


def test_verdicts_sum_to_n() -> None:
    schema = {"product_id": pl.String, "kind": pl.String, "told": pl.String, "wanted": PAIR, "prediction": pl.String}
    answers = [reply("Denim.", "Kai Solid Jeans", "Fabric: Denim"), "hello", None, reply("x", "Nothing")]
    rows = [("1", "attribute", "denim", [], answer) for answer in answers]
    summary = scoring.summarise(scoring.judge(pl.DataFrame(rows, schema=schema, orient="row"), shop()))
    assert sum(summary[name] for name in scoring.VERDICTS) == summary["n"] == 4
    assert summary["right_product_rate"] == 0.25
    assert "25.0% [4.6, 69.9]" in grounded_table({"x": summary})


def test_no_questions_give_no_figures() -> None:
    assert "| -" in table(["a", "b"], [["x", math.nan]])


def test_published_counting() -> None:
    """A name that is a substring of ANY training answer counts as true, regex characters and all."""
    training = pl.Series([reply("x", "Kai (Solid) Jeans: blue"), reply("x", "Lu Top")])
    answers = [
        reply("x", "Lu Top"),
        reply("x", "Lu"),
        reply("x", "Kai (Solid) Jeans: blue"),
        reply("x", "Kai .* Jeans"),
        "no name",
        None,
    ]
    found = scoring.legacy(pl.Series(answers), training)
    assert found == {
        "training_size": 2,
        "test_size": 6,
        "true_positives": 3,
        "false_positives": 1,
        "no_product_details": 2,
        "accuracy": 0.5,
        "precision": 0.75,
    }
