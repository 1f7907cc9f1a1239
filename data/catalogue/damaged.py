"""CSV files with damaged records: what can be read, and what cannot with the reason."""

import csv
import sys
from pathlib import Path

import polars as pl

UNREADABLE = {"row": pl.Int64, "reason": pl.String, "raw": pl.String}


def read_damaged_csv(path: Path) -> tuple[pl.DataFrame, pl.DataFrame]:
    """A CSV file of which some records are damaged: (rows, unreadable records with the reason)."""
    csv.field_size_limit(sys.maxsize)
    good: list[list[str | None]] = []
    bad: list[tuple[int, str, str]] = []
    try:
        text = pl.read_csv(
            path, has_header=False, separator="\0", quote_char=None, infer_schema=False, encoding="utf8-lossy"
        )
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
    return rows, pl.DataFrame(bad, schema=UNREADABLE, orient="row")
