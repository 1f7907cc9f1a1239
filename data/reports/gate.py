"""May this model be deployed? Every criterion is checked and said in words; a figure that is missing or
not a number fails.
"""

import math

import polars as pl

from data.reports import forgetting_report, instruction_gate, tables
from data.reports.criteria import Criterion, Limits, same
from data.reports.evaluated_runs import EvaluatedRun
from data.scoring import statistics, summaries, verdicts
from data.scoring.lookups import BASELINES


def check_comparable(runs: list[EvaluatedRun]) -> None:
    """Raise ValueError if there is no run that answered questions."""
    if not runs:
        raise ValueError("gate: is for models that answer, not for classifiers")


def judge_run(
    run: EvaluatedRun, limits: Limits, incumbent: EvaluatedRun | None, digest_now: str
) -> list[Criterion]:
    """All criteria.

    Args:
        digest_now: of the model's files as they are to be registered.
    """
    of_task = catalogue_criteria if "grounded" in run.scores else instruction_gate.criteria
    return [
        *of_task(run, limits, incumbent),
        *forgetting_report.criteria(run.scores, limits.general),
        same("the model judged is the one at hand", run.scores.get("model_digest"), digest_now),
        same(
            "the questions are of the data it was trained on",
            run.scores.get("trained_on"),
            run.scores.get("data_digest"),
        ),
    ]


def catalogue_criteria(run: EvaluatedRun, limits: Limits, incumbent: EvaluatedRun | None) -> list[Criterion]:
    """Those of a model that answers questions about a catalogue."""
    parts = parts_of(run)
    never_trained = [at_least(run, part, limits.unseen_accuracy) for part in parts[1:]]
    invented = [at_most(run, part, limits.invented) for part in parts]
    return [
        at_least(run, "known products", limits.accuracy),
        *never_trained,
        *invented,
        failures(run, limits.failed),
        *rivals(run, incumbent, limits.margin),
        leaks(run),
    ]


def parts_of(run: EvaluatedRun) -> list[str]:
    """Known and unseen products, and unseen wordings where the run has any."""
    has_wordings = f"tuned, {verdicts.WORDINGS}" in run.scores.get("grounded", {})
    return [*(verdicts.SPLITS if has_wordings else verdicts.PRODUCT_SPLITS).values()]


def figure(run: EvaluatedRun, part: str, name: str) -> float:
    """A figure of the tuned model; not a number where it is missing."""
    value = run.scores.get("grounded", {}).get(f"tuned, {part}", {}).get(name)
    return float(value) if isinstance(value, int | float) else math.nan


def at_least(run: EvaluatedRun, part: str, least: float) -> Criterion:
    """Accuracy by its lower end."""
    value, low, high, n = (
        figure(run, part, name) for name in ("accuracy", "accuracy_low", "accuracy_high", "n")
    )
    name = f"accuracy, {part}"
    if not least:
        return Criterion(name, True, "no minimum is set")
    if not (math.isfinite(value) and math.isfinite(low) and n > 0):
        return Criterion(name, False, "there is no figure")
    words = (
        f"{tables.format_interval(value, low, high)} of {n:.0f}: the lower end is"
        f" {'at least' if low >= least else 'below'} {100 * least:g}%"
    )
    return Criterion(name, low >= least, words)


def at_most(run: EvaluatedRun, part: str, most: float) -> Criterion:
    """Invented products by their upper end."""
    value, low, high, n = (
        figure(run, part, name) for name in ("invented_rate", "invented_rate_low", "invented_rate_high", "n")
    )
    name = f"invented, {part}"
    if not n and most == 1:
        return Criterion(name, True, "no maximum is set")
    if not (math.isfinite(value) and math.isfinite(high) and n > 0):
        return Criterion(name, False, "there is no figure")
    words = (
        f"{tables.format_interval(value, low, high)} of {n:.0f}: the upper end is"
        f" {'at most' if high <= most else 'above'} {100 * most:g}%"
    )
    return Criterion(name, high <= most, words)


def failures(run: EvaluatedRun, most: float) -> Criterion:
    """Requests that failed, on all questions."""
    counts = [figure(run, part, "failed") for part in parts_of(run)]
    n = sum(figure(run, part, "n") for part in parts_of(run))
    share = sum(counts) / n if n else math.nan
    return Criterion(
        "failed requests", share <= most, f"{sum(counts):.0f} of {n:.0f}; at most {100 * most:g}% may fail"
    )


def rivals(run: EvaluatedRun, incumbent: EvaluatedRun | None, margin: float) -> list[Criterion]:
    """Not worse than the best baseline, nor than the incumbent, by more than the margin, on the same
    questions.
    """
    models = [name for name in BASELINES if name in run.rows["model"]]
    shares = {
        name: run.rows.filter(pl.col("model") == name).select(summaries.RIGHT.mean()).item() or 0.0
        for name in models
    }
    best = max(shares, key=shares.__getitem__) if shares else ""
    found = (
        [no_worse(run, f"baseline {best}", run.rows.filter(pl.col("model") == best), margin)] if best else []
    )
    if not best:
        found.append(Criterion("not worse than a baseline", False, "no baseline was evaluated beside it"))
    return found + (
        [no_worse(run, f"incumbent {incumbent.name}", incumbent.tuned, margin)] if incumbent else []
    )


def no_worse(run: EvaluatedRun, name: str, rows: pl.DataFrame, margin: float) -> Criterion:
    """By the lower end of the paired difference."""
    title = f"not worse than the {name}"
    try:
        d = statistics.paired(run.tuned, rows, summaries.RIGHT)
    except ValueError as error:
        return Criterion(title, False, str(error))
    words = (
        f"{100 * d.value:+.1f} points [{100 * d.low:+.1f}, {100 * d.high:+.1f}] on {d.n} questions;"
        f" {-100 * margin:g} is allowed"
    )
    return Criterion(title, math.isfinite(d.low) and d.low >= -margin, words)


def leaks(run: EvaluatedRun) -> Criterion:
    """No question of the test may stand in training, and no unseen product."""
    rows = {row["split"]: row for row in run.scores.get("leakage", [])}
    if not set(verdicts.SPLITS) & set(rows):
        return Criterion("no leakage", False, "there is no figure")
    shared = sum(rows[split]["same_question"] for split in verdicts.SPLITS if split in rows)
    met = rows.get("unseen", {}).get("same_product", 0)
    return Criterion(
        "no leakage",
        shared == 0 and met == 0,
        f"{shared} test questions and {met} rows of unseen products stand in training",
    )
