"""Predicted labels against true ones: counts, precision, recall, F1 by class and averaged, intervals,
behavioural checks.

Every figure depends on the rows only through how often each pair (true labels, predicted labels) occurs. So a
bootstrap over rows (Efron 1979, doi.org/10.1214/aos/1176344552) is a multinomial draw of these counts, and
all draws are scored at once.
"""

from typing import TYPE_CHECKING

import polars as pl

from data.scoring.statistics import MeanDifference, wilson
from data.values import JsonObject

if TYPE_CHECKING:
    import torch
    from torch import Tensor

DRAWS = 2000

AVERAGES = ("macro", "micro", "weighted")


def one_hot(column: pl.Series, labels: list[str]) -> "Tensor":
    """Lists of labels -> (rows, labels) of 0 and 1."""
    frame = pl.DataFrame({"given": column})
    return frame.select(
        pl.col("given").list.contains(label).cast(pl.Float64).alias(label) for label in labels
    ).to_torch()


def label_pairs(rows: pl.DataFrame, labels: list[str]) -> "tuple[Tensor, Tensor, Tensor]":
    """(truth, predicted, count) of every pair that occurs, in an order of their own. (pairs, labels),
    (pairs, labels), (pairs,)
    """
    found = (
        rows.group_by("labels", "predicted")
        .len()
        .sort(pl.col("labels").list.join(";"), pl.col("predicted").list.join(";"))
    )
    return (
        one_hot(found["labels"], labels),
        one_hot(found["predicted"], labels),
        found["len"].cast(pl.Float64).to_torch(),
    )


def _safe_divide(a: "Tensor", b: "Tensor") -> "Tensor":
    """a / b, and 0 where b is 0."""
    import torch

    return torch.where(b > 0, a / b.clamp(min=1e-12), torch.zeros_like(a))


def _class_measures(truth: "Tensor", predicted: "Tensor", counts: "Tensor") -> "dict[str, Tensor]":
    """Each class's precision, recall, F1, rows and predictions. counts: (draws, pairs) -> (draws, labels)
    each
    """
    both, true, given = (counts @ x for x in (truth * predicted, truth, predicted))
    precision, recall = _safe_divide(both, given), _safe_divide(both, true)
    return {
        "precision": precision,
        "recall": recall,
        "f1": _safe_divide(2 * both, true + given),
        "rows": true,
        "predictions": given,
        "both": both,
    }


def averages(
    truth: "Tensor", predicted: "Tensor", counts: "Tensor", multi_label: bool
) -> "dict[str, Tensor]":
    """Macro, micro and weighted precision, recall, F1. counts: (draws, pairs) -> (draws,) each

    Of texts with one label, a class that occurs neither in truth nor in prediction does not count in the
    macro average.
    """
    import torch

    each = _class_measures(truth, predicted, counts)
    there = (
        torch.ones_like(each["rows"]) if multi_label else ((each["rows"] + each["predictions"]) > 0).double()
    )
    both, true, given = (each[name].sum(1) for name in ("both", "rows", "predictions"))
    found = {}
    for name, micro in (
        ("precision", _safe_divide(both, given)),
        ("recall", _safe_divide(both, true)),
        ("f1", _safe_divide(2 * both, true + given)),
    ):
        found[f"macro_{name}"] = _safe_divide((each[name] * there).sum(1), there.sum(1))
        found[f"micro_{name}"] = micro
        found[f"weighted_{name}"] = _safe_divide((each[name] * each["rows"]).sum(1), each["rows"].sum(1))
    return found


def measures(
    truth: "Tensor", predicted: "Tensor", counts: "Tensor", multi_label: bool
) -> "dict[str, Tensor]":
    """All figures. counts: (draws, pairs) -> (draws,) each

    accuracy: rows that are right as a whole. precision, recall, f1: of the last of two classes.
    ..._with_none: with a ninth column, 'no label', beside UNFAIR-ToS's eight (Chalkidis et al. 2022,
    https://arxiv.org/abs/2110.00976).
    """
    import torch

    right = (truth == predicted).all(1).double()
    found = {"accuracy": _safe_divide(counts @ right, counts.sum(1))} | averages(
        truth, predicted, counts, multi_label
    )
    if multi_label:
        wider = [torch.cat([x, 1 - x.amax(1, keepdim=True)], 1) for x in (truth, predicted)]
        whole = averages(wider[0], wider[1], counts, True)
        found |= {f"{average}_f1_with_none": whole[f"{average}_f1"] for average in ("macro", "micro")}
    elif truth.shape[1] == 2:
        each = _class_measures(truth, predicted, counts)
        found |= {name: each[name][:, -1] for name in ("precision", "recall", "f1")}
    return found


