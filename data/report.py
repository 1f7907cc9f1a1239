"""Scores -> tables in Markdown: of answers (published and grounded), of labels, of several runs side by side."""

import math
from typing import Any

import polars as pl

from data.scoring import VERDICTS

Scores = dict[str, dict[str, float]]


def cell(value: Any) -> str:
    """A number as a table shows it: counts whole, shares in per cent, nothing as a dash."""
    if isinstance(value, float):
        return "-" if math.isnan(value) else f"{100 * value:.1f}%"
    return f"{value:,}" if isinstance(value, int) else str(value)


def table(header: list[str], rows: list[list[Any]]) -> str:
    """A Markdown table whose columns line up in a terminal, words to the left and numbers to the right."""
    text = [header, *([cell(value) for value in row] for row in rows)]
    widths = [max(len(line[i]) for line in text) for i in range(len(header))]
    numeric = [any(isinstance(row[i], int | float) for row in rows) for i in range(len(header))]
    lines = [
        "| " + " | ".join(v.rjust(w) if n else v.ljust(w) for v, w, n in zip(line, widths, numeric, strict=True)) + " |" for line in text
    ]
    rule = "|" + "|".join("-" * (w + 1) + (":" if n else "-") for w, n in zip(widths, numeric, strict=True)) + "|"
    return "\n".join([lines[0], rule, *lines[1:]])


def wilson(count: float, n: float) -> str:
    """A share in per cent with its 95% interval (Wilson 1927, doi.org/10.1080/01621459.1927.10502953)."""
    if not n:
        return "-"
    z, p = 1.96, count / n
    middle, half = p + z * z / (2 * n), z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    low, high = (abs(100 * (middle + sign * half)) / (1 + z * z / n) for sign in (-1, 1))
    return f"{100 * p:.1f}% [{low:.1f}, {high:.1f}]"


def grounded_table(scores: Scores) -> str:
    """One row for each 'model, slice'; the six verdicts sum to n; shares stand with 95% intervals."""
    header = ["answers", "n", *(v.replace("_", " ") for v in VERDICTS), "product right", "all facts right", "details right"]
    rows: list[list[Any]] = []
    for name, s in scores.items():
        right = s["right_facts"] + s["wrong_fact"]
        shares = [wilson(right, s["n"]), wilson(s["right_facts"], s["n"]), float(s["fact_accuracy"])]
        rows.append([name, int(s["n"]), *(int(s[verdict]) for verdict in VERDICTS), *shares])
    return table(header, rows)


def legacy_table(scores: Scores) -> str:
    """The published table."""
    header = ["published counting", "training size", "test size", "true positives", "false positives", "no product details"]
    keys = ["training_size", "test_size", "true_positives", "false_positives", "no_product_details"]
    rows = [[name, *(int(s[k]) for k in keys), float(s["accuracy"]), float(s["precision"])] for name, s in scores.items()]
    return table([*header, "legacy accuracy", "legacy precision"], rows)


def runs_table(runs: list[dict[str, Any]]) -> str:
    """One row a run, in the given order, for the end of a sweep."""
    header = [
        "run",
        "r",
        "learning rate",
        "steps",
        f"validation {runs[0]['monitor']}",
        "right product",
        "unseen right product",
        "right facts",
    ]
    rows = [
        [
            run["name"],
            str(run["lora_r"]),
            f"{run['learning_rate']:g}",
            int(run["steps"]),
            f"{run['validation']:.4f}",
            *(float(run.get(key, float("nan"))) for key in ("right_product", "unseen_right_product", "right_facts")),
        ]
        for run in runs
    ]
    return table(header, rows)


def with_interval(scores: dict[str, Any], name: str) -> str:
    """A figure in per cent with its 95% interval, both from `data.label_scoring.score`."""
    return f"{100 * scores[name]:.1f}% [{100 * scores[f'{name}_low']:.1f}, {100 * scores[f'{name}_high']:.1f}]"


def scores_table(parts: dict[str, dict[str, Any]], headline: str, model: str) -> str:
    """One row for each split and slice: n, the headline figure with its interval, and what else is usual."""
    first = next(iter(parts.values()))
    others = [name for name in ("accuracy", "f1", "macro_f1", "micro_f1", "weighted_f1", "macro_f1_with_none") if name in first]
    others = [name for name in others if name != headline]
    header = [model, "n", headline.replace("_", " "), *(name.replace("_", " ") for name in others)]
    return table(header, [[name, int(s["n"]), with_interval(s, headline), *(float(s[o]) for o in others)] for name, s in parts.items()])


def classes_table(classes: dict[str, dict[str, float]], split: str) -> str:
    """One row a label: how often it is true and predicted, precision, recall, F1."""
    rows = [[name, int(s["rows"]), int(s["predictions"]), s["precision"], s["recall"], s["f1"]] for name, s in classes.items()]
    return table([f"{split}, by label", "true", "predicted", "precision", "recall", "f1"], rows)


def confusion_table(counts: list[list[float]], labels: list[str], split: str) -> str:
    """True labels down, predicted ones across."""
    rows = [[label, *(round(value) for value in row)] for label, row in zip(labels, counts, strict=True)]
    return table([f"{split}, true \\ predicted", *labels], rows)


def checks_table(judged: pl.DataFrame) -> str:
    """Pass rate of each kind of behavioural check, and what failed."""
    rows: list[list[Any]] = []
    for (kind,), some in judged.group_by("kind", maintain_order=True):
        failed = some.filter(~pl.col("passed"))
        shown = "; ".join(f"{row['text']!r} -> {row['predicted']}" for row in failed.head(3).iter_rows(named=True))
        rows.append([str(kind), some.height, some.height - failed.height, wilson(some.height - failed.height, some.height), shown])
    return table(["behavioural checks", "n", "passed", "pass rate", "failed, for example"], rows)


def split_name(row: dict[str, Any]) -> str:
    """What was predicted: a split, or the folds of a cross-validation together."""
    return f"{row['folds']} folds" if row["folds"] else str(row["split"])


def models_table(rows: list[dict[str, Any]]) -> str:
    """One row for each data set, split and model."""
    header = ["data", "split", "model", "n", "figure", "value", "accuracy", "macro f1", "trained in"]
    cells = [
        [
            row["data"],
            split_name(row),
            row["model"],
            int(row["n"]),
            row["headline"].replace("_", " "),
            with_interval(row, row["headline"]),
            float(row["accuracy"]),
            float(row["macro_f1"]),
            f"{row['seconds']:.0f} s",
        ]
        for row in rows
    ]
    return table(header, cells)
