"""Verdicts and the published counting, each on answers made to fall into one class."""

import math

import polars as pl
import pytest

from data.catalogue.pairing import read_pairing
from data.markdown import markdown_table
from data.questions.filling import PAIRS
from data.questions.products import products_for_questions
from data.scoring import published, summaries, verdicts
from tests.data.questions.test_templates import product


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
    return products_for_questions(pl.concat(rows), 6, read_pairing("clothing"))


def reply(sentence: str, name: str, *details: str) -> str:
    lines = "".join(f"- {detail}\n" for detail in details)
    return f"{sentence}\n Product Name: {name}\nProduct Category: Women's Clothing\nProduct Details:\n{lines}"


def verdict(
    kind: str,
    prediction: str | None,
    expected: str | None = None,
    conditions: dict[str, str] | None = None,
    asked: str = "1",
) -> str:
    pairs = [{"key": key, "value": value} for key, value in (conditions or {}).items()]
    schema = {
        "product_id": pl.String,
        "kind": pl.String,
        "expected": pl.String,
        "conditions": PAIRS,
        "prediction": pl.String,
    }
    row = pl.DataFrame([(asked, kind, expected, pairs, prediction)], schema=schema, orient="row")
    return str(verdicts.judge(row, shop())["verdict"][0])


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
    assert verdict("attribute", prediction, expected="denim") == expected


def test_a_name_that_two_products_share_is_judged_by_the_one_that_fits() -> None:
    striped = reply("It is made of linen.", "Kai Solid Jeans", "Fabric: Linen", "Pattern: Striped")
    assert verdict("attribute", striped, expected="linen", asked="5") == "right_facts"


def test_names_may_hold_any_character() -> None:
    assert (
        verdict(
            "attribute", reply("Denim.", "Lu Top (M) [a|b]: x", "Fabric: Denim"), expected="denim", asked="3"
        )
        == "right_facts"
    )


def test_verdict_on_a_search() -> None:
    wanted = {"Fabric": "linen", "Brand": "Kai", "Shelf": "Jeans"}
    assert (
        verdict("search", reply("Here.", "Kai Striped Jeans", "Fabric: Linen"), conditions=wanted)
        == "right_facts"
    )
    assert verdict("search", reply("Here.", "Lu Top", "Fabric: Denim"), conditions=wanted) == "wrong_product"


def test_verdict_on_an_alternative() -> None:
    assert verdict("alternative", reply("Try it.", "Kai Striped Jeans", "Fabric: Linen")) == "right_facts"
    assert verdict("alternative", reply("Try it.", "Kai Solid Jeans", "Fabric: Denim")) == "wrong_product"
    assert verdict("alternative", reply("Try it.", "Lu Top", "Fabric: Denim")) == "wrong_product"


def test_verdict_on_an_outfit() -> None:
    assert verdict("outfit", reply("It goes well.", "Lu Top (M) [a|b]: x", "Fabric: Denim")) == "right_facts"
    assert verdict("outfit", reply("It goes well.", "Kai Striped Jeans", "Fabric: Linen")) == "wrong_product"
    assert verdict("outfit", reply("Of the men's shelf.", "Lu Top", "Fabric: Denim")) == "wrong_product"


def judged(*answers: str | None, expected: str | None = "denim") -> pl.DataFrame:
    schema = {
        "product_id": pl.String,
        "kind": pl.String,
        "question": pl.String,
        "context": pl.String,
        "split": pl.String,
    }
    schema |= {"expected": pl.String, "conditions": PAIRS, "prediction": pl.String}
    conditions = [{"key": "Fabric", "value": "Denim"}]
    shelf = "Online shopping for Women's Clothing"
    rows = [
        ("1", "attribute", f"Fabric {i}?", shelf, "test", expected, conditions, answer)
        for i, answer in enumerate(answers)
    ]
    return verdicts.judge(pl.DataFrame(rows, schema=schema, orient="row"), shop())


def test_verdicts_sum_to_n_and_give_the_shares() -> None:
    right = reply("It is denim.", "Kai Solid Jeans", "Fabric: Denim")
    slip = reply("It is silk.", "Kai Solid Jeans", "Fabric: Denim", "Pattern: Dotted")
    summary = summaries.summarise(judged(right, slip, "hello", None, reply("x", "Nothing")))
    assert sum(summary[name] for name in verdicts.VERDICTS) == summary["n"] == 5
    assert (summary["accuracy"], summary["right_product"], summary["answered"]) == (0.2, 0.4, 0.6)
    assert summary["precision"] == pytest.approx(1 / 3)
    assert summary["invented_rate"] == 0.2
    assert summary["detail_accuracy"] == pytest.approx(2 / 3)
    assert summary["accuracy_low"] <= 0.0363 < 0.62 <= summary["accuracy_high"]