def score(rows: pl.DataFrame, labels: list[str], multi_label: bool, seed: int) -> JsonObject:
    """``rows`` with the lists ``labels`` and ``predicted`` -> n, every figure, and its 95% interval as
    ``NAME_low``, ``NAME_high``.
    """
    import torch

    truth, predicted, counts = label_pairs(rows, labels)
    found = {
        name: float(value[0]) for name, value in measures(truth, predicted, counts[None], multi_label).items()
    }
    draw = torch.Generator().manual_seed(seed)
    n = int(counts.sum())
    often = multinomial(counts, draw)
    limits = torch.tensor([0.025, 0.975], dtype=torch.float64)
    for name, value in measures(truth, predicted, often, multi_label).items():
        low, high = value.quantile(limits).tolist()
        found |= {f"{name}_low": low, f"{name}_high": high}
    if found["accuracy"] == 1:  # every draw is all right, which is not certain
        least, _ = wilson(n, n)
        found |= {name: min(value, least) for name, value in found.items() if name.endswith("_low")}
    return {"n": n, **found}


def difference(
    a: pl.DataFrame, b: pl.DataFrame, metric: str, labels: list[str], multi_label: bool, seed: int = 0
) -> MeanDifference:
    """The difference of a figure between two models on the same rows, with the interval of a bootstrap over
    rows. p is twice the share of draws on the other side of no difference.

    Args:
        a, b: split, row, labels, predicted. metric: a figure of `measures`.

    Raises ValueError if they share no row.
    """
    import torch

    keys = ["split", "row"]
    rows = a.select(*keys, "labels", "predicted").join(b.select(*keys, other="predicted"), on=keys)
    if not rows.height:
        raise ValueError("no row was labelled by both models: evaluate them on the same data")
    order = [pl.col(name).list.join(";") for name in ("labels", "predicted", "other")]
    found = rows.group_by("labels", "predicted", "other").len().sort(order)
    truth, mine, others = (one_hot(found[name], labels) for name in ("labels", "predicted", "other"))
    counts = found["len"].cast(pl.Float64).to_torch()
    often = torch.cat([counts[None], multinomial(counts, torch.Generator().manual_seed(seed))])
    figures = [measures(truth, given, often, multi_label)[metric] for given in (mine, others)]
    above = figures[0] - figures[1]
    drawn = above[1:]
    low, high = drawn.quantile(torch.tensor([0.025, 0.975], dtype=torch.float64)).tolist()
    tail = min(int((drawn <= 0).sum()), int((drawn >= 0).sum()))
    return MeanDifference(rows.height, float(above[0]), low, high, min(1.0, 2 * (tail + 1) / (DRAWS + 1)))


def multinomial(counts: "Tensor", draw: "torch.Generator") -> "Tensor":
    """As many rows as there are, drawn anew, `DRAWS` times: pair after pair a binomial of what is left.
    (DRAWS, pairs)
    """
    import torch

    left, below = counts.sum().expand(DRAWS).clone(), float(counts.sum())
    often = []
    for count in counts.tolist():
        often.append(
            torch.binomial(left, torch.full_like(left, min(1.0, count / below)), generator=draw)
            if below
            else torch.zeros(DRAWS)
        )
        left, below = left - often[-1], below - count
    return torch.stack(often, 1)


def by_class(rows: pl.DataFrame, labels: list[str]) -> dict[str, dict[str, float]]:
    """Label -> rows that have it, predictions of it, precision, recall, F1."""
    truth, predicted, counts = label_pairs(rows, labels)
    found = _class_measures(truth, predicted, counts[None])
    names = ("rows", "predictions", "precision", "recall", "f1")
    by_label = {}
    for i, label in enumerate(labels):
        by_label[label] = {name: float(found[name][0, i]) for name in names}
    return by_label


def confusion(rows: pl.DataFrame, labels: list[str], multi_label: bool) -> "Tensor":
    """How often each true label (down) goes with each predicted one (across). (labels, labels)

    Where a text can have several labels, a last row and column stand for 'none', right ones stand on the
    diagonal, and what is wrong is spread over the pairs of a missed and an invented label.
    """
    import torch

    truth, predicted, counts = label_pairs(rows, labels)
    if not multi_label:
        return (truth * counts[:, None]).T @ predicted
    missed, invented = truth * (1 - predicted), predicted * (1 - truth)
    nothing = [1 - x.amax(1, keepdim=True) for x in (truth, predicted)]
    right = torch.diag(
        torch.cat(
            [(truth * predicted * counts[:, None]).sum(0), (nothing[0] * nothing[1] * counts[:, None]).sum(0)]
        )
    )
    down = torch.cat([missed, (missed.sum(1, keepdim=True) == 0).double()], 1)
    across = torch.cat([invented, (invented.sum(1, keepdim=True) == 0).double()], 1)
    wrong = ((truth != predicted).any(1).double() * counts)[:, None]
    return right + (down * wrong).T @ across
