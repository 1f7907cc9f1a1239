"""The gate: it opens for what is good, and each reason to stay closed closes it."""

import math
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from data.reports import criteria, gate
from data.reports.criteria import Limits
from data.reports.evaluated_runs import EvaluatedRun, side_by_side
from data.scoring import summaries, verdicts

LIMITS = Limits(
    accuracy=0.8,
    unseen_accuracy=0.6,
    score=0.0,
    calibration=0.1,
    invented=0.05,
    general=0.0,
    failed=0.0,
    margin=0.02,
)


def answers(model: str, right: float, count: int = 200) -> pl.DataFrame:
    """``count`` judged answers to each split, this share of them right, the others of a wrong product."""
    parts = []
    for split in verdicts.SPLITS:
        judged = ["right_facts" if i < right * count else "wrong_product" for i in range(count)]
        frame = pl.DataFrame({"product_id": [f"{split}{i}" for i in range(count)], "verdict": judged})
        nothing = [pl.lit([], pl.List(pl.String)).alias(f"details_{what}") for what in verdicts.DETAILS]
        parts.append(
            frame.with_columns(nothing).with_columns(
                split=pl.lit(split), question=pl.lit("?"), named=pl.lit("x"), kind=pl.lit("search")
            )
        )
    return pl.concat(parts).with_columns(model=pl.lit(model))


def run_of(rows: pl.DataFrame, **changes: Any) -> EvaluatedRun:
    tuned = rows.filter(pl.col("model") == "tuned")
    grounded = {
        f"tuned, {name}": summaries.summarise(tuned.filter(pl.col("split") == split))
        for split, name in verdicts.SPLITS.items()
    }
    leakage = [
        {
            "split": split,
            "rows": 200,
            "same_question": 0,
            "same_answer": 9,
            "same_product": 200 * (split == "test"),
        }
        for split in verdicts.SPLITS
    ]
    scores = {
        "grounded": grounded,
        "leakage": leakage,
        "model_digest": "m",
        "data_digest": "d",
        "trained_on": "d",
    }
    return EvaluatedRun(Path(), "job", scores | changes, {}, rows, [])


GOOD = pl.concat([answers("tfidf", 0.6), answers("tuned", 0.95)])


def failed(
    run: EvaluatedRun, incumbent: EvaluatedRun | None = None, digest: str = "m", limits: Limits = LIMITS
) -> list[str]:
    return [one.name for one in gate.judge_run(run, limits, incumbent, digest) if not one.passed]


def test_a_good_model_passes() -> None:
    found = gate.judge_run(run_of(GOOD), LIMITS, run_of(answers("tuned", 0.94)), "m")
    assert criteria.is_open(found)
    assert len(found) == 12
    assert "The gate is open" in criteria.gate_table(found)


def test_accuracy_counts_by_its_lower_end() -> None:
    rows = pl.concat([answers("tfidf", 0.6), answers("tuned", 0.83)])
    found = gate.judge_run(run_of(rows), LIMITS, None, "m")
    assert [one.name for one in found if not one.passed] == ["accuracy, known products"]
    assert "the lower end is below 80%" in criteria.gate_table(found)
    assert "The gate is closed: accuracy, known products." in criteria.gate_table(found)


def test_invented_products_count_by_their_upper_end() -> None:
    invented = (
        (pl.col("model") == "tuned")
        & (pl.col("split") == "unseen")
        & pl.col("product_id").is_in([f"unseen{i}" for i in range(6)])
    )
    rows = GOOD.with_columns(verdict=pl.when(invented).then(pl.lit("invented")).otherwise("verdict"))
    assert failed(run_of(rows)) == ["invented, unseen products"]  # 3%, but perhaps 6%


def test_a_lookup_that_does_as_well_closes_it() -> None:
    assert failed(run_of(pl.concat([answers("tfidf", 0.99), answers("tuned", 0.95)]))) == [
        "not worse than the baseline tfidf"
    ]


def test_the_incumbent_must_not_be_better() -> None:
    assert failed(run_of(GOOD), run_of(answers("tuned", 1.0))) == ["not worse than the incumbent job"]


def test_no_baseline_is_no_evidence() -> None:
    assert failed(run_of(answers("tuned", 0.95))) == ["not worse than a baseline"]


def test_other_questions_are_no_comparison() -> None:
    other = run_of(answers("tuned", 0.9).with_columns(question=pl.lit("another?")))
    assert failed(run_of(GOOD), other) == ["not worse than the incumbent job"]


def test_leakage_closes_it() -> None:
    rows = [
        {"split": "test", "same_question": 1, "same_product": 200},
        {"split": "unseen", "same_question": 0, "same_product": 0},
    ]
    assert failed(run_of(GOOD, leakage=rows)) == ["no leakage"]
    rows[0]["same_question"], rows[1]["same_product"] = 0, 3
    assert failed(run_of(GOOD, leakage=rows)) == ["no leakage"]
    assert failed(run_of(GOOD, leakage=[])) == ["no leakage"]


def test_digests_must_agree() -> None:
    assert failed(run_of(GOOD), digest="other") == ["the model judged is the one at hand"]
    assert failed(run_of(GOOD, trained_on="x")) == ["the questions are of the data it was trained on"]
    assert failed(run_of(GOOD, model_digest=None), digest="m") == ["the model judged is the one at hand"]


@pytest.mark.parametrize(
    "key", ["accuracy", "accuracy_low", "invented_rate", "invented_rate_high", "failed", "n"]
)
@pytest.mark.parametrize("value", [math.nan, None, "0.99"])
def test_a_figure_that_is_missing_or_not_a_number_fails(key: str, value: Any) -> None:
    run = run_of(GOOD)
    run.scores["grounded"]["tuned, known products"][key] = value
    assert failed(run)
    del run.scores["grounded"]["tuned, known products"]
    assert failed(run)


def test_failed_requests_close_it() -> None:
    rows = GOOD.with_columns(
        verdict=pl.when(pl.col("product_id") == "test3").then(pl.lit("failed")).otherwise("verdict")
    )
    assert failed(run_of(rows)) == ["failed requests"]


def test_limits_are_checked() -> None:
    given = {
        "accuracy": 0.8,
        "unseen_accuracy": 0,
        "score": 0,
        "calibration": 0.1,
        "general": 0,
        "invented": 2,
        "failed": 0,
        "margin": "x",
        "precision": 0.5,
    }
    with pytest.raises(ValueError, match="limits") as error:
        Limits.of(given)
    assert str(error.value).splitlines() == [
        "limits.precision: no such limit; there are accuracy, unseen_accuracy, score, calibration, invented,"
        " general, failed, margin",
        "  limits.invented=2: must be a share from 0 to 1",
        "  limits.margin=x: must be a share from 0 to 1",
    ]


def test_runs_are_compared_that_answered_the_same_questions() -> None:
    """Those of the same data, or of data that were prepared otherwise, if the questions are the same."""
    one, other = run_of(GOOD), run_of(answers("tuned", 0.5), data_digest="rows in the prompts")
    assert [run.rows.height for run in side_by_side([one, other], None)[2]] == [other.rows.height]
    fewer = run_of(answers("tuned", 0.5)[:-1], data_digest="another table")
    assert side_by_side([one, fewer], None)[2] == []
