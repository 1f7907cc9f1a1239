"""Text tables with damaged records: a sound copy of what can be read, and what cannot with line and reason.

A file is read record by record, so that only the damaged records are in memory.
"""

import csv
import gzip
import io
import json
import math
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import polars as pl

from data.catalogue.json_forms import NO_TABLE, rows_in
from data.catalogue.text_files import open_unpacked
from data.values import Json, JsonObject

UNREADABLE = {"row": pl.Int64, "reason": pl.String, "raw": pl.String}
SHOWN = 2000  # characters of a damaged record
HUGE = "huge number"  # beyond 128 bits, or infinite
INSIDE = "\0"  # between the names of a path into a value

Bad = list[tuple[int, str, str]]  # (line, reason, the record's beginning)


def _text_lines(path: Path) -> Iterator[str]:
    """The lines of a file in UTF-8, also compressed; bytes that are no UTF-8 become U+FFFD. Raises ValueError
    if it is cut off.
    """
    try:
        with open_unpacked(path) as file:
            yield from io.TextIOWrapper(file, encoding="utf-8", errors="replace", newline="\n")
    except (EOFError, gzip.BadGzipFile, OSError) as error:
        raise ValueError(f"{path} cannot be read: {error}") from None


def _readable_records(reader: Any, bad: Bad) -> Iterator[list[str]]:  # what csv.reader returns
    """The records that Python's reader can take apart; the others go to ``bad``."""
    while True:
        try:
            yield next(reader)
        except csv.Error as error:
            bad.append((reader.line_num, str(error), ""))
        except StopIteration:
            return


def repair_csv(path: Path, separator: str, copy: Path) -> pl.DataFrame:
    """Write the sound records of a CSV file to ``copy``; the others, with the reason.

    Raises ValueError if its first line cannot be read.
    """
    bad: Bad = []
    reader = csv.reader(_text_lines(path), delimiter=separator)
    try:
        header = [name.removeprefix("\ufeff") for name in next(reader)]
    except csv.Error as error:
        raise ValueError(f"{path} cannot be read as a table: its first line: {error}") from None
    with copy.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, delimiter=separator, lineterminator="\n")
        writer.writerow(header)
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
                writer.writerow(record)
    return pl.DataFrame(bad, schema=UNREADABLE, orient="row")


def short_records(path: Path, separator: str) -> list[int]:
    """Numbers of the records of a CSV file, the header being 1, that have fewer fields than the header."""
    reader = csv.reader(_text_lines(path), delimiter=separator)
    width = len(next(filter(None, _readable_records(reader, [])), []))
    number, short = 1, []
    while True:
        try:
            for record in reader:
                number += bool(record)
                if 0 < len(record) < width:
                    short.append(number)
            return short
        except csv.Error:  # of a record that Python's reader cannot take apart
            continue


def repair_json(values: Callable[[Bad], Iterable[JsonObject]], copy: Path) -> pl.DataFrame:
    """Write JSON objects to ``copy``, one a line, so that each column has one type; what is no object, with
    the reason.

    NaN counts as null. A column of several types, or of numbers that no column can hold, becomes text, with
    lists and objects as JSON.

    Args:
        values: gives the objects, and appends what is none to its argument. It is called twice.
    """
    bad: Bad = []
    kinds: dict[str, set[str]] = {}
    for value in values(bad):
        for name, item in value.items():
            for path, kind in _kinds_of(item, name):
                kinds.setdefault(path, set()).add(kind)
    names = [path for path in kinds if INSIDE not in path]
    mixed: set[str] = set()
    for path, found in kinds.items():
        if len(found - {"null"}) > 1 or HUGE in found:
            mixed.add(path.split(INSIDE)[0])
    with copy.open("w", encoding="utf-8") as file:
        for value in values([]):
            row = {name: value.get(name) for name in names}
            row |= {name: json_text(row[name]) for name in mixed}
            file.write(json.dumps(row, ensure_ascii=False) + "\n")
    return pl.DataFrame(bad, schema=UNREADABLE, orient="row")


def _kinds_of(value: Json, name: str) -> Iterator[tuple[str, str]]:
    """(path, kind) of a value and of all that it holds, at any depth."""
    waiting = [(name, value)]
    while waiting:
        path, item = waiting.pop()
        yield path, _kind_of(item)
        if isinstance(item, list):
            waiting += [(f"{path}{INSIDE}", inner) for inner in item]
        elif isinstance(item, dict):
            waiting += [(f"{path}{INSIDE}{key}", inner) for key, inner in item.items()]


def _kind_of(value: Json) -> str:
    """The type that a column of such values has."""
    if value is None:
        return "null"
    if isinstance(value, float):
        return "number" if math.isfinite(value) else HUGE
    if not isinstance(value, int) or isinstance(value, bool):
        return type(value).__name__
    if abs(value) < 2**63:
        return "number"
    return "large number" if abs(value) < 2**127 else HUGE


def json_line_objects(path: Path, bad: Bad) -> Iterator[JsonObject]:
    """The objects of JSON lines; the lines that are none go to ``bad``."""
    for number, line in enumerate(_text_lines(path), 1):
        line = line.strip().removeprefix("\ufeff")
        if not line:
            continue
        reason, value = "", {}
        try:
            value = json.loads(line, parse_constant=lambda _: None)
            json.dumps(value, ensure_ascii=False).encode()  # fails for half of a character
        except (ValueError, RecursionError) as error:
            reason = f"not JSON: {error}"
        if not reason and not isinstance(value, dict):
            reason = "not a JSON object"
        if not reason and "\ufffd" in line:
            reason = "bytes that are not UTF-8"
        if reason:
            bad.append((number, reason, line[:SHOWN]))
        else:
            yield value


def json_objects(path: Path, bad: Bad) -> Iterator[JsonObject]:
    """The objects of a JSON file that holds a list of them, or an object around one such list, or an object
    in another form of `data.catalogue.json_forms`; an entry that is none goes to ``bad``, with its number.

    Raises ValueError if it is no JSON or holds no such list.
    """
    value = json.loads(path.read_text(encoding="utf-8"), parse_constant=lambda _: None)
    inner = value.values() if isinstance(value, dict) else [value]
    lists = [item for item in inner if isinstance(item, list)]
    if len(lists) != 1:
        rows = rows_in(value) if isinstance(value, dict) else []
        if not rows:
            raise ValueError(NO_TABLE)
        yield from rows
        return
    for number, item in enumerate(lists[0], 1):
        if isinstance(item, dict):
            yield item
        else:
            bad.append((number, "not a JSON object", json.dumps(item)[:SHOWN]))


def json_text(value: Json) -> str | None:
    """A value as text: strings as they are, the rest as JSON writes it."""
    return value if value is None or isinstance(value, str) else json.dumps(value, ensure_ascii=False)
