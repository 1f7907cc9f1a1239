"""May this model be deployed? Every criterion is checked and said in words; a figure that is missing or
not a number fails.
"""

import math
from collections.abc import Sequence
from functools import partial

import polars as pl

from data.reports import forgetting_report, instruction_gate, label_gate, tables
from data.reports.criteria import NO_BASELINE, Criterion, Limits, at_least, failures, figure, no_worse, same
from data.reports.evaluated_runs import EvaluatedRun
from data.scoring import statistics, summaries, verdicts
from data.scoring.lookups import BASELINES
from data.values import JsonObject


def check_comparable(runs: list[EvaluatedRun]) -> None:
    """Raise ValueError if there is no run that answered questions."""
    if not runs:
        raise ValueError(
            "gate: give one classifier as ckpt=RUN/model; its baselines are the finished runs on the"
            " same data"
        )


def judge_run(
    run: EvaluatedRun,
    limits: Limits,
    incumbent: EvaluatedRun | None,
    digest_now: str,
    baselines: Sequence[EvaluatedRun] = (),
) -> list[Criterion]:
    """All criteria.

    Args:
        digest_now: of the model's files as they are to be registered. baselines: of a classifier; those of a
        model that answers stand in its own table.
    """
    if "splits" in run.scores:
        of_task = label_gate.criteria(run, limits, incumbent, baselines)
    elif "grounded" in run.scores:
        of_task = _catalogue_criteria(run, limits, incumbent)
    else:
        of_task = instruction_gate.criteria(run, limits, incumbent)
    return [
        *of_task,
        *forgetting_report.criteria(run.scores, limits.general),
        same("the model judged is the one at hand", run.scores.get("model_digest"), digest_now),
        same(
            "the questions are of the data it was trained on",
            run.scores.get("trained_on"),
            run.scores.get("data_digest"),
        ),
    ]


def _catalogue_criteria(run: EvaluatedRun, limits: Limits, incumbent: EvaluatedRun | None) -> list[Criterion]:
    """Those of a model that answers questions about a catalogue."""
    parts = _parts_of(run)
    figures = [_figures_of(run, part) for part in parts]
    failed = sum(figure(of_part, "failed") for of_part in figures)
    asked = sum(figure(of_part, "n") for of_part in figures)
    never_trained = [accuracy(run, part, limits.unseen_accuracy) for part in parts[1:]]
    invented = [at_most(run, part, limits.invented) for part in parts]
    return [
        accuracy(run, "known products", limits.accuracy),
        *never_trained,
        *invented,
        failures(failed, asked, limits.failed),
        *rivals(run, incumbent, limits.margin),
        leaks(run),
    ]


def _parts_of(run: EvaluatedRun) -> list[str]:
    """Known and unseen products, and unseen wordings where the run has any."""
    has_wordings = f"tuned, {verdicts.WORDINGS}" in run.scores.get("grounded", {})
    return [*(verdicts.SPLITS if has_wordings else verdicts.PRODUCT_SPLITS).values()]


def _figures_of(run: EvaluatedRun, part: str) -> JsonObject:
    """Figures of the tuned model; none where they are missing."""
    found: JsonObject = run.scores.get("grounded", {}).get(f"tuned, {part}", {})
    return found


def accuracy(run: EvaluatedRun, part: str, least: float) -> Criterion:
    """Accuracy by its lower end."""
    return at_least(f"accuracy, {part}", _figures_of(run, part), "accuracy", least)


def at_most(run: EvaluatedRun, part: str, most: float) -> Criterion:
    """Invented products by their upper end."""
    keys = ("invented_rate", "invented_rate_low", "invented_rate_high", "n")
    value, low, high, n = (figure(_figures_of(run, part), key) for key in keys)
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


def rivals(run: EvaluatedRun, incumbent: EvaluatedRun | None, margin: float) -> list[Criterion]:
    """Not worse than the best baseline, nor than the incumbent, by more than the margin, on the same
    questions.
    """
    models = [name for name in BASELINES if name in run.rows["model"]]
    rows = {name: run.rows.filter(pl.col("model") == name) for name in models}
    shares = {name: rows[name].select(summaries.RIGHT.mean()).item() or 0.0 for name in models}
    others = [(f"incumbent {incumbent.name}", incumbent.tuned)] if incumbent else []
    found = [] if models else [NO_BASELINE]
    if models:
        best = max(shares, key=shares.__getitem__)
        others.insert(0, (f"baseline {best}", rows[best]))
    for name, answers in others:
        compare = partial(statistics.paired, run.tuned, answers, summaries.RIGHT)
        found.append(no_worse(name, compare, "questions", margin))
    return found


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
