"""Files of conversations, of any size -> partitions on disk, in which each conversation has its split.

Conversations are read and written some at a time. What is compared across files (which one repeats another,
which ones begin alike) are hashes, so that memory holds one batch of conversations and the keys of all.
"""

import shutil
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import polars as pl
from tqdm import tqdm

from data.catalogue.reading import read_batches
from data.catalogue.sources import split_of_name
from data.catalogue.text_files import TextForm
from data.modules.conversations import KEYS, conversation_keys, named_splits, read_conversations, weight_rows
from data.questions import filters
from data.reports import charts
from data.tokens.cache import SPLITS
from data.values import JsonObject, Settings

PARTS = "conversations"  # folder of the partitions


@dataclass(frozen=True)
class _FileRows:
    """What was read of one file.

    ``keys``: part, place in the part, and keys of its conversations, each once. ``aside``: row, reason and
    raw of those set aside. ``parts``: how many partitions hold them. ``height``: rows of the file. ``ended``,
    ``used``, ``unused``: as in `Conversations`.
    """

    keys: pl.DataFrame
    aside: pl.DataFrame
    parts: int
    height: int
    ended: int
    used: list[str]
    unused: Counter[str]

    def counts(self) -> JsonObject:
        """What the report says of the file."""
        repeated = self.height - self.aside.height - self.keys.height
        count = {"rows": self.height, "set_aside": self.aside.height, "end_tokens": self.ended}
        return {**count, "repeated": repeated, "used": self.used, "unused": dict(self.unused)}


def write_conversations(weights: dict[str, float], settings: Settings, seed: int, folder: Path) -> JsonObject:
    """Write the conversations of files as partitions, and quarantine.parquet; a report of the counts.

    Args:
        weights: file -> how often its rows are seen in an epoch. settings: fields of the group `data`.

    Raises ValueError for files that nothing can be learnt from.
    """
    work = folder / "read"
    work.mkdir()
    keys, quarantine, counts = _read_files(list(weights), settings, seed, work)
    distinct = keys.unique(KEYS, keep="first", maintain_order=True)
    rows = named_splits(distinct, settings["validation"], settings["test"], settings["held_out_rows"])
    rows, quality = _filter(rows, settings["quality"], work, folder)
    of_source = {source: rows.filter(pl.col("source") == source) for source in weights}
    rows = pl.concat([weight_rows(of_source[source], weight, seed) for source, weight in weights.items()])
    for count in counts:
        of_file = rows.filter(pl.col("source") == count["file"])
        count |= {split: of_file.filter(pl.col("split") == split).height for split in SPLITS}
        count["weight"] = weights[count["file"]]
    _check_splits(rows, quarantine, sum(count["rows"] for count in counts))
    _write_parts(rows, work, folder / PARTS)
    shutil.rmtree(work)
    quarantine.write_parquet(folder / "quarantine.parquet")
    reasons = quarantine.group_by("reason").len().sort("reason").rows()
    return {"files": counts, "quarantined": reasons, "quality": quality}


def read_parts(folder: Path, split: str) -> Iterator[pl.DataFrame]:
    """The conversations of a split that `write_conversations` has written, some at a time."""
    for part in sorted((folder / PARTS).iterdir()):
        yield pl.read_parquet(part).filter(pl.col("split") == split)


def _read_files(
    files: list[str], settings: Settings, seed: int, work: Path
) -> tuple[pl.DataFrame, pl.DataFrame, list[JsonObject]]:
    """Files -> partitions of sound conversations in ``work``; (keys of those that are used, what was set
    aside, counts of each file).
    """
    keys: list[pl.DataFrame] = []
    aside: list[pl.DataFrame] = []
    counts: list[JsonObject] = []
    parts = 0
    for file in files:
        read = partial(_write_batches, work=work, first=parts, seed=seed)
        try:
            found, unread = read_batches(Path(file), TextForm.of(settings), read)
        except ValueError as error:
            raise ValueError(_with_file(file, str(error))) from None
        parts += found.parts
        count = found.counts()
        counts.append({**count, "file": file, "set_aside": count["set_aside"] + unread.height})
        source = pl.lit(file).alias("source")
        unread = unread.select(pl.col("row").cast(pl.UInt32), "reason", "raw")
        aside += [found.aside.with_columns(source), unread.with_columns(source)]
        used = found.keys
        if settings["limit"]:
            used = used.sample(min(settings["limit"], used.height), seed=seed, shuffle=True)
        named = pl.lit(split_of_name(Path(file).name), pl.String).alias("named")
        keys.append(used.with_columns(source, named))
    return pl.concat(keys), pl.concat(aside), counts


