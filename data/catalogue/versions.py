"""Versions of a prepared catalogue: what one was made from, whether it is whole, and what changed between
two.

A version is the folder of its digest in the cache; it may come from another machine, by way of a tracking
server.
"""

import json
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

import polars as pl

from data.files import Cache, digest_of
from data.markdown import markdown_table
from data.values import JsonObject

RUN_ID_LENGTH = 32  # hex digits of an MLflow run; a digest has 16
Download = Callable[
    [str, Path, Path], Path
]  # (run id, outputs, folder) -> the prepared data that the run used
LINEAGE = "lineage.json"

PRODUCTS = "products.parquet"
CONTENT = ("catalogue.parquet", PRODUCTS, "questions.parquet")

SHOWN = 5  # examples of what changed


def _content_digest(folder: Path) -> str:
    """Of the files that a version consists of."""
    return digest_of(*(folder / name for name in CONTENT))


def write_lineage(folder: Path, digest: str, **made_from: object) -> None:
    """Write down what the version in ``folder`` was made from: table, its digest, settings, seed, versions
    of code and library.
    """
    record = {"digest": digest, "content": _content_digest(folder), **made_from}
    (folder / LINEAGE).write_text(json.dumps(record, indent=2, default=str) + "\n", encoding="utf-8")


def read_lineage(folder: Path) -> JsonObject:
    """What a version was made from. Raises ValueError if it is not one, or not whole."""
    try:
        record = dict(json.loads((folder / LINEAGE).read_text(encoding="utf-8")))
        whole = record["content"] == _content_digest(folder)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{folder} holds no version of prepared data ({error!r:.150})") from None
    if not whole:
        raise ValueError(
            f"the version in {folder} was changed after it was made: delete the folder, and make or"
            f" fetch it again"
        )
    return record


def resolve_version(version: str, cache: Path, download: Download) -> str:
    """The digest of a version; that of an MLflow run is downloaded into the cache."""
    if len(version) != RUN_ID_LENGTH:
        return version
    with tempfile.TemporaryDirectory() as place:
        return _import_version(download(version, cache.parent, Path(place)), cache)


def find_version(version: str, cache: Path) -> Path:
    """The folder of a version, whole. Raises ValueError if it is not there."""
    folder = Cache(cache, "questions", version).path
    if not folder.is_dir():
        raise ValueError(
            f"data.version={version}: not in {cache}; give the id of an MLflow run that used it, or"
            f" omit data.version"
        )
    read_lineage(folder)
    return folder


def _import_version(folder: Path, cache: Path) -> str:
    """Take a version that was fetched into the cache; its digest. Raises ValueError if it is not whole."""
    digest = str(read_lineage(folder)["digest"])
    target = Cache(cache, "questions", digest)
    if not target.ready:
        shutil.copytree(folder, target.begin(), dirs_exist_ok=True)
        target.commit()
    return digest


def _version_counts(folder: Path) -> dict[str, int]:
    """Rows after each step of cleaning, products, questions by split and by kind."""
    report = json.loads((folder / "report.json").read_text(encoding="utf-8"))
    counts = {f"rows: {name}": count for name, count in report["counts"]}
    counts |= {f"set aside: {reason}": count for reason, count in report["quarantined"]}
    counts["products"] = pl.scan_parquet(folder / "products.parquet").select(pl.len()).collect().item()
    counts |= {f"questions: {name}": count for name, count in report["splits"]}
    return counts | {f"kind: {name}": count for name, count in report["kinds"]}


def describe_version(folder: Path) -> str:
    """Lineage and statistics of a version."""
    record = read_lineage(folder)
    settings = record.pop("settings")
    lines = [f"{key}: {value}" for key, value in record.items()] + [
        f"settings: {json.dumps(settings, sort_keys=True)}"
    ]
    rows: list[list[object]] = [[name, count] for name, count in _version_counts(folder).items()]
    return "\n".join(lines) + f"\n\n{markdown_table(['what', 'count'], rows)}"


def _count_changes(
    before: pl.DataFrame, after: pl.DataFrame, keys: list[str]
) -> tuple[int, int, int, list[str]]:
    """(rows added, removed, changed, how some of the changed ones are called), by their keys."""
    both = [
        frame.select(*keys, row=pl.struct(sorted(set(frame.columns) - set(keys))).hash())
        for frame in (before, after)
    ]
    joined = (
        both[0]
        .unique(keys)
        .join(both[1].unique(keys), on=keys, how="full", coalesce=True, suffix="_after")
        .sort(keys)
    )
    added, removed = (joined.filter(pl.col(name).is_null()).height for name in ("row", "row_after"))
    changed = joined.filter(pl.col("row") != pl.col("row_after"))
    shown = changed.head(SHOWN).select(pl.concat_str(keys, separator=": ")).to_series().to_list()
    return added, removed, changed.height, shown


def describe_difference(before: Path, after: Path) -> str:
    """What changed from one version to another: its making, the counts, products, questions with their
    answers and splits.
    """
    records = [read_lineage(before), read_lineage(after)]
    parts = []
    made: list[list[object]] = []
    flat = []
    for record in records:
        settings = {f"settings.{key}": value for key, value in record["settings"].items()}
        others = {key: value for key, value in record.items() if key != "settings"}
        flat.append({**settings, **others})
    for key in sorted({*flat[0], *flat[1]}):
        values = [str(one.get(key, "-")) for one in flat]
        if values[0] != values[1]:
            made.append([key, *(value[:80] for value in values)])
    names = [str(record["digest"]) for record in records]
    parts.append(markdown_table(["made from", *names], made) if made else "Both were made from the same.")
    counts = [_version_counts(before), _version_counts(after)]
    moved: list[list[object]] = [
        [
            key,
            counts[0].get(key, 0),
            counts[1].get(key, 0),
            f"{counts[1].get(key, 0) - counts[0].get(key, 0):+,}",
        ]
        for key in dict.fromkeys([*counts[0], *counts[1]])
        if counts[0].get(key, 0) != counts[1].get(key, 0)
    ]
    parts.append(markdown_table(["count", *names, "change"], moved) if moved else "All counts are the same.")
    rows: list[list[object]] = []
    for name, keys in (("products", ["id"]), ("questions", ["product_id", "question"])):
        frames = [pl.read_parquet(folder / f"{name}.parquet") for folder in (before, after)]
        *numbers, shown = _count_changes(frames[0], frames[1], keys)
        rows.append([name, *numbers, "; ".join(shown)])
    parts.append(markdown_table(["what", "added", "removed", "changed", "changed, for example"], rows))
    return "\n\n".join(parts)


def describe_versions(version: str, against: str, cache: Path, download: Download) -> str:
    """Lineage and statistics of a version, or (``against`` another one) what changed from that."""
    names = [name for name in (against, version) if name]
    folders = [find_version(resolve_version(name, cache, download), cache) for name in names]
    return describe_version(folders[0]) if len(folders) == 1 else describe_difference(*folders)
