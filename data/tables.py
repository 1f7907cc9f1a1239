"""Tables on disk -> frames: CSV, Parquet, JSON lines; what cannot be read is set aside with the reason, never lost unseen."""

import csv
import logging
import sys
from pathlib import Path

import polars as pl

log = logging.getLogger(__name__)
KINDS = ".csv, .csv.gz, .parquet, .json or .jsonl"
STOP_WORDS = """a about above after again all am an and any are as at be because been before being below between both but by can
did do does doing down during each few for from further had has have having he her here hers him his how i if in into is it its
just me more most my no nor not now of off on once only or other our out over own same she should so some such than that the
their them then there these they this those through to too under until up very was we were what when where which while who why
will with you your""".split()


def read_table(path: Path) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Read a table, also gzipped: CSV (as strings), Parquet, JSON (a list of objects) or JSON lines.

    Gives (rows, records that could not be read, with the reason).
    Raises ValueError if the file is missing, empty, or of another kind.
    """
    if not path.is_file():
        raise ValueError(f"no table at {path}: set data.path to a {KINDS} file")
    kind = path.name.lower().removesuffix(".gz").rsplit(".", 1)[-1]
    nothing = pl.DataFrame(schema={"row": pl.Int64, "reason": pl.String, "raw": pl.String})
    try:
        if kind == "parquet":
            return pl.read_parquet(path), nothing
        if kind in ("jsonl", "ndjson"):
            return pl.read_ndjson(path, infer_schema_length=None), nothing
        if kind == "json":
            return pl.read_json(path, infer_schema_length=None), nothing
        if kind == "csv":
            return read_csv(path, nothing)
    except pl.exceptions.NoDataError:
        raise ValueError(f"{path} is empty") from None
    except (pl.exceptions.ComputeError, pl.exceptions.SchemaError, OSError) as error:  # the last of a .gz that is cut off
        raise ValueError(f"{path} cannot be read as .{kind}: {str(error).splitlines()[0]}") from None
    raise ValueError(f"{path}: unknown kind of table '.{kind}': use {KINDS}")


def read_csv(path: Path, nothing: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The fast reader; where it gives up on a record, record by record, with the unreadable ones set aside."""
    try:
        return pl.read_csv(path, infer_schema=False), nothing
    except pl.exceptions.ComputeError as error:
        log.warning("%s: reading record by record, since some are damaged (%s)", path, str(error).splitlines()[0])
    csv.field_size_limit(sys.maxsize)
    good: list[list[str | None]] = []
    bad: list[tuple[int, str, str]] = []
    text = pl.read_csv(path, has_header=False, separator="\0", quote_char=None, infer_schema=False, encoding="utf8-lossy")
    reader = csv.reader(f"{line}\n" for line in text.to_series().fill_null("").to_list())
    header = next(reader)
    for record in reader:
        if len(record) == len(header):
            good.append([value or None for value in record])
        elif record:
            reason = f"{len(record)} fields where the header has {len(header)}"
            bad.append((reader.line_num, reason, ",".join(record)[:2000]))
    rows = pl.DataFrame(good, schema=dict.fromkeys(header, pl.String), orient="row")
    return rows, pl.DataFrame(bad, schema=nothing.schema, orient="row")
