"""Tables on disk -> frames: CSV, Parquet, JSON lines; what cannot be read is set aside with the reason, never lost unseen."""

import csv
import gzip
import logging
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

import polars as pl
from tqdm import tqdm

log = logging.getLogger(__name__)
KINDS = ".csv, .csv.gz, .parquet, .json or .jsonl"
STOP_WORDS = """a about above after again all am an and any are as at be because been before being below between both but by can
did do does doing down during each few for from further had has have having he her here hers him his how i if in into is it its
just me more most my no nor not now of off on once only or other our out over own same she should so some such than that the
their them then there these they this those through to too under until up very was we were what when where which while who why
will with you your""".split()
AT_ONCE = 50_000  # rows
LARGEST_UNPACKED = 8 * 2**30  # bytes that a .gz file may become, since it is unpacked in memory
BEST_RATIO = 1032  # of DEFLATE
UNREAD = {"row": pl.Int64, "reason": pl.String, "raw": pl.String}


class Damaged(Exception):
    """Some records of a CSV file are not as its header says."""


def read_table(path: Path) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Read a table, also gzipped: CSV (as strings), Parquet, JSON (a list of objects) or JSON lines.

    Gives (rows, records that could not be read, with the reason).
    Raises ValueError if the file is missing, empty, or of another kind.
    """
    try:
        return pl.concat(batches(path)), pl.DataFrame(schema=UNREAD)
    except Damaged:
        return record_by_record(path)


def columns_of(path: Path) -> list[str]:
    """The names of a table's columns, of which no more is read than that takes. Raises ValueError as `read_table` does."""
    try:
        return next(batches(path)).columns
    except Damaged:
        return record_by_record(path)[0].columns


def write_parts(path: Path, folder: Path, height: int) -> pl.DataFrame:
    """A table of any size -> Parquet files of ``height`` rows each, 00000.parquet and so on; what could not be read, as in `read_table`.

    Only a damaged CSV file and .json are in memory as a whole. Raises ValueError as `read_table` does.
    """
    folder.mkdir(parents=True)
    try:
        write_even(tqdm(batches(path), desc="reading", unit="batch", delay=2), folder, height)
        return pl.DataFrame(schema=UNREAD)
    except Damaged:
        rows, unread = record_by_record(path)
    write_even([rows], folder, height)
    return unread


def write_even(frames: Iterable[pl.DataFrame], folder: Path, height: int) -> None:
    """Frames of any height -> files of one height, the last one of the rest; one at least."""
    part, held = 0, None
    for frame in frames:
        held = frame if held is None else pl.concat([held, frame])
        while held.height > height:
            held.head(height).write_parquet(folder / f"{part:05}.parquet")
            part, held = part + 1, held.slice(height)
    if held is not None:
        held.write_parquet(folder / f"{part:05}.parquet")


def batches(path: Path) -> Iterator[pl.DataFrame]:
    """The rows of a table in order, some at a time. Raises ValueError if it cannot be read; Damaged if some records of CSV cannot."""
    if not path.is_file():
        raise ValueError(f"no table at {path}: set data.path to a {KINDS} file")
    kind = path.name.lower().removesuffix(".gz").rsplit(".", 1)[-1]
    try:
        if path.name.lower().endswith(".gz"):
            check_size(path)
        if kind == "json":
            yield pl.read_json(path, infer_schema_length=None)
        elif kind == "parquet":
            yield from in_order(pl.scan_parquet(path))
        elif kind in ("jsonl", "ndjson"):
            yield from in_order(pl.scan_ndjson(path, infer_schema_length=None))
        elif kind == "csv":
            yield from in_order(pl.scan_csv(path, infer_schema=False))
        else:
            raise ValueError(f"{path}: unknown kind of table '.{kind}': use {KINDS}")
    except pl.exceptions.NoDataError:
        raise ValueError(f"{path} is empty") from None
    except (pl.exceptions.ComputeError, pl.exceptions.SchemaError, OSError, EOFError) as error:  # the last of a .gz that is cut off
        line = str(error).splitlines()[0]
        if kind == "csv" and isinstance(error, pl.exceptions.ComputeError):
            log.warning("%s: reading record by record, since some are damaged (%s)", path, line)
            raise Damaged from None
        raise ValueError(f"{path} cannot be read as .{kind}: {line}") from None


def check_size(path: Path) -> None:
    """Raises ValueError if a .gz file would unpack to more than memory should hold; EOFError if it is cut off."""
    if path.stat().st_size * BEST_RATIO <= LARGEST_UNPACKED:
        return
    unpacked = 0
    with gzip.open(path) as file:
        while size := len(file.read(2**24)):
            unpacked += size
            if unpacked > LARGEST_UNPACKED:
                raise ValueError(f"{path}: unpacks to more than {LARGEST_UNPACKED:,} bytes; if it is what you expect, unpack it first")


def in_order(table: pl.LazyFrame) -> Iterator[pl.DataFrame]:
    """Some rows at a time, and at least an empty frame with the columns."""
    yield pl.DataFrame(schema=table.collect_schema())
    yield from table.collect_batches(chunk_size=AT_ONCE, maintain_order=True)


def record_by_record(path: Path) -> tuple[pl.DataFrame, pl.DataFrame]:
    """A CSV file of which some records are damaged: (rows, unreadable records with the reason)."""
    csv.field_size_limit(sys.maxsize)
    good: list[list[str | None]] = []
    bad: list[tuple[int, str, str]] = []
    try:
        text = pl.read_csv(path, has_header=False, separator="\0", quote_char=None, infer_schema=False, encoding="utf8-lossy")
    except (pl.exceptions.ComputeError, OSError) as error:
        raise ValueError(f"{path} cannot be read as .csv: {str(error).splitlines()[0]}") from None
    reader = csv.reader(f"{line}\n" for line in text.to_series().fill_null("").to_list())
    header = next(reader)
    for record in reader:
        if len(record) == len(header):
            good.append([value or None for value in record])
        elif record:
            reason = f"{len(record)} fields where the header has {len(header)}"
            bad.append((reader.line_num, reason, ",".join(record)[:2000]))
    rows = pl.DataFrame(good, schema=dict.fromkeys(header, pl.String), orient="row")
    return rows, pl.DataFrame(bad, schema=UNREAD, orient="row")
