"""The gate's criteria for a model trained on instructions."""

import math

from data.reports import instruction_report, tables
from data.reports.criteria import Criterion, Limits
from data.reports.evaluated_runs import EvaluatedRun
from data.scoring.instruction_baselines import BASELINES


def criteria(run: EvaluatedRun, limits: Limits, incumbent: EvaluatedRun | None) -> list[Criterion]:
    """Score, failed requests, baselines and incumbent, leakage."""
    return [
        score(run, limits.score),
        failures(run, limits.failed),
        *rivals(run, incumbent, limits.margin),
        leaks(run),
    ]


def score(run: EvaluatedRun, least: float) -> Criterion:
    """The first metric on the rows that decide, by its lower end."""
    metric, split = instruction_report.headline(run), instruction_report.deciding_split(run.rows)
    figures = run.scores["texts"][f"tuned, {split}"]
    value, low, high = (float(figures[key]) for key in (metric, f"{metric}_low", f"{metric}_high"))
    name = f"{metric}, {split} rows"
    if not least:
        return Criterion(name, True, "no minimum is set")
    compared = "at least" if low >= least else "below"
    words = f"{tables.format_interval(value, low, high)}: the lower end is {compared} {100 * least:g}%"
    return Criterion(name, math.isfinite(value) and low >= least, words)


def failures(run: EvaluatedRun, most: float) -> Criterion:
    """Requests that failed."""
    n, failed = run.tuned.height, run.tuned["prediction"].null_count()
    words = f"{failed} of {n}; at most {100 * most:g}% may fail"
    return Criterion("failed requests", n > 0 and failed / n <= most, words)


def rivals(run: EvaluatedRun, incumbent: EvaluatedRun | None, margin: float) -> list[Criterion]:
    """Not worse than the best baseline and the incumbent, row by row."""
    metric = instruction_report.headline(run)
    split = instruction_report.deciding_split(run.rows)
    present = [name for name in BASELINES if f"{name}, {split}" in run.scores["texts"]]
    if not present:
        found = [Criterion("not worse than a baseline", False, "no baseline was evaluated beside it")]
    else:
        best = max(present, key=lambda name: run.scores["texts"][f"{name}, {split}"][metric])
        found = [no_worse(run, f"baseline {best}", run, best, margin)]
    if incumbent:
        found.append(no_worse(run, f"incumbent {incumbent.name}", incumbent, "tuned", margin))
    return found


def no_worse(run: EvaluatedRun, name: str, other: EvaluatedRun, model: str, margin: float) -> Criterion:
    """By the lower end of the paired difference."""
    title = f"not worse than the {name}"
    try:
        d = instruction_report.difference(run, other, model)
    except ValueError as error:
        return Criterion(title, False, str(error))
    words = f"{instruction_report.in_points(d)}; {-100 * margin:g} is allowed"
    return Criterion(title, math.isfinite(d.low) and d.low >= -margin, words)


def leaks(run: EvaluatedRun) -> Criterion:
    """No held-out prompt may stand in training."""
    shared, rows = run.scores["leakage"]["shared"], run.scores["leakage"]["rows"]
    return Criterion("no leakage", shared == 0, f"{shared} of {rows} held-out prompts stand in training")
