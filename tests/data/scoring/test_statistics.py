"""Intervals, paired tests and sample sizes against published values, enumeration and simulation."""

import itertools
import math

import polars as pl
import pytest
import torch

from data.scoring import statistics

HIT = pl.col("right")


def frame(right: list[bool], products: list[str] | None = None) -> pl.DataFrame:
    names = products or [str(i) for i in range(len(right))]
    return pl.DataFrame(
        {"product_id": names, "question": [f"q{i}" for i in range(len(right))], "right": right}
    )


@pytest.mark.parametrize(
    ("count", "n", "low", "high"),
    [
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],  # Newcombe 1998, table I
)
def test_wilson_is_that_of_the_literature(count: int, n: int, low: float, high: float) -> None:
    assert statistics.wilson(count, n) == pytest.approx((low, high), abs=1e-4)


def test_questions_of_one_product_make_the_interval_wider() -> None:
    right = [i % 10 < 5 for i in range(200)]
    alone = statistics.rate(frame(right), HIT)
    together = statistics.rate(frame(right, [str(i // 5) for i in range(200)]), HIT)
    assert alone.value == together.value == 0.5
    assert together.high - together.low > 1.8 * (alone.high - alone.low)


def test_many_products_need_no_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(1)
    right = (torch.rand(3000) < 0.3).tolist()
    rows = frame(right, [str(i // 3) for i in range(3000)])
    drawn = statistics.bootstrap(rows, HIT, 0)
    monkeypatch.setattr(statistics, "NORMAL_FROM", 10)
    assert statistics.bootstrap(rows, HIT, 0) == pytest.approx(drawn, abs=0.002)


def test_no_rows_give_no_figure_and_no_knowledge() -> None:
    found = statistics.rate(frame([]), HIT)
    assert math.isnan(found.value)
    assert (found.low, found.high) == (0.0, 1.0)


def test_intervals_hold_the_truth_as_often_as_they_say() -> None:
    torch.manual_seed(0)
    inside = 0
    for draw in range(200):
        each = torch.rand(60).repeat_interleave(
            4
        )  # products differ; their questions share a chance of being right
        found = statistics.rate(
            frame((torch.rand(240) < each).tolist(), [str(i // 4) for i in range(240)]), HIT, draw
        )
        inside += found.low <= 0.5 <= found.high
    assert inside >= 182  # 95% of 200 is 190


def test_the_same_run_twice_does_not_differ() -> None:
    rows = frame([True, False, True])
    found = statistics.paired(rows, rows, HIT)
    assert (found.value, found.low, found.high, found.only_a, found.only_b, found.p) == (0, 0, 0, 0, 0, 1)


def test_paired_counts_and_p() -> None:
    a, b = frame([True] * 12 + [False] * 2 + [True] * 6), frame([False] * 12 + [True] * 2 + [True] * 6)
    found = statistics.paired(a, b.sample(fraction=1, shuffle=True, seed=1), HIT)
    assert (found.n, found.only_a, found.only_b, found.value) == (20, 12, 2, 0.5)
    assert found.low > 0
    exact = 2 * sum(math.comb(14, k) for k in range(3)) / 2**14  # McNemar's, as every question is a product
    assert found.p == pytest.approx(exact, abs=0.004)


def test_permutation_by_product_is_that_of_all_signs() -> None:
    totals = torch.tensor([3.0, -1, 2, 2, 0, 1], dtype=torch.float64)
    signs = itertools.product((-1, 1), repeat=5)
    every = [abs(sum(s * t for s, t in zip(some, [3, -1, 2, 2, 1], strict=True))) for some in signs]
    assert statistics.permutation(totals, 0) == pytest.approx(
        sum(value >= 7 for value in every) / 32, abs=0.02
    )


def test_questions_about_one_product_are_less_evidence() -> None:
    a, b = [True] * 20 + [False] * 20, [False] * 20 + [False] * 20
    alone = statistics.paired(frame(a), frame(b), HIT)
    together = [str(i // 5) for i in range(40)]
    clustered = statistics.paired(frame(a, together), frame(b, together), HIT)
    assert alone.p < 0.001 < clustered.p
    assert clustered.needed[0] == pytest.approx(5 * alone.needed[0], rel=0.01)


def test_runs_without_a_common_question_are_refused() -> None:
    with pytest.raises(ValueError, match="no question in common"):
        statistics.paired(frame([True]), frame([True]).with_columns(question=pl.lit("other")), HIT)


def test_questions_needed_is_that_of_connor() -> None:
    assert statistics.questions_needed(0.2, 0.1) == 155  # z: 1.96, 0.84
    assert statistics.questions_needed(0.1, 0.02) == 1960
    assert statistics.questions_needed(0.1, 0.01) > 4 * 1900


def test_holm() -> None:
    assert statistics.holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert statistics.holm([]) == []
    assert statistics.holm([0.9, 0.8]) == [1.0, 1.0]
