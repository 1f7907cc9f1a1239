"""Calibration of probabilities, and paired differences of figures of labels."""

import polars as pl
import pytest

from data.scoring import label_metrics
from data.scoring.calibration import calibration

LABELS = ["a", "b"]


def rows(truth: list[list[str]], probabilities: list[list[float]]) -> pl.DataFrame:
    return pl.DataFrame({"labels": truth, "probabilities": probabilities})


def test_the_error_is_the_mean_distance_of_the_bins() -> None:
    """Ten texts with 0.9 stated and 6 right, ten with 0.6 stated and all right: (0.3 + 0.4) / 2."""
    truth = [["a"]] * 6 + [["b"]] * 4 + [["b"]] * 10
    found = calibration(rows(truth, [[0.9, 0.1]] * 10 + [[0.4, 0.6]] * 10), LABELS, multi_label=False)
    assert found["ece"] == pytest.approx(0.35)
    assert [count for count, _, _ in found["bins"]] == [10, 10]


def test_of_several_labels_each_is_a_decision() -> None:
    """0.8 stated of 'a', right in both; 0.2 of 'b', right in one: (0.2 + 0.3) / 2."""
    found = calibration(rows([["a"], ["a", "b"]], [[0.8, 0.2]] * 2), LABELS, multi_label=True)
    assert found["ece"] == pytest.approx(0.25)


def labelled(predicted: list[str], truth: list[str]) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "split": "test",
            "row": range(len(truth)),
            "labels": [[one] for one in truth],
            "predicted": [[one] for one in predicted],
        }
    )


def test_two_models_are_compared_on_the_same_rows() -> None:
    truth = ["a", "b"] * 50
    good = labelled([one if i % 10 else "a" for i, one in enumerate(truth)], truth)
    bad = labelled(["a"] * 100, truth).sample(fraction=1, shuffle=True, seed=1)
    d = label_metrics.difference(good, bad, "accuracy", LABELS, multi_label=False)
    of = {name: label_metrics.score(some, LABELS, False, 0)["accuracy"] for name, some in
          {"good": good, "bad": bad}.items()}  # fmt: skip
    assert d.n == 100
    assert d.value == pytest.approx(of["good"] - of["bad"])
    assert 0 < d.low < d.value < d.high < 1
    assert d.p < 0.01
    same = label_metrics.difference(good, good, "macro_f1", LABELS, multi_label=False)
    assert (same.value, same.low, same.high, same.p) == (0, 0, 0, 1)
    with pytest.raises(ValueError, match="no row was labelled by both"):
        label_metrics.difference(good, bad.with_columns(split=pl.lit("other")), "accuracy", LABELS, False)
