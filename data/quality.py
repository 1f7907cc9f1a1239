"""Which training rows are worth training on: filters, each on by choice, that say how many rows they took and show some of them.

A frame has ``row``, ``text`` (what is judged), ``split`` and ``category``. Validation and test rows always stay, so that what is measured
is the same whatever is trained on: of two rows that are alike it is the training row that goes.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from data import charts

log = logging.getLogger(__name__)
SHINGLE = 3  # words in a piece, by which texts are compared
PERMUTATIONS = 128
REPEATED = 4  # words in a piece that is looked for again in its own text
SHOWN = 5  # examples of what each filter took
CATEGORIES = 20  # that are drawn
TRAIN = pl.col("split") == "train"


@dataclass(frozen=True)
class Quality:
    """What is asked of a row: the fields of the configuration ``data.quality``."""

    filters: list[str]
    shortest: int
    longest: int
    script: str
    script_share: float
    repeated: float
    alike: float
    overlap: int
    words: str


def words_of(text: pl.Expr) -> pl.Expr:
    """Lower-case words without punctuation."""
    return text.str.to_lowercase().str.extract_all(r"[\p{L}\p{N}]+")


def pieces_of(text: pl.Expr, size: int) -> pl.Expr:
    """All runs of ``size`` words; a shorter text has none."""
    run = pl.concat_str([pl.element().shift(-i) for i in range(size)], separator=" ", ignore_nulls=False)
    return words_of(text).list.eval(run).list.drop_nulls()


def length(rows: pl.DataFrame, q: Quality) -> pl.Series:
    """Shorter or longer than is asked, in characters."""
    count = pl.col("text").str.len_chars()
    return rows.filter((count < q.shortest) | (count > q.longest))["row"]


def script(rows: pl.DataFrame, q: Quality) -> pl.Series:
    """Too few of the letters are of the script."""
    own = pl.col("text").str.count_matches(rf"\p{{{q.script}}}")
    return rows.filter(own < q.script_share * pl.col("text").str.count_matches(r"\p{L}"))["row"]


def repetition(rows: pl.DataFrame, q: Quality) -> pl.Series:
    """Too large a share of its runs of four words has stood in it before."""
    pieces = pieces_of(pl.col("text"), REPEATED)
    share = 1 - pieces.list.n_unique() / pieces.list.len()
    return rows.filter((pieces.list.len() > 0) & (share > q.repeated))["row"]


def exact(rows: pl.DataFrame, q: Quality) -> pl.Series:
    """The same words as another row, the first of which stays."""
    keyed = rows.sort(TRAIN, maintain_order=True).with_columns(key=words_of(pl.col("text")).list.join(" "))
    return keyed.filter(TRAIN & ~pl.col("key").is_first_distinct())["row"]


def near(rows: pl.DataFrame, q: Quality) -> pl.Series:
    """Nearly the same as another row, the first of which stays: MinHash of runs of three words (Broder 1997,
    doi.org/10.1109/SEQUEN.1997.666900)."""
    from datasketch import MinHash, MinHashLSH

    ordered = rows.sort(TRAIN, maintain_order=True)
    pieces = [[piece.encode() for piece in some] for some in ordered.select(pieces_of(pl.col("text"), SHINGLE)).to_series().to_list()]
    index, kept, taken = MinHashLSH(threshold=q.alike, num_perm=PERMUTATIONS), dict[int, Any](), []
    made = MinHash.generator(pieces, num_perm=PERMUTATIONS, seed=1)
    for row, train, some, one in zip(ordered["row"], ordered["split"] == "train", pieces, made, strict=True):
        if train and some and any(one.jaccard(kept[other]) >= q.alike for other in index.query(one)):
            taken.append(row)
        elif some:
            index.insert(row, one)
            kept[row] = one
    return pl.Series(taken, dtype=rows["row"].dtype)


def overlap(rows: pl.DataFrame, q: Quality) -> pl.Series:
    """Shares a run of so many words with a validation or test row."""
    exploded = rows.select("row", "split", piece=pieces_of(pl.col("text"), q.overlap)).explode("piece").drop_nulls("piece")
    held_out = exploded.filter(~TRAIN).select("piece").unique()
    return exploded.filter(TRAIN).join(held_out, on="piece", how="semi")["row"].unique()


def listed(rows: pl.DataFrame, q: Quality) -> pl.Series:
    """Holds a word (or words) of the list."""
    forbidden = [f" {' '.join(word.lower().split())} " for word in read_words(q.words)]
    padded = pl.concat_str(pl.lit(" "), words_of(pl.col("text")).list.join(" "), pl.lit(" "))
    return rows.filter(padded.str.contains_any(forbidden))["row"]


def read_words(path: str) -> list[str]:
    """One word, or words, a line. Raises ValueError if there are none."""
    try:
        found = [line.strip() for line in Path(path).read_text(encoding="utf-8").splitlines() if line.strip() and not line.startswith("#")]
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"data.quality.words={path}: cannot be read ({error}); give a file with a word a line") from None
    if not found:
        raise ValueError(f"data.quality.words={path} holds no word")
    return found


FILTERS: dict[str, Callable[[pl.DataFrame, Quality], pl.Series]] = {
    "length": length, "script": script, "repetition": repetition, "exact": exact, "near": near, "overlap": overlap, "words": listed,
}  # fmt: skip


def filtered(rows: pl.DataFrame, q: Quality) -> tuple[pl.DataFrame, pl.DataFrame, list[dict[str, Any]]]:
    """(rows that stay, those that were taken with the filter's name, a report: filter, training rows before, taken, examples).

    Filters are applied in the given order, each to what the ones before have left.
    """
    report, taken = [], [rows.head(0).with_columns(filter=pl.lit(""))]
    for name in q.filters:
        here = FILTERS[name](rows, q)
        gone = rows.filter(TRAIN & pl.col("row").is_in(here.implode()))
        examples = [text[:200] for text in gone["text"].head(SHOWN)]
        report.append({"filter": name, "before": rows.filter(TRAIN).height, "taken": gone.height, "examples": examples})
        taken.append(gone.with_columns(filter=pl.lit(name)))
        rows = rows.join(gone.select("row"), on="row", how="anti", maintain_order="left")
    return rows, pl.concat(taken), report


def keep(frame: pl.DataFrame, text: pl.Expr, category: pl.Expr, settings: dict[str, Any], folder: Path) -> tuple[pl.DataFrame, list[Any]]:
    """The rows of a frame with ``split`` that pass, and the report; what was taken and pictures of what stayed go into ``folder``.

    Raises ValueError if a filter takes all training rows.
    """
    q = Quality(**settings)
    numbered = frame.with_row_index("row")
    judged = numbered.select("row", "split", text=text.fill_null(""), category=category.fill_null("none"))
    stay, taken, report = filtered(judged, q)
    if not stay.filter(TRAIN).height:
        raise ValueError(f"data.quality.filters took all training rows: {', '.join('{filter} {taken}'.format_map(r) for r in report)}")
    taken.write_parquet(folder / "quality_taken.parquet")
    lengths = [some.filter(TRAIN)["text"].str.len_chars().to_list() for some in (judged, stay)]
    counts = judged.filter(TRAIN)["category"].value_counts(sort=True).head(CATEGORIES)
    after = dict(stay.filter(TRAIN)["category"].value_counts().rows())
    bars = [(str(name), int(count), int(after.get(name, 0))) for name, count in counts.rows()]
    charts.quality_chart(lengths, bars, folder / "quality.png")
    return numbered.join(stay.select("row"), on="row", how="semi", maintain_order="left").drop("row"), report


def content_of(settings: dict[str, Any]) -> dict[str, Any]:
    """The settings as far as they decide anything: without filters nothing; the list of words by what it holds."""
    if not settings["filters"]:
        return {}
    return {**settings, "words": read_words(settings["words"]) if "words" in settings["filters"] else ""}


def say(report: list[dict[str, Any]], folder: Path) -> None:
    """Log how many rows each filter took, and where they are."""
    for one in report:
        example = f", for example {one['examples'][0][:60]!r}" if one["examples"] else ""
        log.info("%7d  of %d training rows taken by filter %s%s", one["taken"], one["before"], one["filter"], example)
    if report:
        log.info("what the filters took: %s; what stayed: %s", folder / "quality_taken.parquet", folder / "quality.png")
