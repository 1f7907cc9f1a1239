"""Tables on disk -> frames: CSV, Excel, Parquet, JSON and JSON lines. A record that cannot be read is set
aside with its line and the reason.
"""

import json
import logging
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeVar

import polars as pl
from tqdm import tqdm

from data.catalogue.damaged import (
    UNREADABLE,
    json_line_objects,
    json_objects,
    repair_csv,
    repair_json,
    short_records,
)
from data.catalogue.json_forms import NO_TABLE, rows_in
from data.catalogue.text_files import COMPRESSIONS, FOUND, TextForm, kind_of, plain_text
from data.catalogue.title_lines import LOOKED_AT, rows_above_header

log = logging.getLogger(__name__)

TABLE_FORMATS = ".csv, .tsv, .xlsx, .parquet, .json or .jsonl"
CSV_KINDS, JSON_LINES_KINDS, EXCEL_KINDS = ("csv", "tsv", "txt"), ("jsonl", "ndjson"), ("xlsx", "xls", "ods")
TEXT_KINDS = (*CSV_KINDS, *JSON_LINES_KINDS, "json")
FOUND_BY_ENDING = ("csv", "tsv", "parquet", *JSON_LINES_KINDS, "json", "xlsx")  # tables of a folder
TABLE_ENDINGS = tuple(
    f".{kind}{compression}" for kind in FOUND_BY_ENDING for compression in ("", *COMPRESSIONS)
)

STOP_WORDS = """
a about above after again all am an and any are as at be because been before being below between both but
by can did do does doing down during each few for from further had has have having he her here hers him
his how i if in into is it its just me more most my no nor not now of off on once only or other our out
over own same she should so some such than that the their them then there these they this those through
to too under until up very was we were what when where which while who why will with you your
""".split()

BATCH_ROWS = 50_000  # rows

Choose = Callable[[list[str]], list[str]]
Made = TypeVar("Made")  # what is made of a table


class _DamagedRecords(Exception):
    """Some records of a text table are not as the others."""


