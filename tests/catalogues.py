"""Tables and frames through the real preparation, in a folder that is thrown away."""

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from data import preparation
from data.catalogue import Filter
from data.parts import Parts, file_of, write_whole
from data.splits import held_out, name_order, up_to

ASKED = {"max_details": 6, "unseen": 0.05, "suggestions": 3, "attribute_questions": 3, "validation": 0.1, "test": 0.1}


@dataclass
class Catalogue:
    """A cleaned table and what became of the rest."""

    products: pl.DataFrame
    quarantine: pl.DataFrame
    counts: list[tuple[str, int]]


def clean(path: Path, columns: dict[str, str], attributes: list[str], rule: Filter) -> Catalogue:
    """A table -> its products."""
    with tempfile.TemporaryDirectory() as work:
        parts = Parts(Path(work))
        counts = preparation.clean(path, columns, attributes, rule, parts)
        unread = pl.read_parquet(parts.folder / "unread.parquet")
        return Catalogue(pl.concat(parts.read("catalogue")), pl.concat([unread, *parts.read("aside")]), counts)


def questions_of(catalogue: pl.DataFrame, seed: int = 1, cut: int = 10**9, **changes: Any) -> tuple[pl.DataFrame, pl.DataFrame, pl.Series]:
    """(products, questions with splits, ids of unseen products) of a clean catalogue, in parts of ``cut`` rows."""
    settings = ASKED | changes
    with tempfile.TemporaryDirectory() as work:
        parts = Parts(Path(work))
        parts.count = -(-catalogue.height // cut)
        for part in range(parts.count):
            write_whole(catalogue.slice(part * cut, cut), file_of(parts.folder, "catalogue", part))
        preparation.ask(parts, settings, seed)
        products, questions = (pl.concat(parts.read(name)) for name in ("products", "questions"))
    limit = held_out(products.select(name_order(seed)).to_series(), settings["unseen"])
    return products, questions, products.filter(up_to(name_order(seed), limit))["id"]
