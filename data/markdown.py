"""Markdown tables whose columns line up in a terminal."""

import math
import re


def cell(value: object) -> str:
    """A number as a table shows it: counts whole, shares in per cent, nothing as a dash."""
    if isinstance(value, float):
        return "-" if math.isnan(value) else f"{100 * value:.1f}%"
    return f"{value:,}" if isinstance(value, int) else re.sub(r"(?<!\\)\|", r"\|", str(value))


def markdown_table(header: list[str], rows: list[list[object]]) -> str:
    """A Markdown table whose columns line up in a terminal, words to the left and numbers to the right."""
    columns = []
    for i, name in enumerate(header):
        values = [row[i] for row in rows]
        texts = [name, *map(cell, values)]
        width = max(map(len, texts))
        is_numeric = any(isinstance(value, int | float) for value in values)
        columns.append((texts, width, is_numeric))
    aligned = []
    for texts, width, is_numeric in columns:
        align = str.rjust if is_numeric else str.ljust
        aligned.append([align(text, width) for text in texts])
    lines = [f"| {' | '.join(line)} |" for line in zip(*aligned, strict=True)]
    rule = "|"
    for _, width, is_numeric in columns:
        rule += "-" * (width + 1) + (":|" if is_numeric else "-|")
    return "\n".join([lines[0], rule, *lines[1:]])
