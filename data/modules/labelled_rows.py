"""Tables of labelled texts -> rows: read from file, folder or Hub, text joined and cleaned, labels by name,
split.

The pure part of `data.modules.labelled_text`: from files to a frame with text, labels and split, and what is
wrong with it.
"""

import logging
from typing import Any

import polars as pl

from data.catalogue.reading import STOP_WORDS, read_table
from data.catalogue.sources import find_files
from data.questions.splits import every_nth, round_robin

log = logging.getLogger(__name__)

SPLITS = ("train", "validation", "test")

SPLIT_NAME = (
    r"(?i)(?:^|[^a-z])(?:(train)|(validation|val|dev)|(test|holdout))(?:[^a-z]|$)"  # in the name of a file
)


def read_labelled(path: str, settings: dict[str, Any]) -> pl.DataFrame:
    """All rows of all files, as the files have them, with ``file`` (its name) and ``line`` (from 0)."""
    frames = []
    for file in find_files(path, settings["label_names"]):
        if file.suffix[1:] in settings["label_names"]:
            try:
                lines = file.read_text(encoding="utf-8").removesuffix("\n").split("\n")
            except UnicodeDecodeError as error:
                raise ValueError(
                    f"{file} is not in UTF-8 ({error.reason} at byte {error.start}): convert it first"
                ) from None
            frame = pl.DataFrame(
                {settings["text_columns"][0]: lines, settings["label_column"]: file.suffix[1:]}
            )
        else:
            frame, unread = read_table(file)
            if unread.height:
                log.warning("%7d  records of %s could not be read", unread.height, file)
        missing = [
            column
            for column in (*settings["text_columns"], settings["label_column"])
            if column not in frame.columns
        ]
        if missing:
            raise ValueError(
                f"{file} has no column {', '.join(map(repr, missing))} (it has {', '.join(frame.columns)}):"
                " mend data.text_columns or data.label_column"
            )
        frames.append(frame.with_columns(file=pl.lit(file.name), line=pl.int_range(pl.len())))
    return pl.concat(frames, how="diagonal_relaxed")


def text_expression(columns: list[str], clean: list[str]) -> pl.Expr:
    """Columns joined by a space, then cleaned as asked (lowercase, links, symbols, stop_words), white
    space evened out.
    """
    text = pl.concat_str([pl.col(c).cast(pl.String).fill_null("") for c in columns], separator=" ")
    if "lowercase" in clean:
        text = text.str.to_lowercase()
    if "links" in clean:
        text = text.str.replace_all(r"https?://\S+|www\.\S+", " ")
    if "symbols" in clean:
        text = text.str.replace_all(r"[^\p{L}\p{N}\s]", " ")
    if "stop_words" in clean:
        text = text.str.replace_all(rf"(?i)\b(?:{'|'.join(STOP_WORDS)})\b", " ")
    return text.str.replace_all(r"\s+", " ").str.strip_chars()


def parse_labels(column: str, kind: str, names: list[str], frame: pl.DataFrame) -> pl.Series:
    """The label column -> a list of names a row. Numbers are places in ``names``. Raises ValueError for
    values that are no label.

    Args:
        kind: single: one label a row; multiple: any number (a list, or text with ';' between them); any:
        whether there is one,
            so that ``names`` are the two words for no and yes.
    """
    dtype = frame.schema[column]
    if isinstance(dtype, pl.List):
        values = pl.col(column).list.eval(pl.element().cast(pl.String))
    elif kind == "single":
        values = pl.concat_list(pl.col(column).cast(pl.String).str.strip_chars()).list.drop_nulls()
    else:
        values = (
            pl.col(column)
            .cast(pl.String)
            .fill_null("")
            .str.split(";")
            .list.eval(pl.element().str.strip_chars())
        )
    values = values.fill_null([]).list.eval(pl.element().filter(pl.element() != ""))
    if kind == "any":
        words = pl.when(values.list.len() > 0).then(pl.lit(names[1])).otherwise(pl.lit(names[0]))
        return frame.select(pl.concat_list(words).alias("labels"))["labels"]
    given = frame.select(values.alias("labels"))["labels"]
    if not names:
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