def _with_file(file: str, message: str) -> str:
    """An error that names the file once."""
    return message if file in message else f"{file}: {message}"


def _write_batches(frames: Iterable[pl.DataFrame], work: Path, first: int, seed: int) -> _FileRows:
    """Frames of a table -> partitions of its sound conversations, numbered from ``first``."""
    keys: list[pl.DataFrame] = []
    aside: list[pl.DataFrame] = []
    height = ended = 0
    used: list[str] = []
    unused = Counter[str]()
    for frame in tqdm(_filled(frames), desc="reading conversations", unit="batch", delay=2):
        found = read_conversations(frame)
        number = first + len(keys)
        found.good.write_parquet(_part(work, number))
        of_part = conversation_keys(found.good, seed).with_row_index("place")
        keys.append(of_part.with_columns(part=pl.lit(number)))
        aside.append(found.bad.with_columns(pl.col("row") + height))
        height += frame.height
        ended += found.ended
        used = found.used
        unused.update(found.unused)
    distinct = pl.concat(keys).unique(KEYS, keep="first", maintain_order=True)
    return _FileRows(distinct, pl.concat(aside), len(keys), height, ended, used, unused)


def _filled(frames: Iterable[pl.DataFrame]) -> Iterator[pl.DataFrame]:
    """The frames that have rows; where none has, one that has columns."""
    empty: pl.DataFrame | None = None
    has_rows = False
    for frame in frames:
        if frame.height:
            has_rows = True
            yield frame
        else:
            empty = frame
    if empty is not None and not has_rows:
        yield empty


def _part(folder: Path, number: int) -> Path:
    """File of a partition."""
    return folder / f"{number:05}.parquet"


def _filter(
    rows: pl.DataFrame, quality: Settings, work: Path, folder: Path
) -> tuple[pl.DataFrame, list[JsonObject]]:
    """The rows that the filters of data.quality leave, and a report of each filter. The filters compare
    texts, so all are in memory.
    """
    if not quality["filters"]:
        return rows, []
    said = pl.col("messages").list.eval(pl.element().struct.field("content")).list.join("\n")
    texts = [
        pl.read_parquet(part)
        .select(said.alias("said"))
        .with_row_index("place")
        .with_columns(part=pl.lit(int(part.stem)))
        for part in sorted(work.iterdir())
    ]
    with_text = rows.join(pl.concat(texts), on=["part", "place"], maintain_order="left")
    result = filters.apply_filters(with_text, pl.col("said"), pl.col("source"), quality, folder)
    charts.quality_chart(result.lengths, result.categories, folder / "quality.png")
    return result.frame.drop("said"), result.report


def _write_parts(rows: pl.DataFrame, work: Path, folder: Path) -> None:
    """The chosen rows of the partitions in ``work`` -> partitions with ``split`` and ``source``."""
    folder.mkdir()
    for chosen in rows.sort("part", "place").partition_by("part", maintain_order=True):
        number = int(chosen["part"][0])
        conversations = pl.read_parquet(_part(work, number))[chosen["place"]]
        with_split = conversations.with_columns(chosen["split"], chosen["source"])
        with_split.write_parquet(_part(folder, number))


def _check_splits(rows: pl.DataFrame, quarantine: pl.DataFrame, total: int) -> None:
    """Raise ValueError if no conversation is left for training or validation."""
    example = f", for example: {quarantine['reason'][0]}" if quarantine.height else ""
    for split in ("train", "validation"):
        if not rows.filter(pl.col("split") == split).height:
            raise ValueError(
                f"no conversation is left for {split} of {total} rows ({quarantine.height} were set"
                f" aside{example}):"
                " correct data.path, data.validation or data.test"
            )
