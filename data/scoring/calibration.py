"""How far the probabilities of a classifier can be believed: the bins of a reliability diagram and the
expected calibration error (Guo et al. 2017, https://arxiv.org/abs/1706.04599).
"""

from typing import TYPE_CHECKING

import polars as pl

from data.scoring.label_metrics import one_hot
from data.values import JsonObject

if TYPE_CHECKING:
    from torch import Tensor

BINS = 15  # of equal width, from 0 to 1


def calibration(rows: pl.DataFrame, labels: list[str], multi_label: bool) -> JsonObject:
    """``ece``: the distance between predicted probability and observed frequency, the mean over the bins
    weighted by their size. ``bins``: (decisions, mean predicted probability, observed frequency) of each bin
    with any.

    Args:
        rows: labels, and probabilities in the order of ``labels``. multi_label: every label of a text is a
        decision of its own; else the likeliest label of a text is.
    """
    predicted, right = _decisions(rows, labels, multi_label)
    places = (predicted * BINS).long().clamp(max=BINS - 1)
    bins: list[tuple[int, float, float]] = []
    for place in range(BINS):
        inside = places == place
        if inside.any():
            bins.append((int(inside.sum()), float(predicted[inside].mean()), float(right[inside].mean())))
    distances = sum(count * abs(probability - share) for count, probability, share in bins)
    return {"ece": distances / len(predicted) if len(predicted) else float("nan"), "bins": bins}


def _decisions(rows: pl.DataFrame, labels: list[str], multi_label: bool) -> "tuple[Tensor, Tensor]":
    """(predicted probability, whether it is right: 0 or 1) of each decision."""
    import torch

    truth = one_hot(rows["labels"], labels)
    probabilities = torch.tensor(rows["probabilities"].to_list(), dtype=torch.float64).reshape(truth.shape)
    if multi_label:
        return probabilities.flatten(), truth.flatten()
    predicted, places = probabilities.max(1)
    return predicted, truth.gather(1, places[:, None])[:, 0]