def test_a_value_counts_as_told_only_as_whole_words_outside_the_name() -> None:
    assert (
        verdict(
            "attribute",
            reply("The pattern of the Kai Solid Jeans is dotted.", "Kai Solid Jeans"),
            expected="solid",
        )
        == "wrong_fact"
    )
    assert (
        verdict(
            "attribute",
            reply("The pattern of the Kai Solid Jeans is solid.", "Kai Solid Jeans"),
            expected="solid",
        )
        == "right_facts"
    )
    assert verdict("attribute", reply("It is noted.", "Kai Solid Jeans"), expected="no") == "wrong_fact"
    assert verdict("attribute", reply("Hood: no.", "Kai Solid Jeans"), expected="no") == "right_facts"


def test_a_detail_said_twice_is_not_wrong() -> None:
    assert (
        verdict(
            "attribute",
            reply("It is denim.", "Kai Solid Jeans", "Fabric: Denim", "Fabric: Denim"),
            expected="denim",
        )
        == "right_facts"
    )


def test_details_are_right_wrong_invented_or_missing() -> None:
    (row,) = judged(reply("It is denim.", "Kai Solid Jeans", "Fabric: Silk", "Shade: Blue")).iter_rows(
        named=True
    )
    found = {what: row[f"details_{what}"] for what in verdicts.DETAILS}
    assert found == {"right": [], "wrong": ["fabric"], "invented": ["shade"], "missing": ["pattern"]}
    assert (row["states_expected"], row["exists"], row["fits"]) == (True, True, True)


def test_attributes_are_counted() -> None:
    right = reply("It is denim.", "Kai Solid Jeans", "Fabric: Denim", "Pattern: Solid")
    wrong = reply("It is silk.", "Kai Solid Jeans", "Fabric: Silk")
    rows = {
        row["attribute"]: row
        for row in summaries.attribute_scores(judged(right, wrong, "none")).iter_rows(named=True)
    }
    assert rows["fabric"] == {
        "attribute": "fabric",
        "asked": 3,
        "stated": 1,
        "right": 1,
        "wrong": 1,
        "invented": 0,
        "missing": 0,
    }
    assert rows["pattern"] == {
        "attribute": "pattern",
        "asked": 0,
        "stated": 0,
        "right": 1,
        "wrong": 0,
        "invented": 0,
        "missing": 1,
    }


def test_slices_put_the_worst_first_and_leave_small_ones_out() -> None:
    right = reply("It is denim.", "Kai Solid Jeans", "Fabric: Denim")
    rows = judged(right, right, "hello")
    both = pl.concat([rows, rows.with_columns(kind=pl.lit("outfit"), verdict=pl.lit("invented"))])
    found = summaries.slice_scores(both, 3)
    assert found.row(0) == ("kind: outfit", 3, 0)
    assert ("kind: attribute", 3, 2) in found.rows()
    assert ("category: Women's Clothing", 6, 2) in found.rows()
    assert ("products: known products", 6, 2) in found.rows()
    assert summaries.slice_scores(both, 7).height == 0


def test_examples_are_of_every_wrong_verdict() -> None:
    found = summaries.error_examples(judged("hello", "hi", None, reply("x", "Nothing")), 1)
    assert {verdict: rows.height for verdict, rows in found.items()} == {
        "invented": 1,
        "no_details": 1,
        "failed": 1,
    }


def test_no_questions_give_no_figures() -> None:
    assert "| -" in markdown_table(["a", "b"], [["x", math.nan]])


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
    found = published.published_scores(pl.Series(answers), training)
    assert found == {
        "training_size": 2,
        "test_size": 6,
        "true_positives": 3,
        "false_positives": 1,
        "no_product_details": 2,
        "accuracy": 0.5,
        "precision": 0.75,
    }


def test_published_counting_is_that_of_a_scan_of_every_answer() -> None:
    """To the unit, on names that are others' parts, hold regex characters or ': ', or are found in the
    sentence alone.
    """
    names = ["Lu Top", "Lu Top: red", "Kai (Solid) Jeans", "A+B", "x|y", "Top"]
    training = pl.Series(
        [reply(f"Not the {names[(i + 1) % 6]} {i}.", name) for i, name in enumerate(names)] * 3
    )
    given = [
        *names,
        "Lu",
        "ai (Solid",
        "Not the",
        "top",
        ".*",
        "Lu Top: re",
        "[",
        "Solid) Jeans\\",
        "Kai  (Solid) Jeans",
        "ü",
    ]
    answers = [reply("x", name) for name in given] + ["Product Name:   ", "nothing", None]
    found = published.published_scores(pl.Series(answers), training)
    expected = [any(name in answer for answer in training) for name in given]
    assert found["true_positives"] == sum(expected)
    assert found["false_positives"] == len(given) - sum(expected)
    assert found["no_product_details"] == 3
    assert 0 < sum(expected) < len(given)
