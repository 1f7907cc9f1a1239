"""Text tables with damaged records: the rows that can be read, and those that cannot with line and reason."""

import csv
import gzip
import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl

from data.catalogue.text_files import open_unpacked

UNREADABLE = {"row": pl.Int64, "reason": pl.String, "raw": pl.String}
SHOWN = 2000  # characters of a damaged record

Json = Any  # a value that JSON can hold
Bad = list[tuple[int, str, str]]  # (line, reason, the record's beginning)


def _text_lines(path: Path) -> Iterator[str]:
    """The lines of a file in UTF-8, also compressed; bytes that are no UTF-8 become U+FFFD. Raises ValueError
    if it is cut off.
    """
    try:
        with open_unpacked(path) as file:
            for line in file:
                yield line.decode("utf-8", errors="replace")
    except (EOFError, gzip.BadGzipFile, OSError) as error:
        raise ValueError(f"{path} cannot be read: {error}") from None


def _unique_names(header: list[str]) -> list[str]:
    """The names of columns as polars makes them: twins get a number."""
    names: list[str] = []
    repeats: dict[str, int] = {}
    for name in header:
        if name in names:
            number = repeats.get(name, 0)
            repeats[name] = number + 1
            name = f"{name}_duplicated_{number}"
        names.append(name)
    return names


def _readable_records(reader: Any, bad: Bad) -> Iterator[list[str]]:  # what csv.reader returns
    """The records that Python's reader can take apart; the others go to ``bad``."""
    while True:
        try:
            yield next(reader)
        except csv.Error as error:
            bad.append((reader.line_num, str(error), ""))
        except StopIteration:
            return


def read_damaged_csv(path: Path, separator: str) -> tuple[pl.DataFrame, pl.DataFrame]:
    """A CSV file of which some records are damaged: (rows, unreadable records with the reason)."""
    good: list[list[str | None]] = []
    bad: Bad = []
    reader = csv.reader(_text_lines(path), delimiter=separator)
    try:
        header = [name.removeprefix("\ufeff") for name in next(reader)]
    except csv.Error as error:
        raise ValueError(f"{path} cannot be read as a table: its first line: {error}") from None
    for record in _readable_records(reader, bad):
        text = separator.join(record)
        if not record:
            continue
        if len(record) != len(header):
            reason = f"{len(record)} fields where the header has {len(header)}"
            bad.append((reader.line_num, reason, text[:SHOWN]))
        elif "\ufffd" in text:
            bad.append((reader.line_num, "bytes that are not UTF-8", text[:SHOWN]))
        else:
            good.append([value or None for value in record])
    rows = pl.DataFrame(good, schema=dict.fromkeys(_unique_names(header), pl.String), orient="row")
    return rows, pl.DataFrame(bad, schema=UNREADABLE, orient="row")


def short_records(path: Path, separator: str) -> list[int]:
    """Numbers of the records of a CSV file, the header being 1, that have fewer fields than the header."""
    reader = csv.reader(_text_lines(path), delimiter=separator)
    records = (record for record in _readable_records(reader, []) if record)
    width = len(next(records, []))
    return [number for number, record in enumerate(records, 2) if len(record) < width]


def read_json_lines(path: Path) -> tuple[pl.DataFrame, pl.DataFrame]:
    """JSON lines of which some are damaged: (rows, lines that are no object, with the reason).

    NaN counts as null. A column of several types is text, with lists and objects as JSON.
    """
    rows: list[dict[str, Json]] = []
    bad: Bad = []
    for number, line in enumerate(_text_lines(path), 1):
        line = line.strip().removeprefix("\ufeff")
        if not line:
            continue
        reason = ""
        try:
            value = json.loads(line, parse_constant=lambda _: None)
        except (ValueError, RecursionError) as error:
            value, reason = None, f"not JSON: {error}"
        if not reason and not isinstance(value, dict):
            reason = "not a JSON object"
        if not reason and "\ufffd" in line:
            reason = "bytes that are not UTF-8"
        if reason:
            bad.append((number, reason, line[:SHOWN]))
        else:
            rows.append(value)
    names = list(dict.fromkeys(name for row in rows for name in row))
    columns = {}
    for name in names:
        columns[name] = _column_of(name, [row.get(name) for row in rows])
    return pl.DataFrame(columns), pl.DataFrame(bad, schema=UNREADABLE, orient="row")


def _column_of(name: str, values: list[Json]) -> pl.Series:
    """Values of JSON as a column of their common type, else as text."""
    try:
        return pl.Series(name, values, strict=True)
    except (TypeError, pl.exceptions.PolarsError, OverflowError):
        return pl.Series(name, [json_text(value) for value in values], dtype=pl.String)


def json_text(value: Json) -> str | None:
    """A value as text: strings as they are, the rest as JSON writes it."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, float) and math.isnan(value):
        return None
    return json.dumps(value, ensure_ascii=False)
