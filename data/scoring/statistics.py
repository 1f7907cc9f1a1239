"""How sure a rate is, and whether two runs differ: intervals, paired comparisons on the same questions,
questions needed.

Questions about one product are answered alike, so they count as one draw of that product: intervals and tests
go by product.
"""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import polars as pl

if TYPE_CHECKING:
    from torch import Tensor

Z = 1.959963984540054  # of a 95% interval

POWER_QUANTILE = 0.8416212335729143  # standard normal quantile of 80%

DRAWS = 2000

NORMAL_FROM = 2000  # products from which on the draws are as good as normal, and need not be made

DRAWN_AT_ONCE = 20_000_000  # drawn products that are held in memory at a time


@dataclass(frozen=True)
class _Rate:
    """A share with its 95% interval."""

    value: float
    low: float
    high: float


def wilson(count: float, n: float) -> tuple[float, float]:
    """95% interval of count / n (Wilson 1927, doi.org/10.1080/01621459.1927.10502953); all there is where
    n is 0.
    """
    if not n:
        return 0.0, 1.0
    p = count / n
    middle, half = p + Z * Z / (2 * n), Z * math.sqrt(p * (1 - p) / n + Z * Z / (4 * n * n))
    low, high = ((middle + sign * half) / (1 + Z * Z / n) for sign in (-1, 1))
    return max(0.0, low), min(1.0, high)


def _by_product(rows: pl.DataFrame, values: pl.Expr) -> "tuple[Tensor, Tensor]":
    """(sum of the values, questions) of each product, in order of its id. (products,) each"""
    sums = (
        rows.group_by("product_id")
        .agg(total=values.cast(pl.Float64).sum(), n=pl.len().cast(pl.Float64))
        .sort("product_id")
    )
    return sums["total"].to_torch(), sums["n"].to_torch()


