"""Markdown tables whose columns line up in a terminal."""

import math
import re
from typing import Any


def cell(value: Any) -> str:
    """A number as a table shows it: counts whole, shares in per cent, nothing as a dash."""
    if isinstance(value, float):
        return "-" if math.isnan(value) else f"{100 * value:.1f}%"
    return f"{value:,}" if isinstance(value, int) else re.sub(r"(?<!\\)\|", r"\|", str(value))


def markdown_table(header: list[str], rows: list[list[Any]]) -> str:
    """A Markdown table whose columns line up in a terminal, words to the left and numbers to the right."""
    text = [header, *([cell(value) for value in row] for row in rows)]
    widths = [max(len(line[i]) for line in text) for i in range(len(header))]
    numeric = [any(isinstance(row[i], int | float) for row in rows) for i in range(len(header))]
    lines = [
        "| "
        + " | ".join(v.rjust(w) if n else v.ljust(w) for v, w, n in zip(line, widths, numeric, strict=True))
        + " |"
        for line in text
    ]
    rule = (
        "|"
        + "|".join("-" * (w + 1) + (":" if n else "-") for w, n in zip(widths, numeric, strict=True))
        + "|"
    )
    return "\n".join([lines[0], rule, *lines[1:]])
