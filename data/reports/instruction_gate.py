"""The gate's criteria for a model trained on instructions."""

from functools import partial

from data.reports import instruction_report
from data.reports.criteria import NO_BASELINE, Criterion, Limits, at_least, failures, no_worse
from data.reports.evaluated_runs import EvaluatedRun
from data.scoring.instruction_baselines import BASELINES


def criteria(run: EvaluatedRun, limits: Limits, incumbent: EvaluatedRun | None) -> list[Criterion]:
    """Score, failed requests, baselines and incumbent, leakage."""
    metric, split = instruction_report.headline(run), run.deciding_split
    figures = run.scores["texts"][f"tuned, {split}"]
    scored = figures | {"n": figures[f"{metric}_n"]}  # rows whose reference has a score
    return [
        at_least(f"{metric}, {split} rows", scored, metric, limits.score),
        failures(run.tuned["prediction"].null_count(), run.tuned.height, limits.failed),
        *rivals(run, incumbent, limits.margin),
        leaks(run),
    ]


def rivals(run: EvaluatedRun, incumbent: EvaluatedRun | None, margin: float) -> list[Criterion]:
    """Not worse than the best baseline and the incumbent, row by row."""
    metric, split = instruction_report.headline(run), run.deciding_split
    figures = run.scores["texts"]
    present = [name for name in BASELINES if f"{name}, {split}" in figures]
    others = [(f"incumbent {incumbent.name}", incumbent, "tuned")] if incumbent else []
    found = [] if present else [NO_BASELINE]
    if present:
        best = max(present, key=lambda name: figures[f"{name}, {split}"][metric])
        others.insert(0, (f"baseline {best}", run, best))
    for name, other, model in others:
        compare = partial(instruction_report.difference, run, other, model)
        found.append(no_worse(name, compare, "rows", margin))
    return found


def leaks(run: EvaluatedRun) -> Criterion:
    """No held-out prompt may stand in training."""
    shared, rows = run.scores["leakage"]["shared"], run.scores["leakage"]["rows"]
    return Criterion("no leakage", shared == 0, f"{shared} of {rows} held-out prompts stand in training")
