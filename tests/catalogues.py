"""Tables and frames through the real preparation, in a folder that is thrown away."""

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from data.catalogue.cleaning import PLAIN_CELLS, CatalogueFilter, CellRules, Columns
from data.catalogue.partitions import Partitions, partition_file, write_atomically
from data.modules import preparation
from data.questions.splits import name_order, unseen_limit, within_limit

ASKED = {
    "max_details": 6,
    "unseen": 0.05,
    "suggestions": 3,
    "attribute_questions": 3,
    "validation": 0.1,
    "test": 0.1,
    "wording": "published",
    "pairing": "clothing",
}


@dataclass
class Catalogue:
    """A cleaned table and what became of the rest."""

    products: pl.DataFrame
    quarantine: pl.DataFrame
    counts: list[tuple[str, int]]


def clean(
    path: Path,
    columns: Columns,
    attributes: list[str],
    rule: CatalogueFilter,
    rules: CellRules = PLAIN_CELLS,
) -> Catalogue:
    """A table -> its products."""
    with tempfile.TemporaryDirectory() as work:
        parts = Partitions(Path(work))
        counts = preparation.clean_catalogue(path, columns, attributes, rule, parts, rules=rules)
        unread = pl.read_parquet(parts.folder / "unread.parquet")
        return Catalogue(
            pl.concat(parts.read("catalogue")), pl.concat([unread, *parts.read("aside")]), counts
        )


def questions_of(
    catalogue: pl.DataFrame, seed: int = 1, cut: int = 10**9, **changes: Any
) -> tuple[pl.DataFrame, pl.DataFrame, pl.Series]:
    """(products, questions with splits, ids of unseen products) of a clean catalogue, in parts of ``cut``
    rows.
    """
    settings = ASKED | changes
    with tempfile.TemporaryDirectory() as work:
        parts = Partitions(Path(work))
        parts.count = -(-catalogue.height // cut)
        for part in range(parts.count):
            write_atomically(
                catalogue.slice(part * cut, cut), partition_file(parts.folder, "catalogue", part)
            )
        preparation.ask_questions(parts, settings, seed)
        products, questions = (pl.concat(parts.read(name)) for name in ("products", "questions"))
    limit = unseen_limit(products.select(name_order(seed)).to_series(), settings["unseen"])
    return products, questions, products.filter(within_limit(name_order(seed), limit))["id"]
