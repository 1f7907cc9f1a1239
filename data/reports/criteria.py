"""Criteria of the gate: what a limit is, what a criterion says, and the table of them."""

import math
from collections.abc import Callable
from dataclasses import dataclass, fields

from data import markdown
from data.reports import tables
from data.scoring.statistics import Difference, MeanDifference
from data.values import JsonObject, Settings


@dataclass(frozen=True)
class Limits:
    """What a model must reach. Shares of 1; intervals are 95% ones.

    accuracy: least accuracy on known products, by the lower end of its interval. unseen_accuracy: the same on
    products, and in wordings, that never occur in training. score: of a model trained on instructions, least
    mean of the first metric, and of a classifier least headline figure, by the lower end. calibration: of a
    classifier, most expected calibration error. invented: most invented products, by the upper end of the
    interval, on each part of the questions. general: most nats a token by which the loss on general text may
    rise, by the upper end. failed: most requests that may have failed. margin: by how much the model may be
    worse than the best baseline and the incumbent, by the lower end of the paired difference.
    """

    accuracy: float
    unseen_accuracy: float
    score: float
    calibration: float
    invented: float
    general: float
    failed: float
    margin: float

    @classmethod
    def of(cls, settings: Settings) -> "Limits":
        """Raises ValueError for unknown keys, missing ones, and what is no share."""
        problems = check_limits(settings)
        if problems:
            raise ValueError("\n  ".join(problems))
        return cls(**settings)


def check_limits(settings: Settings) -> list[str]:
    """What is wrong with limits, one line each."""
    names = [field.name for field in fields(Limits)]
    known = ", ".join(names)
    problems = [f"limits.{key}: no such limit; there are {known}" for key in settings if key not in names]
    for name in names:
        value = settings.get(name)
        if not isinstance(value, int | float) or isinstance(value, bool) or not 0 <= value <= 1:
            problems.append(f"limits.{name}={value}: must be a share from 0 to 1")
    return problems


@dataclass(frozen=True)
class Criterion:
    """One criterion: its name, whether it is met, and why."""

    name: str
    passed: bool
    words: str


def figure(figures: JsonObject, key: str) -> float:
    """A figure; not a number where it is missing."""
    value = figures.get(key)
    return float(value) if isinstance(value, int | float) else math.nan


def at_least(name: str, figures: JsonObject, metric: str, least: float) -> Criterion:
    """A figure by the lower end of its interval; 0: no minimum is set.

    Args:
        figures: n, and the figure as METRIC, METRIC_low and METRIC_high; a missing one fails.
    """
    if not least:
        return Criterion(name, True, "no minimum is set")
    keys = (metric, f"{metric}_low", f"{metric}_high", "n")
    value, low, high, n = (figure(figures, key) for key in keys)
    if not (math.isfinite(value) and math.isfinite(low) and n > 0):
        return Criterion(name, False, "there is no figure")
    compared = "at least" if low >= least else "below"
    interval = tables.format_interval(value, low, high)
    words = f"{interval} of {n:.0f}: the lower end is {compared} {100 * least:g}%"
    return Criterion(name, low >= least, words)


def failures(failed: float, n: float, most: float) -> Criterion:
    """Requests that failed; without a question the criterion is not met."""
    share = failed / n if n else math.nan
    words = f"{failed:.0f} of {n:.0f}; at most {100 * most:g}% may fail"
    return Criterion("failed requests", share <= most, words)


def no_worse(
    rival: str, compare: Callable[[], Difference | MeanDifference], unit: str, margin: float
) -> Criterion:
    """By the lower end of the paired difference.

    Args:
        compare: gives the difference, or raises ValueError where there is none. unit: what is compared.
    """
    name = f"not worse than the {rival}"
    try:
        d = compare()
    except ValueError as error:
        return Criterion(name, False, str(error))
    words = f"{tables.in_points(d, unit)}; {-100 * margin:g} is allowed"
    return Criterion(name, math.isfinite(d.low) and d.low >= -margin, words)


NO_BASELINE = Criterion("not worse than a baseline", False, "no baseline was evaluated beside it")


def same(name: str, there: object, here: object) -> Criterion:
    """Two digests."""
    return Criterion(
        name,
        bool(there) and there == here,
        f"{there} judged, {here} here" if there != here else f"digest {there}",
    )


def is_open(found: list[Criterion]) -> bool:
    """Whether all criteria are met."""
    return all(one.passed for one in found)


def gate_table(found: list[Criterion]) -> str:
    """The criteria, and what comes of them."""
    outcomes = {True: "passed", False: "FAILED"}
    rows: list[list[object]] = [[outcomes[one.passed], one.name, one.words] for one in found]
    failed = [one.name for one in found if not one.passed]
    end = (
        f"The gate is closed: {', '.join(failed)}." if failed else "The gate is open: every criterion is met."
    )
    return f"{markdown.markdown_table(['', 'criterion', 'why'], rows)}\n\n{end}"
