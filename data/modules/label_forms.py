"""The forms in which tables write labels -> a list of names for each row."""

import json
import logging
from collections import defaultdict

import polars as pl

from data.catalogue.cells import cell_text
from data.catalogue.forms import list_items
from data.values import JsonObject

log = logging.getLogger(__name__)

SEPARATORS = (";", "|", ",")  # of several labels in one text, the first that occurs in a column counts

LIST = r"^\s*\[.*\]\s*$"  # a list as JSON or Python writes it


def parse_labels(column: str, kind: str, names: list[str], frame: pl.DataFrame) -> pl.Series:
    """The label column -> a list of names a row. Numbers are places in ``names``. Raises ValueError for
    values that are no label.

    Args:
        kind: single: one label a row; multiple: any number (a list, a list as JSON or Python writes it, or
        text with ';', '|' or ',' between them); any: whether there is one, so that ``names`` are the two
        words for no and yes.
    """
    values = _label_lists(frame[column], kind)
    text = pl.element().str.replace_all(r"\s+", " ").str.strip_chars()
    values = values.fill_null([]).list.eval(text).list.eval(pl.element().filter(pl.element() != ""))
    if kind == "any":
        words = pl.when(values.list.len() > 0).then(pl.lit(names[1])).otherwise(pl.lit(names[0]))
        return frame.select(pl.concat_list(words).alias("labels"))["labels"]
    given = frame.select(values.list.unique(maintain_order=True).alias("labels"))["labels"]
    if not names:
        _warn_of_case(given)
        return given
    by_place = {str(place): name for place, name in enumerate(names)}
    known = by_place | dict(zip(names, names, strict=True))
    strange = [
        value for value in given.explode().drop_nulls().unique().sort().to_list() if value not in known
    ]
    if strange:
        raise ValueError(
            f"column {column!r} holds {', '.join(map(repr, strange[:5]))}, which data.label_names"
            f" lacks ({', '.join(names)})"
        )
    return given.list.eval(pl.element().replace_strict(known, return_dtype=pl.String))


def _label_lists(values: pl.Series, kind: str) -> pl.Expr:
    """The cells of a label column as lists of texts."""
    if isinstance(values.dtype, pl.List):
        return pl.col(values.name).list.eval(pl.element().cast(pl.String))
    cell = cell_text(values.name, values.dtype)
    is_list = cell.str.contains(LIST)
    if kind == "single":
        whole = pl.concat_list(cell).list.drop_nulls()
        return pl.when(is_list).then(list_items(cell)).otherwise(whole)
    separator = find_separator(values.cast(pl.String))
    return pl.when(is_list).then(list_items(cell)).otherwise(cell.fill_null("").str.split(separator))


def find_separator(values: pl.Series) -> str:
    """What stands between the labels of a text column."""
    plain = values.drop_nulls().filter(~values.drop_nulls().str.contains(LIST))
    for separator in SEPARATORS:
        several = plain.filter(plain.str.contains(separator, literal=True))
        if len(several):
            as_list = json.dumps([several[0]], ensure_ascii=False)
            log.info(
                "column %r: %r separates labels in %d cells, as in %r; where it is part of a label, write the"
                " cell as a list, as %s",
                values.name, separator, len(several), several[0], as_list,
            )  # fmt: skip
            return separator
    return SEPARATORS[0]


def _warn_of_case(labels: pl.Series) -> None:
    """Warn of labels that differ in the case of letters alone."""
    twins: defaultdict[str, list[str]] = defaultdict(list)
    for label in labels.explode().drop_nulls().unique().sort():
        twins[label.lower()].append(label)
    for same in twins.values():
        if len(same) > 1:
            log.warning(
                "the labels %s differ in case alone and count as different", ", ".join(map(repr, same))
            )


def without_rare(frame: pl.DataFrame, least: int) -> tuple[pl.DataFrame, dict[str, int]]:
    """(rows without the labels that fewer than ``least`` rows have, those labels with their rows)"""
    counts: JsonObject = dict(frame["labels"].explode().drop_nulls().value_counts().rows())
    rare = {label: count for label, count in sorted(counts.items()) if count < least}
    if not rare:
        return frame, {}
    kept = pl.col("labels").list.eval(pl.element().filter(~pl.element().is_in(list(rare))))
    return frame.with_columns(labels=kept), rare
