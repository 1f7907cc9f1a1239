"""Lines above the header of a table, as spreadsheets export them: a title, a date, blank lines."""

import csv
import io
from collections.abc import Iterable
from itertools import islice

FEWEST = 3  # columns of a table that may have such lines; of fewer, a title cannot be told from a header
MOST = 10  # such lines
LOOKED_AT = 40  # records
EVEN = 0.8  # share of the records below the header that have as many fields


def _is_header(row: list[str]) -> bool:
    """Whether the cells of a row are names: all filled, none twice, no numbers."""
    names = [cell.strip() for cell in row]
    has_numbers = any(name.replace(".", "").replace(",", "").isdigit() for name in names)
    return len(row) >= FEWEST and all(names) and len(set(names)) == len(names) and not has_numbers


def rows_above_header(rows: list[list[str]]) -> int:
    """How many rows with one filled cell, or none, stand above a header; 0 if there is no such header."""
    above = 0
    while above < min(len(rows), MOST) and sum(bool(cell.strip()) for cell in rows[above]) <= 1:
        above += 1
    if above == len(rows) or not _is_header(rows[above]):
        return 0
    below = [row for row in rows[above + 1 :] if row]
    even = sum(len(row) == len(rows[above]) for row in below)
    return above if below and even >= EVEN * len(below) else 0


def lines_above_header(text: str, separators: Iterable[str]) -> int:
    """How many lines stand above the header of a text table; of several separators, by the one that gives the
    header the most names.
    """
    found, widest = 0, 0
    for separator in separators:
        reader = csv.reader(io.StringIO(text, newline=None), delimiter=separator)
        numbered = [(reader.line_num, row) for row in islice(reader, LOOKED_AT)]
        rows = [row for _, row in numbered[:-1]]  # the last one may be cut off
        above = rows_above_header(rows)
        if above and len(rows[above]) > widest:
            found, widest = numbered[above - 1][0], len(rows[above])
    return found
