"""Tables of labelled texts -> rows: read from file, folder or Hub, text joined and cleaned, labels by name,
split.

The pure part of `data.modules.labelled_text`: from files to a frame with text, labels and split, and what is
wrong with it.
"""

import logging
from pathlib import Path

import polars as pl

from data.catalogue.cells import cell_text
from data.catalogue.reading import STOP_WORDS, read_table
from data.catalogue.sources import SPLITS, find_files, split_of_name
from data.catalogue.text_files import TextForm
from data.modules.label_forms import parse_labels, without_rare
from data.questions.splits import every_nth, round_robin
from data.values import JsonObject, Settings

log = logging.getLogger(__name__)


OWN_COLUMNS = ("row", "text", "labels", "words", "split", "file", "line", "reason", "order")


def _table_name(column: str) -> str:
    """The name of a table's column beside this project's own."""
    return f"table_{column}" if column in OWN_COLUMNS else column


def _read_labelled(path: str, settings: Settings) -> pl.DataFrame:
    """All rows of all files, as the files have them, with ``file`` (its name) and ``line`` (from 0).

    A column of the table that is called as one of ``OWN_COLUMNS`` becomes ``table_NAME``. A file without the
    columns is left out with a warning where another one has them (as the test file of a competition).
    """
    needed = [*settings["text_columns"], settings["label_column"]]
    frames, lacking = [], []
    for file in find_files(path, settings["label_names"]):
        frame = _read_file(file, settings)
        missing = [column for column in needed if column not in frame.columns]
        if missing:
            there = (
                f"{file} has no column {', '.join(map(repr, missing))} (it has {', '.join(frame.columns)})"
            )
            lacking.append(there)
            continue
        frame = frame.rename({name: _table_name(name) for name in frame.columns})
        frames.append(frame.with_columns(file=pl.lit(file.name), line=pl.int_range(pl.len())))
    if not frames:
        raise ValueError(f"{lacking[0]}: set data.text_columns or data.label_column to its names")
    for there in lacking:
        log.warning("%s and is left out", there)
    return pl.concat(frames, how="diagonal_relaxed")


def _read_file(file: Path, settings: Settings) -> pl.DataFrame:
    """The rows of a table, or of a file of texts of one label."""
    if file.suffix[1:] in settings["label_names"]:
        try:
            lines = file.read_text(encoding="utf-8").removesuffix("\n").split("\n")
        except UnicodeDecodeError as error:
            raise ValueError(
                f"{file} is not in UTF-8 ({error.reason} at byte {error.start}): convert it first"
            ) from None
        return pl.DataFrame({settings["text_columns"][0]: lines, settings["label_column"]: file.suffix[1:]})
    frame, unread = read_table(file, TextForm.of(settings))
    if unread.height:
        log.warning("%7d  records of %s could not be read", unread.height, file)
    return frame.select(pl.exclude(pl.Binary, pl.Object))


def text_expression(columns: list[str], clean: list[str]) -> pl.Expr:
    """Columns joined by a space, then cleaned as asked (lowercase, links, symbols, stop_words), white
    space evened out.
    """
    text = pl.concat_str([pl.col(c).fill_null("") for c in columns], separator=" ")
    if "lowercase" in clean:
        text = text.str.to_lowercase()
    if "links" in clean:
        text = text.str.replace_all(r"https?://\S+|www\.\S+", " ")
    if "symbols" in clean:
        text = text.str.replace_all(r"[^\p{L}\p{N}\s]", " ")
    if "stop_words" in clean:
        text = text.str.replace_all(rf"(?i)\b(?:{'|'.join(STOP_WORDS)})\b", " ")
    return text.str.replace_all(r"\s+", " ").str.strip_chars()


