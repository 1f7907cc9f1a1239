"""Scores -> tables in Markdown: the published one, the grounded one, and one of several runs."""

import math
from typing import Any

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


def grounded_table(scores: Scores) -> str:
    """One row for each 'model, slice'; the six verdicts sum to n."""
    header = ["answers", "n", *(v.replace("_", " ") for v in VERDICTS), "product right", "all facts right", "details right"]
    keys = ["n", *VERDICTS]
    shares = ["right_product_rate", "right_facts_rate", "fact_accuracy"]
    return table(header, [[name, *(int(s[k]) for k in keys), *(float(s[k]) for k in shares)] for name, s in scores.items()])


def legacy_table(scores: Scores) -> str:
    """The published table."""
    header = ["published counting", "training size", "test size", "true positives", "false positives", "no product details"]
    keys = ["training_size", "test_size", "true_positives", "false_positives", "no_product_details"]
    rows = [[name, *(int(s[k]) for k in keys), float(s["accuracy"]), float(s["precision"])] for name, s in scores.items()]
    return table([*header, "legacy accuracy", "legacy precision"], rows)


def runs_table(runs: list[dict[str, Any]]) -> str:
    """One row a run, by validation loss, for the end of a sweep."""
    header = ["run", "r", "learning rate", "steps", "validation loss", "right product", "unseen right product", "right facts"]
    rows = [
        [
            run["name"],
            str(run["lora_r"]),
            f"{run['learning_rate']:g}",
            int(run["steps"]),
            f"{run['validation_loss']:.4f}",
            *(float(run.get(key, float("nan"))) for key in ("right_product", "unseen_right_product", "right_facts")),
        ]
        for run in sorted(runs, key=lambda run: float(run["validation_loss"]))
    ]
    return table(header, rows)