def read_table(path: Path, form: TextForm = FOUND) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Read a table, also compressed: CSV and Excel (as strings), Parquet, JSON or JSON lines.

    Gives (rows, records that could not be read, with line and reason).
    Raises ValueError if the file is missing, empty, or of another kind.
    """
    return read_batches(path, form, pl.concat)


def read_batches(
    path: Path, form: TextForm, read: Callable[[Iterator[pl.DataFrame]], Made]
) -> tuple[Made, pl.DataFrame]:
    """What ``read`` makes of a table, whose rows it gets in order, some at a time; and the records that could
    not be read, with line and reason. Only .json and Excel are in memory as a whole.

    Args:
        read: called a second time, with all sound rows, where it turns out that some records are damaged.

    Raises ValueError as `read_table` and ``read`` do.
    """
    try:
        return read(_batches(path, form)), pl.DataFrame(schema=UNREADABLE)
    except _DamagedRecords:
        with _repaired(path, form) as (rows, unread):
            return read(_collect_in_order(rows)), unread


def write_partitions(path: Path, folder: Path, height: int, form: TextForm, choose: Choose) -> pl.DataFrame:
    """Some columns of a table of any size -> Parquet files of ``height`` rows each, 00000.parquet and so on.
    Gives what could not be read, as `read_table` does.

    Args:
        choose: the table's columns -> those to keep. It sees them before a row is read.

    Raises ValueError as `read_table` and ``choose`` do.
    """
    folder.mkdir(parents=True)
    write = partial(_write_even, folder=folder, height=height, choose=choose)
    return read_batches(path, form, write)[1]


def _write_even(frames: Iterable[pl.DataFrame], folder: Path, height: int, choose: Choose) -> None:
    """Chosen columns of frames of any height -> files of one height, the last one of the rest; one at
    least.
    """
    part, held = 0, None
    for whole in tqdm(frames, desc="reading", unit="batch", delay=2):
        frame = whole[choose(whole.columns)]  # `select` takes "*" and "^...$" for patterns
        held = frame if held is None else pl.concat([held, frame])
        while held.height > height:
            held.head(height).write_parquet(folder / f"{part:05}.parquet")
            part, held = part + 1, held.slice(height)
    if held is not None:
        held.write_parquet(folder / f"{part:05}.parquet")


def _batches(path: Path, form: TextForm) -> Iterator[pl.DataFrame]:
    """The rows of a table in order, some at a time. Raises ValueError if it cannot be read; _DamagedRecords
    if some records of a text table cannot.
    """
    if not path.is_file():
        raise ValueError(f"no table at {path}: set data.path to a {TABLE_FORMATS} file")
    kind = kind_of(path)
    try:
        if kind in EXCEL_KINDS:
            yield _read_excel(path)
        elif kind == "parquet":
            yield from _collect_in_order(pl.scan_parquet(path))
        elif kind in TEXT_KINDS:
            yield from read_text(path, form)
        else:
            raise ValueError(f"{path}: unknown kind of table '.{kind}': use {TABLE_FORMATS}")
    except pl.exceptions.NoDataError:
        raise ValueError(f"{path} is empty") from None
    except (pl.exceptions.ComputeError, pl.exceptions.SchemaError, OSError, EOFError) as error:
        line = str(error).splitlines()[0]
        if kind in TEXT_KINDS and not isinstance(error, OSError | EOFError):
            log.warning("%s: reading record by record, because some are damaged (%s)", path, line)
            raise _DamagedRecords from None
        raise ValueError(f"{path} cannot be read as .{kind}: {line}") from None


def read_text(path: Path, form: TextForm) -> Iterator[pl.DataFrame]:
    """The rows of a text table in order, some at a time."""
    kind = kind_of(path)
    with plain_text(path, form) as text:
        if kind in CSV_KINDS:
            yield from _read_csv(path, text.path, text.separator)
        elif _is_blank(text.path):
            raise pl.exceptions.NoDataError
        elif kind == "json" and not _is_json_lines(text.path):
            yield _objects_of(pl.read_json(text.path, infer_schema_length=None), text.path, path)
        else:
            yield from _collect_in_order(pl.scan_ndjson(text.path, infer_schema_length=None))


def _is_blank(path: Path) -> bool:
    """Whether a file holds white space alone."""
    with path.open("rb") as file:
        return not any(line.strip() for line in file)


def _read_csv(path: Path, plain: Path, separator: str) -> Iterator[pl.DataFrame]:
    """The rows of a CSV file in order, some at a time; records with too few fields are counted and logged.

    Args:
        plain: the file as polars reads it. path: the file that the user knows.
    """
    may_be_short = False
    for frame in _collect_in_order(pl.scan_csv(plain, infer_schema=False, separator=separator)):
        may_be_short |= frame[:, -1].null_count() > 0
        yield frame
    short = short_records(plain, separator) if may_be_short else []
    if short:
        log.warning(
            "%s: %d records have fewer fields than the header; the missing ones count as empty (the first is"
            " record %d, the header being 1)", path, len(short), short[0],
        )  # fmt: skip


@contextmanager
def _repaired(path: Path, form: TextForm) -> Iterator[tuple[pl.LazyFrame, pl.DataFrame]]:
    """A text table of which some records are damaged: (the others, unreadable records with line and
    reason). The table is of a copy, which is deleted afterwards.
    """
    kind = kind_of(path)
    with plain_text(path, form) as text, TemporaryDirectory(prefix="strata-") as folder:
        copy = Path(folder) / "sound"
        if kind in CSV_KINDS:
            unread = repair_csv(text.path, text.separator, copy)
            rows = pl.scan_csv(copy, infer_schema=False, separator=text.separator)
            yield rows.with_columns(pl.all().replace("", None)), unread
            return
        is_one_value = kind == "json" and not _is_json_lines(text.path)
        objects = json_objects if is_one_value else json_line_objects
        try:
            unread = repair_json(partial(objects, text.path), copy)
        except ValueError as error:
            raise ValueError(f"{path} cannot be read as .{kind}: {error}") from None
        has_rows = copy.stat().st_size > 0
        yield pl.scan_ndjson(copy, infer_schema_length=None) if has_rows else pl.LazyFrame(), unread


def _is_json_lines(path: Path) -> bool:
    """Whether a file in UTF-8 holds one JSON object a line rather than one value."""
    with path.open(encoding="utf-8", errors="replace") as file:
        first = file.readline().strip()
        second = file.readline().strip()
    return first.startswith("{") and first.endswith("}") and second.startswith("{")


def _objects_of(frame: pl.DataFrame, text: Path, path: Path) -> pl.DataFrame:
    """The rows of a JSON file; those of the list where it is one object around a list of objects, or those of
    an object in another form of `data.catalogue.json_forms`.

    Args:
        text: the file as polars has read it. path: the file that the user knows.
    """
    lists = [name for name, kind in frame.schema.items() if kind == pl.List(pl.Struct)]
    if frame.height == 1 and len(lists) == 1:
        log.info("%s: the rows are in its list %r", path, lists[0])
        return frame.select(pl.col(lists[0]).explode()).unnest(lists[0])
    if frame.height != 1 or frame.width < 2 or not all(kind.is_nested() for kind in frame.dtypes):
        return frame
    try:
        rows = rows_in(json.loads(text.read_text(encoding="utf-8")))
    except ValueError as error:
        raise ValueError(f"{path} cannot be read as .json: {error}") from None
    if not rows:
        raise ValueError(f"{path} cannot be read as .json: {NO_TABLE}")
    log.info("%s: one JSON object holds the table; %d rows are read from it", path, len(rows))
    try:
        return pl.DataFrame(rows, infer_schema_length=None)
    except (TypeError, pl.exceptions.PolarsError):  # a column of several types
        raise _DamagedRecords from None


def _read_excel(path: Path) -> pl.DataFrame:
    """The first sheet of a workbook, every cell as text. Raises ValueError if the reader is not installed."""
    try:
        import fastexcel
    except ImportError:
        raise ValueError(
            f"{path}: reading .{kind_of(path)} needs fastexcel: pip install -r requirements/excel.txt"
        ) from None
    try:
        sheets = fastexcel.read_excel(path).sheet_names
        some = {"n_rows": LOOKED_AT}
        raw = pl.read_excel(
            path, has_header=False, infer_schema_length=0, drop_empty_rows=False, read_options=some
        )
        first = raw.fill_null("").rows()
        above = rows_above_header([list(row) for row in first])
        frame = pl.read_excel(path, infer_schema_length=0, read_options={"header_row": above})
    except fastexcel.FastExcelError as error:
        raise ValueError(f"{path} cannot be read as .{kind_of(path)}: {str(error).splitlines()[0]}") from None
    if above:
        log.info("%s: the header is in row %d; what stands above it is left out", path, above + 1)
    if len(sheets) > 1:
        log.warning(
            "%s: reads the first of its %d sheets, %r; save another one as a file of its own to read it",
            path, len(sheets), sheets[0],
        )  # fmt: skip
    return frame


def _collect_in_order(table: pl.LazyFrame) -> Iterator[pl.DataFrame]:
    """Some rows at a time, and at least an empty frame with the columns."""
    yield pl.DataFrame(schema=table.collect_schema())
    yield from table.collect_batches(chunk_size=BATCH_ROWS, maintain_order=True)
