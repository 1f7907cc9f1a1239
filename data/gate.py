"""May this model be deployed? Every criterion is checked and said in words; a figure that is missing or not a number fails."""

import math
from dataclasses import dataclass, fields
from typing import Any

import polars as pl

from data import report, scoring, statistics
from data.comparison import DRAWN, Run


@dataclass(frozen=True)
class Limits:
    """What a model must reach. Shares of 1; intervals are 95% ones."""

    accuracy: float  # least accuracy on known products, by the lower end of its interval
    unseen_accuracy: float  # the same on products that training never met
    invented: float  # most invented products among the answers, by the upper end, on known and on unseen products
    failed: float  # most requests that may have failed
    margin: float  # by how much it may be worse than the best baseline and the incumbent, by the lower end of the paired difference

    @classmethod
    def of(cls, given: dict[str, Any]) -> "Limits":
        """Raises ValueError for unknown keys, missing ones, and what is no share."""
        names = [field.name for field in fields(cls)]
        problems = [f"limits.{key}: no such limit; there are {', '.join(names)}" for key in given if key not in names]
        for name in names:
            value = given.get(name)
            if not isinstance(value, int | float) or isinstance(value, bool) or not 0 <= value <= 1:
                problems.append(f"limits.{name}={value}: must be a share from 0 to 1")
        if problems:
            raise ValueError("\n  ".join(problems))
        return cls(**given)


@dataclass(frozen=True)
class Criterion:
    """One criterion: its name, whether it is met, and why."""

    name: str
    passed: bool
    words: str


def decide(run: Run, limits: Limits, incumbent: Run | None, digest_now: str) -> list[Criterion]:
    """All criteria.

    Args:
        digest_now: of the model's files as they are to be registered.
    """
    return [
        at_least(run, "known products", limits.accuracy),
        at_least(run, "unseen products", limits.unseen_accuracy),
        *(at_most(run, part, limits.invented) for part in scoring.SPLITS.values()),
        failures(run, limits.failed),
        *rivals(run, incumbent, limits.margin),
        leaks(run),
        same("the model judged is the one at hand", run.scores.get("model_digest"), digest_now),
        same("the questions are of the data it was trained on", run.scores.get("trained_on"), run.scores.get("data_digest")),
    ]


def passed(found: list[Criterion]) -> bool:
    """Whether all criteria are met."""
    return all(one.passed for one in found)


def figure(run: Run, part: str, name: str) -> float:
    """A figure of the tuned model; not a number where it is missing."""
    value = run.scores.get("grounded", {}).get(f"tuned, {part}", {}).get(name)
    return float(value) if isinstance(value, int | float) else math.nan


def at_least(run: Run, part: str, least: float) -> Criterion:
    """Accuracy by its lower end."""
    value, low, high, n = (figure(run, part, name) for name in ("accuracy", "accuracy_low", "accuracy_high", "n"))
    name = f"accuracy, {part}"
    if not least:
        return Criterion(name, True, "no minimum is set")
    if not (math.isfinite(value) and math.isfinite(low) and n > 0):
        return Criterion(name, False, "there is no figure")
    words = f"{report.interval(value, low, high)} of {n:.0f}: the lower end is {'at least' if low >= least else 'below'} {100 * least:g}%"
    return Criterion(name, low >= least, words)


def at_most(run: Run, part: str, most: float) -> Criterion:
    """Invented products by their upper end."""
    value, low, high, n = (figure(run, part, name) for name in ("invented_rate", "invented_rate_low", "invented_rate_high", "n"))
    name = f"invented, {part}"
    if not n and most == 1:
        return Criterion(name, True, "no maximum is set")
    if not (math.isfinite(value) and math.isfinite(high) and n > 0):
        return Criterion(name, False, "there is no figure")
    words = f"{report.interval(value, low, high)} of {n:.0f}: the upper end is {'at most' if high <= most else 'above'} {100 * most:g}%"
    return Criterion(name, high <= most, words)


def failures(run: Run, most: float) -> Criterion:
    """Requests that failed, on all questions."""
    counts = [figure(run, part, "failed") for part in scoring.SPLITS.values()]
    n = sum(figure(run, part, "n") for part in scoring.SPLITS.values())
    share = sum(counts) / n if n else math.nan
    return Criterion("failed requests", share <= most, f"{sum(counts):.0f} of {n:.0f}; at most {100 * most:g}% may fail")


def rivals(run: Run, incumbent: Run | None, margin: float) -> list[Criterion]:
    """Not worse than the best baseline, nor than the incumbent, by more than the margin, on the same questions."""
    models = [name for name in DRAWN if name in run.rows["model"]]
    shares = {name: run.rows.filter(pl.col("model") == name).select(scoring.RIGHT.mean()).item() or 0.0 for name in models}
    best = max(shares, key=shares.__getitem__) if shares else ""
    found = [no_worse(run, f"baseline {best}", run.rows.filter(pl.col("model") == best), margin)] if best else []
    if not best:
        found.append(Criterion("not worse than a baseline", False, "no baseline was evaluated beside it"))
    return found + ([no_worse(run, f"incumbent {incumbent.name}", incumbent.tuned, margin)] if incumbent else [])


def no_worse(run: Run, name: str, rows: pl.DataFrame, margin: float) -> Criterion:
    """By the lower end of the paired difference."""
    title = f"not worse than the {name}"
    try:
        d = statistics.paired(run.tuned, rows, scoring.RIGHT)
    except ValueError as error:
        return Criterion(title, False, str(error))
    words = f"{100 * d.value:+.1f} points [{100 * d.low:+.1f}, {100 * d.high:+.1f}] on {d.n} questions; {-100 * margin:g} is allowed"
    return Criterion(title, math.isfinite(d.low) and d.low >= -margin, words)


def leaks(run: Run) -> Criterion:
    """No question of the test may stand in training, and no unseen product."""
    rows = {row["split"]: row for row in run.scores.get("leakage", [])}
    if not set(scoring.SPLITS) & set(rows):
        return Criterion("no leakage", False, "there is no figure")
    shared = sum(rows[split]["same_question"] for split in scoring.SPLITS if split in rows)
    met = rows.get("unseen", {}).get("same_product", 0)
    return Criterion("no leakage", shared == 0 and met == 0, f"{shared} test questions and {met} rows of unseen products stand in training")


def same(name: str, there: Any, here: Any) -> Criterion:
    """Two digests."""
    return Criterion(name, bool(there) and there == here, f"{there} judged, {here} here" if there != here else f"digest {there}")


def table(found: list[Criterion]) -> str:
    """The criteria, and what comes of them."""
    rows: list[list[Any]] = [["passed" if one.passed else "FAILED", one.name, one.words] for one in found]
    failed = [one.name for one in found if not one.passed]
    end = f"The gate is closed: {', '.join(failed)}." if failed else "The gate is open: every criterion is met."
    return f"{report.table(['', 'criterion', 'why'], rows)}\n\n{end}"
