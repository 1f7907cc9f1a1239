"""Which training rows are worth training on: filters, each on by choice, that say how many rows they took and
show some of them.

A frame has ``row``, ``text`` (what is judged), ``split`` and ``category``. Validation and test rows always
stay, so that what is measured
is the same whatever is trained on: of two rows that are alike it is the training row that goes.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from data.catalogue.normalisation import normalised
from data.values import JsonObject, Settings

log = logging.getLogger(__name__)

SHINGLE = 3  # words in a piece, by which texts are compared

PERMUTATIONS = 128

REPEATED_WORDS = 4  # words in a piece that is looked for again in its own text

EXAMPLES_SHOWN = 5  # examples of what each filter took

MAX_CATEGORIES = 20  # that are drawn

TRAIN = pl.col("split") == "train"


@dataclass(frozen=True)
class FilterSettings:
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


def _word_runs(text: pl.Expr, size: int) -> pl.Expr:
    """All runs of ``size`` words; a shorter text has none."""
    run = pl.concat_str([pl.element().shift(-i) for i in range(size)], separator=" ", ignore_nulls=False)
    return words_of(text).list.eval(run).list.drop_nulls()


def length(rows: pl.DataFrame, q: FilterSettings) -> pl.Series:
    """Shorter or longer than is asked, in characters."""
    count = pl.col("text").str.len_chars()
    return rows.filter((count < q.shortest) | (count > q.longest))["row"]


def script(rows: pl.DataFrame, q: FilterSettings) -> pl.Series:
    """Too few of the letters are of the script."""
    own = pl.col("text").str.count_matches(rf"\p{{{q.script}}}")
    return rows.filter(own < q.script_share * pl.col("text").str.count_matches(r"\p{L}"))["row"]


def repetition(rows: pl.DataFrame, q: FilterSettings) -> pl.Series:
    """Too large a share of its runs of four words has stood in it before."""
    pieces = _word_runs(pl.col("text"), REPEATED_WORDS)
    share = 1 - pieces.list.n_unique() / pieces.list.len()
    return rows.filter((pieces.list.len() > 0) & (share > q.repeated))["row"]


def exact(rows: pl.DataFrame, q: FilterSettings) -> pl.Series:
    """The same words as another row, the first of which stays."""
    keyed = rows.sort(TRAIN, maintain_order=True).with_columns(key=words_of(pl.col("text")).list.join(" "))
    return keyed.filter(TRAIN & ~pl.col("key").is_first_distinct())["row"]


def near(rows: pl.DataFrame, q: FilterSettings) -> pl.Series:
    """Nearly the same as another row, the first of which stays: MinHash of runs of three words (Broder 1997,
    doi.org/10.1109/SEQUEN.1997.666900)."""
    from datasketch import MinHash, MinHashLSH

    ordered = rows.sort(TRAIN, maintain_order=True)
    runs = ordered.select(_word_runs(pl.col("text"), SHINGLE)).to_series().to_list()
    shingles = [list(map(str.encode, some)) for some in runs]
    hashes = MinHash.generator(shingles, num_perm=PERMUTATIONS, seed=1)
    index = MinHashLSH(threshold=q.alike, num_perm=PERMUTATIONS)
    kept: dict[int, MinHash] = {}
    duplicates = []
    for row, split, some, one in zip(ordered["row"], ordered["split"], shingles, hashes, strict=True):
        if not some:
            continue
        if split == "train" and any(one.jaccard(kept[other]) >= q.alike for other in index.query(one)):
            duplicates.append(row)
        else:
            index.insert(row, one)
            kept[row] = one
    return pl.Series(duplicates, dtype=rows["row"].dtype)


def overlap(rows: pl.DataFrame, q: FilterSettings) -> pl.Series:
    """Shares a run of so many words with a validation or test row."""
    exploded = (
        rows.select("row", "split", piece=_word_runs(pl.col("text"), q.overlap))
        .explode("piece")
        .drop_nulls("piece")
    )
    held_out = exploded.filter(~TRAIN).select("piece").unique()
    return exploded.filter(TRAIN).join(held_out, on="piece", how="semi")["row"].unique()


def _forbidden_words(rows: pl.DataFrame, q: FilterSettings) -> pl.Series:
    """Holds a word (or words) of the list."""
    forbidden = [f" {normalised(word)} " for word in _read_words(q.words)]
    padded = pl.concat_str(pl.lit(" "), words_of(pl.col("text")).list.join(" "), pl.lit(" "))
    return rows.filter(padded.str.contains_any(forbidden))["row"]


def _read_words(path: str) -> list[str]:
    """One word, or words, a line. Raises ValueError if there are none."""
    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(
            f"data.quality.words={path}: cannot be read ({error}); give a file with a word a line"
        ) from None
    words = [line.strip() for line in lines if line.strip() and not line.startswith("#")]
    if not words:
        raise ValueError(f"data.quality.words={path} holds no word")
    return words


FILTERS: dict[str, Callable[[pl.DataFrame, FilterSettings], pl.Series]] = {
    "length": length,
    "script": script,
    "repetition": repetition,
    "exact": exact,
    "near": near,
    "overlap": overlap,
    "words": _forbidden_words,
}


def run_filters(rows: pl.DataFrame, q: FilterSettings) -> tuple[pl.DataFrame, pl.DataFrame, list[JsonObject]]:
    """(rows that pass, removed rows with the filter's name, a report: filter, training rows before, removed,
    examples)

    Filters are applied in the given order, each to what the ones before have left.
    """
    report, removed = [], [rows.head(0).with_columns(filter=pl.lit(""))]
    for name in q.filters:
        matches = FILTERS[name](rows, q)
        gone = rows.filter(TRAIN & pl.col("row").is_in(matches.implode()))
        examples = [text[:200] for text in gone["text"].head(EXAMPLES_SHOWN)]
        before = rows.filter(TRAIN).height
        report.append({"filter": name, "before": before, "removed": gone.height, "examples": examples})
        removed.append(gone.with_columns(filter=pl.lit(name)))
        rows = rows.join(gone.select("row"), on="row", how="anti", maintain_order="left")
    return rows, pl.concat(removed), report


@dataclass(frozen=True)
class _Filtered:
    """Rows that passed; a report of each filter; for a chart, lengths of training texts before and after, and
    (category, rows before, rows after).
    """

    frame: pl.DataFrame
    report: list[JsonObject]
    lengths: list[list[int]]
    categories: list[tuple[str, int, int]]


def apply_filters(
    frame: pl.DataFrame, text: pl.Expr, category: pl.Expr, settings: Settings, folder: Path
) -> _Filtered:
    """Filter the training rows of a frame with ``split``; the removed ones are written into ``folder``.

    Raises ValueError if the filters remove all training rows.
    """
    numbered = frame.with_row_index("row")
    rows = numbered.select("row", "split", text=text.fill_null(""), category=category.fill_null("none"))
    passed, removed, report = run_filters(rows, FilterSettings(**settings))
    if not passed.filter(TRAIN).height:
        counts = ", ".join(f"{one['filter']} {one['removed']}" for one in report)
        raise ValueError(f"data.quality.filters removed all training rows: {counts}")
    removed.write_parquet(folder / "quality_removed.parquet")
    lengths = [some.filter(TRAIN)["text"].str.len_chars().to_list() for some in (rows, passed)]
    kept = numbered.join(passed.select("row"), on="row", how="semi", maintain_order="left").drop("row")
    return _Filtered(kept, report, lengths, _category_counts(rows, passed))


def _category_counts(before: pl.DataFrame, after: pl.DataFrame) -> list[tuple[str, int, int]]:
    """(category, training rows before, training rows after), the largest categories first."""
    counts = before.filter(TRAIN)["category"].value_counts(sort=True).head(MAX_CATEGORIES)
    left = dict(after.filter(TRAIN)["category"].value_counts().rows())
    return [(str(name), int(count), int(left.get(name, 0))) for name, count in counts.rows()]


def content_settings(settings: Settings) -> Settings:
    """The settings as far as they decide anything: without filters none; the list of words by its content."""
    if not settings["filters"]:
        return {}
    return {**settings, "words": _read_words(settings["words"]) if "words" in settings["filters"] else ""}


def log_filters(report: list[JsonObject], folder: Path) -> None:
    """Log how many rows each filter removed, and where they are."""
    for one in report:
        example = f", for example {one['examples'][0][:60]!r}" if one["examples"] else ""
        message = "%7d  of %d training rows removed by filter %s%s"
        log.info(message, one["removed"], one["before"], one["filter"], example)
    if report:
        removed, chart = folder / "quality_removed.parquet", folder / "quality.png"
        log.info("rows that the filters removed: %s; rows that passed: %s", removed, chart)