def load_labelled(
    path: str, settings: Settings, names: list[str]
) -> tuple[pl.DataFrame, pl.DataFrame, list[str]]:
    """Files -> (rows with ``text``, ``labels`` and ``words``; rows set aside with the reason; the labels in
    order).

    Args:
        names: the labels, where they are known; else they are those of the table, in alphabetical order.
    """
    raw = _read_labelled(path, settings)
    kind = settings["label_kind"]
    label_column = _table_name(settings["label_column"])
    found = parse_labels(label_column, kind, names or settings["label_names"], raw)
    texts = raw.select(_text_cell(_table_name(name), raw) for name in settings["text_columns"])
    cleaned = texts.select(text_expression(texts.columns, settings["clean"])).to_series()
    frame = raw.with_columns(cleaned.alias("text"), found.alias("labels"))
    frame = frame.with_columns(words=pl.col("text").str.count_matches(r"\S+"))
    frame, rare = without_rare(frame, settings["min_label_rows"])
    names = _names_of(found, frame, rare, names or settings["label_names"], settings["missing"])
    given = pl.col("labels").list.len()
    is_single = pl.lit(kind == "single")
    reason = (
        pl.when(pl.col("text") == "")
        .then(pl.lit("no text"))
        .when((given == 0) & is_single)
        .then(pl.lit("no label"))
        .when((given > 1) & is_single)
        .then(pl.lit("several labels under data.label_kind=single"))
    )
    frame = frame.with_columns(reason=reason)
    return (
        frame.filter(pl.col("reason").is_null()).drop("reason"),
        frame.filter(pl.col("reason").is_not_null()),
        names,
    )


def _names_of(
    found: pl.Series, frame: pl.DataFrame, rare: dict[str, int], names: list[str], missing: list[str]
) -> list[str]:
    """The labels in order, without the rare ones, of which a warning tells.

    Args:
        found: the labels of each row. names: as they are set; empty: those of the rows, where a word for a
        missing value counts as a label, with a warning.
    """
    for label, count in rare.items():
        log.warning(
            "%7d  rows have the label %r, fewer than data.min_label_rows: it is left out", count, label
        )
    if names:
        return [name for name in names if name not in rare]
    given = sorted(found.explode().drop_nulls().unique())
    for label in [name for name in given if name.lower() in missing]:
        rows = frame.filter(pl.col("labels").list.contains(label)).height
        log.warning(
            "%7d  rows have the label %r, which counts as a class; where it means that the label is"
            " missing, leave the cells empty", rows, label,
        )  # fmt: skip
    return [name for name in given if name not in rare]


def _text_cell(column: str, frame: pl.DataFrame) -> pl.Expr:
    """A text column as text; a list of words is joined."""
    kind = frame.schema[column]
    if kind == pl.List(pl.String):
        return pl.col(column).list.join(" ")
    return cell_text(column, kind)


def with_splits(frame: pl.DataFrame, settings: Settings, seed: int) -> pl.DataFrame:
    """Add ``split``: as the files' names say, else as ``split_by`` says, else drawn so that every label
    has its share in each.
    """
    named = {file: split_of_name(file) for file in frame["file"].unique()}
    frame = frame.with_columns(split=pl.col("file").replace_strict(named, return_dtype=pl.String))
    if settings["split_by"]:
        try:
            by_rule = (
                _table_view(frame).select(pl.sql_expr(settings["split_by"]).alias("by_rule")).to_series()
            )
            frame = frame.with_columns(split=pl.coalesce("split", by_rule))
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
        frame = _draw_split(frame, "test", round_robin(settings["folds"]) == settings["fold"], seed)
    elif not given:
        frame = _draw_split(frame, "test", every_nth(settings["test"]), seed)
    if "validation" not in given:
        left = frame.filter(pl.col("split") == "train").height
        frame = _draw_split(
            frame, "validation", every_nth(settings["validation"] * pool / max(1, left)), seed + 1
        )
    return frame


def _table_view(frame: pl.DataFrame) -> pl.DataFrame:
    """The rows as the table has them: its own columns under their own names."""
    own = [name for name in OWN_COLUMNS if _table_name(name) in frame.columns]
    return frame.drop(own, strict=False).rename({_table_name(name): name for name in own})


def _draw_split(frame: pl.DataFrame, split: str, chosen: pl.Expr, seed: int) -> pl.DataFrame:
    """Move the chosen ones of the training rows, lined up by label and then in a seeded order, to another
    split. The only row of a label stays in training.
    """
    train = frame.filter(pl.col("split") == "train")
    counts = train["labels"].explode().drop_nulls().value_counts(name="rows")
    only = counts.filter(pl.col("rows") == 1)["labels"]
    is_only = pl.col("labels").list.eval(pl.element().is_in(only.implode())).list.any()
    stays = train.filter(is_only)
    lined_up = train.filter(~is_only).with_columns(order=pl.struct("text", "file", "line").hash(seed))
    lined_up = lined_up.sort(pl.col("labels").list.join(";"), "order").with_columns(
        split=pl.when(chosen).then(pl.lit(split)).otherwise(pl.lit("train"))
    )
    return pl.concat([frame.filter(pl.col("split") != "train"), stays, lined_up.drop("order")])


def check_counts(counts: dict[str, JsonObject], labels: list[str]) -> None:
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
