"""Tables on disk -> frames: CSV, Parquet, JSON lines; what cannot be read is set aside with the reason,
never lost unseen.
"""

import gzip
import logging
from collections.abc import Iterable, Iterator
from pathlib import Path

import polars as pl
from tqdm import tqdm

from data.catalogue.damaged import UNREADABLE, read_damaged_csv

log = logging.getLogger(__name__)

TABLE_FORMATS = ".csv, .csv.gz, .parquet, .json or .jsonl"

STOP_WORDS = """
a about above after again all am an and any are as at be because been before being below between both but
by can did do does doing down during each few for from further had has have having he her here hers him
his how i if in into is it its just me more most my no nor not now of off on once only or other our out
over own same she should so some such than that the their them then there these they this those through
to too under until up very was we were what when where which while who why will with you your
""".split()

BATCH_ROWS = 50_000  # rows

MAX_UNPACKED = 8 * 2**30  # bytes that a .gz file may become, since it is unpacked in memory

MAX_COMPRESSION_RATIO = 1032  # of DEFLATE


class DamagedRecords(Exception):
    """Some records of a CSV file are not as its header says."""


def read_table(path: Path) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Read a table, also gzipped: CSV (as strings), Parquet, JSON (a list of objects) or JSON lines.

    Gives (rows, records that could not be read, with the reason).
    Raises ValueError if the file is missing, empty, or of another kind.
    """
    try:
        return pl.concat(read_batches(path)), pl.DataFrame(schema=UNREADABLE)
    except DamagedRecords:
        return read_damaged_csv(path)


def table_columns(path: Path) -> list[str]:
    """The names of a table's columns, of which no more is read than that takes. Raises ValueError as
    `read_table` does.
    """
    try:
        return next(read_batches(path)).columns
    except DamagedRecords:
        return read_damaged_csv(path)[0].columns


def write_partitions(path: Path, folder: Path, height: int) -> pl.DataFrame:
    """A table of any size -> Parquet files of ``height`` rows each, 00000.parquet and so on; what could not
    be read, as in `read_table`.

    Only a damaged CSV file and .json are in memory as a whole. Raises ValueError as `read_table` does.
    """
    folder.mkdir(parents=True)
    try:
        write_even(tqdm(read_batches(path), desc="reading", unit="batch", delay=2), folder, height)
        return pl.DataFrame(schema=UNREADABLE)
    except DamagedRecords:
        rows, unread = read_damaged_csv(path)
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


def read_batches(path: Path) -> Iterator[pl.DataFrame]:
    """The rows of a table in order, some at a time. Raises ValueError if it cannot be read; Damaged if
    some records of CSV cannot.
    """
    if not path.is_file():
        raise ValueError(f"no table at {path}: set data.path to a {TABLE_FORMATS} file")
    kind = path.name.lower().removesuffix(".gz").rsplit(".", 1)[-1]
    try:
        if path.name.lower().endswith(".gz"):
            check_unpacked_size(path)
        if kind == "json":
            yield pl.read_json(path, infer_schema_length=None)
        elif kind == "parquet":
            yield from collect_in_order(pl.scan_parquet(path))
        elif kind in ("jsonl", "ndjson"):
            yield from collect_in_order(pl.scan_ndjson(path, infer_schema_length=None))
        elif kind == "csv":
            yield from collect_in_order(pl.scan_csv(path, infer_schema=False))
        else:
            raise ValueError(f"{path}: unknown kind of table '.{kind}': use {TABLE_FORMATS}")
    except pl.exceptions.NoDataError:
        raise ValueError(f"{path} is empty") from None
    except (
        pl.exceptions.ComputeError,
        pl.exceptions.SchemaError,
        OSError,
        EOFError,
    ) as error:  # the last of a .gz that is cut off
        line = str(error).splitlines()[0]
        if kind == "csv" and isinstance(error, pl.exceptions.ComputeError):
            log.warning("%s: reading record by record, since some are damaged (%s)", path, line)
            raise DamagedRecords from None
        raise ValueError(f"{path} cannot be read as .{kind}: {line}") from None


def check_unpacked_size(path: Path) -> None:
    """Raises ValueError if a .gz file would unpack to more than memory should hold; EOFError if it is cut
    off.
    """
    if path.stat().st_size * MAX_COMPRESSION_RATIO <= MAX_UNPACKED:
        return
    unpacked = 0
    with gzip.open(path) as file:
        while size := len(file.read(2**24)):
            unpacked += size
            if unpacked > MAX_UNPACKED:
                raise ValueError(
                    f"{path}: unpacks to more than {MAX_UNPACKED:,} bytes; if it is what you"
                    f" expect, unpack it first"
                )


def collect_in_order(table: pl.LazyFrame) -> Iterator[pl.DataFrame]:
    """Some rows at a time, and at least an empty frame with the columns."""
    yield pl.DataFrame(schema=table.collect_schema())
    yield from table.collect_batches(chunk_size=BATCH_ROWS, maintain_order=True)