def load_labelled(
    path: str, settings: dict[str, Any], names: list[str]
) -> tuple[pl.DataFrame, pl.DataFrame, list[str]]:
    """Files -> (rows with ``text``, ``labels`` and ``words``; rows set aside with the reason; the labels in
    order).

    Args:
        names: the labels, where they are known; else they are those of the table, in alphabetical order.
    """
    raw = read_labelled(path, settings)
    kind = settings["label_kind"]
    found = parse_labels(settings["label_column"], kind, names or settings["label_names"], raw)
    frame = raw.with_columns(
        text_expression(settings["text_columns"], settings["clean"]).alias("text"), found.alias("labels")
    )
    frame = frame.with_columns(words=pl.col("text").str.count_matches(r"\S+"))
    names = names or settings["label_names"] or sorted(found.explode().drop_nulls().unique().to_list())
    missing = (pl.col("labels").list.len() == 0) & pl.lit(kind == "single")
    reason = pl.when(pl.col("text") == "").then(pl.lit("no text")).when(missing).then(pl.lit("no label"))
    frame = frame.with_columns(reason=reason)
    return (
        frame.filter(pl.col("reason").is_null()).drop("reason"),
        frame.filter(pl.col("reason").is_not_null()),
        names,
    )


def with_splits(frame: pl.DataFrame, settings: dict[str, Any], seed: int) -> pl.DataFrame:
    """Add ``split``: as the files' names say, else as ``split_by`` says, else drawn so that every label
    has its share in each.
    """
    file = pl.col("file").str.extract_groups(SPLIT_NAME)
    names = [
        pl.when(file.struct.field(str(i)).is_not_null()).then(pl.lit(split))
        for i, split in enumerate(SPLITS, 1)
    ]
    frame = frame.with_columns(split=pl.coalesce(names))
    if settings["split_by"]:
        try:
            frame = frame.with_columns(split=pl.coalesce("split", pl.sql_expr(settings["split_by"])))
        except (pl.exceptions.PolarsError, TypeError) as error:
            raise ValueError(f"data.split_by: {str(error).splitlines()[0]}") from None
    given = set(frame["split"].drop_nulls().unique())
    if given - set(SPLITS):
        raise ValueError(
            f"data.split_by gives {', '.join(sorted(given - set(SPLITS)))}: it must give train,"
            f" validation or test"
        )
    frame = frame.with_columns(pl.col("split").fill_null("train"))
    pool = frame.filter(pl.col("split") == "train").height
    if settings["folds"]:
        frame = draw_split(frame, "test", round_robin(settings["folds"]) == settings["fold"], seed)
    elif not given:
        frame = draw_split(frame, "test", every_nth(settings["test"]), seed)
    if "validation" not in given:
        left = frame.filter(pl.col("split") == "train").height
        frame = draw_split(
            frame, "validation", every_nth(settings["validation"] * pool / max(1, left)), seed + 1
        )
    return frame


def draw_split(frame: pl.DataFrame, split: str, chosen: pl.Expr, seed: int) -> pl.DataFrame:
    """Move the chosen ones of the training rows, lined up by label and then in a seeded order, to another
    split.
    """
    lined_up = frame.filter(pl.col("split") == "train").with_columns(
        order=pl.struct("text", "file", "line").hash(seed)
    )
    lined_up = lined_up.sort(pl.col("labels").list.join(";"), "order").with_columns(
        split=pl.when(chosen).then(pl.lit(split)).otherwise(pl.lit("train"))
    )
    return pl.concat([frame.filter(pl.col("split") != "train"), lined_up.drop("order")])


def check_counts(counts: dict[str, dict[str, Any]], labels: list[str]) -> None:
    """Raise ValueError for data that nothing can be learnt from, or by which nothing can be chosen."""
    if len(labels) < 2:
        raise ValueError(
            f"there must be at least two labels, and there are {len(labels)}: is data.label_column"
            f" the right one?"
        )
    for split, share in (("train", "data.test or data.validation"), ("validation", "data.validation")):
        if not counts[split]["rows"]:
            way = "raise" if split == "validation" else "lower"
            raise ValueError(
                f"no row is left for {split}: {way} {share}, or add a file whose name begins with {split}"
            )
    never = [label for label, count in counts["train"]["labels"].items() if not count]
    if never:
        raise ValueError(
            f"no training row has the label {', '.join(map(repr, never))}: give it rows, or take it"
            f" out of data.label_names"
        )
