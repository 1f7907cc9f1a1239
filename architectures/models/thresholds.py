"""The probabilities from which a classifier gives its labels, chosen on rows that it was not trained on.

They are taken only where they help on rows that they were not chosen on: F1 of one half of the rows, with the
thresholds of the other half, must be above that with 0.5.
"""

import torch
from torch import Tensor
from torch.nn import functional

DEFAULT = 0.5
GRID = [step / 20 for step in range(1, 20)]
FEWEST = 10  # rows with a label below which its threshold stays as it is
SPLITS = 10  # random halves


def decide(probabilities: Tensor, multi_label: bool, thresholds: list[float] | None = None) -> Tensor:
    """The labels that are given: where a text can have several, all whose probability reaches their
    threshold; else the most probable one, or the last of two if its probability reaches its threshold.
    (rows, labels) -> int64 (rows, labels) of 0 and 1

    Args:
        thresholds: of each label, or of the last of two alone; None: 0.5, or the most probable.
    """
    if multi_label:
        least = probabilities.new_tensor(thresholds or [DEFAULT])
        return (probabilities >= least).long()
    places = (probabilities[:, -1] >= thresholds[-1]).long() if thresholds else probabilities.argmax(1)
    return functional.one_hot(places, probabilities.shape[1])


def f1_scores(decided: Tensor, truth: Tensor) -> Tensor:
    """F1 of each label; 0 of one that is neither given nor there. (rows, labels) of 0 and 1 -> (labels,)"""
    right = (decided * truth).sum(0).double()
    return 2 * right / (decided.sum(0) + truth.sum(0)).clamp(min=1)


def best_thresholds(probabilities: Tensor, truth: Tensor) -> Tensor:
    """The threshold of each label with the highest F1, the one nearest to 0.5 where several have it.

    Args:
        probabilities: (rows, labels). truth: of 0 and 1, alike.
    """
    grid = sorted(GRID, key=lambda value: abs(value - DEFAULT))
    scores = torch.stack([f1_scores((probabilities >= value).long(), truth) for value in grid])
    best = torch.tensor(grid)[scores.argmax(0)]
    return torch.where(truth.sum(0) >= FEWEST, best, DEFAULT)


def _mean_f1(probabilities: Tensor, truth: Tensor, thresholds: Tensor | float) -> float:
    """The mean F1 of the labels."""
    return float(f1_scores((probabilities >= thresholds).long(), truth).mean())


def choose_thresholds(probabilities: Tensor, truth: Tensor) -> tuple[list[float] | None, float, float]:
    """(thresholds, or None where 0.5 is as good; mean F1 with 0.5; with thresholds), the F1 on halves of the
    rows that the thresholds were not chosen on.

    Args:
        probabilities: (rows, labels). truth: of 0 and 1, alike.
    """
    draw = torch.Generator().manual_seed(0)
    plain, chosen = [], []
    for _ in range(SPLITS):
        order = torch.randperm(len(truth), generator=draw)
        for one, other in (order.chunk(2), order.chunk(2)[::-1]):
            thresholds = best_thresholds(probabilities[one], truth[one])
            plain.append(_mean_f1(probabilities[other], truth[other], DEFAULT))
            chosen.append(_mean_f1(probabilities[other], truth[other], thresholds))
    before, after = sum(plain) / len(plain), sum(chosen) / len(chosen)
    found = best_thresholds(probabilities, truth)
    if after <= before or bool((found == DEFAULT).all()):
        return None, before, after
    return [round(value, 2) for value in found.tolist()], before, after