def _resampled(totals: "Tensor", sizes: "Tensor", seed: int) -> tuple[float, float]:
    """95% interval of the mean over the questions, of `DRAWS` draws of as many products as there are, with
    replacement.

    With many products it is the normal distribution's, with the variance that the draws would have (of a
    ratio, linearised).
    """
    import torch

    if len(sizes) >= NORMAL_FROM:
        mean = float(totals.sum() / sizes.sum())
        half = Z * float((totals - mean * sizes).square().sum().sqrt() / sizes.sum())
        return mean - half, mean + half
    draw = torch.Generator().manual_seed(seed)
    at_once = max(1, DRAWN_AT_ONCE // len(sizes))
    means = []
    for start in range(0, DRAWS, at_once):
        picked = torch.randint(len(sizes), (min(at_once, DRAWS - start), len(sizes)), generator=draw)
        means.append(totals[picked].sum(1) / sizes[picked].sum(1))
    low, high = torch.cat(means).quantile(torch.tensor([0.025, 0.975], dtype=torch.float64)).tolist()
    return low, high


def bootstrap(rows: pl.DataFrame, values: pl.Expr, seed: int) -> tuple[float, float]:
    """95% interval of the mean of ``values``, by bootstrap over products (Efron 1979,
    doi.org/10.1214/aos/1176344552).
    """
    if not rows.height:
        return 0.0, 1.0
    return _resampled(*_by_product(rows, values), seed)


def rate(rows: pl.DataFrame, hit: pl.Expr, seed: int = 0) -> _Rate:
    """Share of the rows for which ``hit`` holds; of Wilson's interval and that over products the lower and
    the upper end.
    """
    count = int(rows.select(hit.sum()).item() or 0)
    narrow, wide = wilson(count, rows.height), bootstrap(rows, hit, seed)
    return _Rate(
        count / rows.height if rows.height else math.nan, min(narrow[0], wide[0]), max(narrow[1], wide[1])
    )


@dataclass(frozen=True)
class Difference:
    """How much more often ``a`` is right than ``b`` on the same questions.

    ``only_a`` and ``only_b`` count the questions that one of them alone has right; ``p`` is that of no
    difference at all; ``needed`` how many questions tell 1 and 2 points apart, at 5% and with a power of 80%.
    """

    n: int
    value: float
    low: float
    high: float
    only_a: int
    only_b: int
    p: float
    needed: tuple[int, int]


def paired(a: pl.DataFrame, b: pl.DataFrame, hit: pl.Expr, seed: int = 0) -> Difference:
    """Compare two runs on the questions that both have answered (columns product_id, question).

    The interval is a bootstrap over products, p of a permutation test that swaps the two runs' answers
    product by product. Raises ValueError if they share no question.
    """
    keys = ["product_id", "question"]
    rows = a.select(*keys, a=hit.cast(pl.Int64)).join(b.select(*keys, b=hit.cast(pl.Int64)), on=keys)
    if not rows.height:
        raise ValueError(
            "the runs answered no question in common, so they cannot be compared: evaluate them on"
            " the same data"
        )
    totals, sizes = _by_product(rows, pl.col("a") - pl.col("b"))
    only_a, only_b = (rows.filter((pl.col(x) == 1) & (pl.col(y) == 0)).height for x, y in ("ab", "ba"))
    low, high = _resampled(totals, sizes, seed)
    value = (only_a - only_b) / rows.height
    # Variance beside that of independent questions.
    clustered = float((totals**2).sum()) / max(1, only_a + only_b)
    needed = [questions_needed((only_a + only_b) / rows.height, points / 100, clustered) for points in (1, 2)]
    return Difference(
        rows.height, value, low, high, only_a, only_b, permutation(totals, seed), (needed[0], needed[1])
    )


def mean_interval(values: "Tensor", seed: int) -> tuple[float, float]:
    """95% interval of a mean, by bootstrap over the values."""
    import torch

    return _resampled(values, torch.ones(len(values), dtype=torch.float64), seed)


@dataclass(frozen=True)
class MeanDifference:
    """How much higher ``n`` values of one model are than those of another: the mean with its 95% interval,
    and p of no difference.
    """

    n: int
    value: float
    low: float
    high: float
    p: float


def mean_difference(differences: "Tensor", seed: int = 0) -> MeanDifference:
    """The mean of paired differences, one for each row."""
    low, high = mean_interval(differences, seed)
    value, p = float(differences.mean()), permutation(differences, seed)
    return MeanDifference(len(differences), value, low, high, p)


def permutation(totals: "Tensor", seed: int) -> float:
    """Two-sided p of differences by product whose signs might as well be the other way round (Fisher 1935;
    Monte Carlo).

    A drawn p is never 0: the order as it is counts as one draw (Phipson and Smyth 2010,
    doi.org/10.2202/1544-6115.1585).
    """
    import torch

    moved = totals[totals != 0]
    if not len(moved):
        return 1.0
    draw, extreme, seen = torch.Generator().manual_seed(seed), 0, abs(float(moved.sum()))
    at_once = max(1, DRAWN_AT_ONCE // len(moved))
    for start in range(0, 5 * DRAWS, at_once):
        signs = (
            torch.randint(
                2, (min(at_once, 5 * DRAWS - start), len(moved)), generator=draw, dtype=torch.float64
            )
            * 2
            - 1
        )
        extreme += int(((signs @ moved).abs() >= seen - 1e-9).sum())
    return (extreme + 1) / (5 * DRAWS + 1)


def questions_needed(discordant: float, difference: float, clustered: float = 1.0) -> int:
    """Questions by which two runs that differ by ``difference`` are told apart (Connor 1987,
    doi.org/10.2307/2531961).

    Args:
        discordant: share of the questions that one of the two alone has right.
        clustered: variance of the difference beside what it were if each question stood for itself.
    """
    discordant = max(discordant, difference)
    root = Z * math.sqrt(discordant) + POWER_QUANTILE * math.sqrt(max(0.0, discordant - difference**2))
    return math.ceil(max(1.0, clustered) * (root / difference) ** 2)


def holm(values: list[float]) -> list[float]:
    """p-values of several tests, such that one of them is wrong by chance in 5% at most (Holm 1979,
    jstor.org/stable/4615733).
    """
    order = sorted(range(len(values)), key=values.__getitem__)
    adjusted, least = [0.0] * len(values), 0.0
    for place, i in enumerate(order):
        least = max(least, min(1.0, values[i] * (len(values) - place)))
        adjusted[i] = least
    return adjusted
