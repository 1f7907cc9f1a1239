"""The gate's criteria for a classifier."""

import math
from collections.abc import Sequence
from functools import partial

from data.reports.criteria import NO_BASELINE, Criterion, Limits, at_least, figure, no_worse
from data.reports.evaluated_runs import EvaluatedRun
from data.scoring import label_metrics
from data.values import JsonObject

HOW_TO_FIT_ONE = " (python train.py with the same data and model=tfidf)"


def criteria(
    run: EvaluatedRun, limits: Limits, incumbent: EvaluatedRun | None, baselines: Sequence[EvaluatedRun]
) -> list[Criterion]:
    """Headline figure, calibration, baselines and incumbent, leakage.

    Args:
        baselines: runs of classifiers that are not fine-tuned, on the same data.
    """
    split = run.deciding_split
    headline, figures = run.scores["headline"], run.scores["splits"][split]
    return [
        at_least(f"{headline}, {split} rows", figures, headline, limits.score),
        _calibrated(run.scores["calibration"][split], limits.calibration),
        *_rivals(run, incumbent, baselines, limits.margin),
        _leaks(run, split),
    ]


def _calibrated(figures: JsonObject, most: float) -> Criterion:
    """The expected calibration error."""
    error = figure(figures, "ece")
    words = f"{100 * error:.1f} points; at most {100 * most:g} are allowed"
    return Criterion("expected calibration error", math.isfinite(error) and error <= most, words)


def _rivals(
    run: EvaluatedRun, incumbent: EvaluatedRun | None, baselines: Sequence[EvaluatedRun], margin: float
) -> list[Criterion]:
    """Not worse than the best baseline and the incumbent, on the same rows."""
    split, metric = run.deciding_split, run.scores["headline"]
    others = [(f"incumbent {incumbent.name}", incumbent)] if incumbent else []
    found = [] if baselines else [Criterion(NO_BASELINE.name, False, NO_BASELINE.words + HOW_TO_FIT_ONE)]
    if baselines:
        best = max(baselines, key=lambda one: one.scores["splits"][split][metric])
        others.insert(0, (f"baseline {best.name}", best))
    for name, other in others:
        found.append(no_worse(name, partial(difference, run, other), "rows", margin))
    return found


def difference(run: EvaluatedRun, other: EvaluatedRun) -> label_metrics.MeanDifference:
    """How much higher the headline figure of a run is than another's, on the rows that decide. Raises
    ValueError if the labels differ or no row is shared.
    """
    scores, split = run.scores, run.deciding_split
    if other.scores["labels"] != scores["labels"]:
        raise ValueError("the two models have different labels")
    mine, theirs = (one.rows.filter(split=split) for one in (run, other))
    form = scores["labels"], scores["multi_label"], scores["origin"]["seed"]
    return label_metrics.difference(mine, theirs, scores["headline"], *form)


def _leaks(run: EvaluatedRun, split: str) -> Criterion:
    """No text of the deciding rows may stand in training."""
    shared, rows = run.scores["leakage"].get(split, 0), int(run.scores["splits"][split]["n"])
    return Criterion("no leakage", shared == 0, f"{shared} of {rows} {split} texts stand in training")
