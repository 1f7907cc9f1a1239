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
