"""Products that an answer names, as the catalogue has them: what the chat page shows beside the answer."""

import html
from dataclasses import dataclass, field
from pathlib import Path

import polars as pl

from data.catalogue.normalisation import normalise
from data.scoring.published import NAME

MAX_NAME_WORDS = 30
MAX_WORDS = 2000  # of an answer that are searched for names
FACTS_SHOWN = 8  # of a product
PUNCTUATION = ".,;:!?\"'()"  # around a name in running text
COLUMNS = ["name", "category", "facts"]
CSS = """
.card {border: 1px solid var(--border-color-primary); border-radius: 8px; padding: .6em .9em; margin: .4em 0; font-size: .9em}
.card.invented {border-color: #c0392b; border-style: dashed} .card .note {color: #c0392b}
.card .fact {display: flex} .card .fact span {width: 9em; opacity: .7}
"""  # noqa: E501


@dataclass(frozen=True)
class ProductCard:
    """A product that an answer names; ``known``: the catalogue has it."""

    name: str
    known: bool
    category: str = ""
    facts: list[tuple[str, str]] = field(default_factory=list)


def read_products(path: Path) -> pl.DataFrame:
    """What cards need of products.parquet of prepared data. Raises ValueError if the file is another one."""
    try:
        return pl.read_parquet(path, columns=COLUMNS)
    except (OSError, pl.exceptions.PolarsError) as error:
        reason = str(error).splitlines()[0]
        raise ValueError(
            f"catalogue={path}: cannot be read ({reason}); give products.parquet of prepared data"
        ) from None


def claimed_names(answer: str) -> list[str]:
    """What an answer gives after 'Product Name:'."""
    lines = pl.Series([answer]).str.extract_all(NAME).explode()
    return lines.str.extract(NAME).str.strip_chars().drop_nulls().to_list()


def candidate_names(answer: str) -> list[str]:
    """All runs of words that may be the name of a product."""
    words = answer.split()[:MAX_WORDS]
    runs = []
    for begin in range(len(words)):
        for end in range(begin + 1, min(begin + MAX_NAME_WORDS, len(words)) + 1):
            runs.append(" ".join(words[begin:end]).strip(PUNCTUATION))
    return runs


def keyed(names: list[str]) -> pl.DataFrame:
    """Names with their normalised ``key``, each once, in order; empty ones are left out."""
    frame = pl.DataFrame({"text": names}, schema={"text": pl.String}).with_row_index("place")
    frame = frame.with_columns(key=normalise(pl.col("text"))).filter(pl.col("key") != "")
    return frame.unique("key", keep="first", maintain_order=True)


def named_products(answer: str, products: pl.DataFrame) -> list[ProductCard]:
    """The products that an answer names: after 'Product Name:', whether they exist or not; elsewhere, those
    that exist.

    Args:
        products: name, category and facts. Of several products of one name, the first is shown.
    """
    claimed = claimed_names(answer)
    candidates = keyed([*claimed, *candidate_names(answer)])
    catalogue = products.lazy().with_columns(key=normalise(pl.col("name")))
    matches = catalogue.join(candidates.lazy(), on="key").collect().sort("place")
    rows = matches.unique("key", keep="first", maintain_order=True).to_dicts()
    keys = [f" {row['key']} " for row in rows]
    cards = []
    for row, key in zip(rows, keys, strict=True):
        if any(key in other and key != other for other in keys):
            continue  # a name within a longer one that was named as well is not another product
        facts = [(fact["key"], fact["value"]) for fact in row["facts"][:FACTS_SHOWN]]
        cards.append(ProductCard(row["name"], True, row["category"], facts))
    for row in keyed(claimed).to_dicts():
        if f" {row['key']} " not in keys:
            cards.append(ProductCard(row["text"], known=False))
    return cards


def last_named(answers: list[str], products: pl.DataFrame) -> str | None:
    """The name of the catalogue's product that was named last, in the newest answer that names one."""
    for answer in reversed(answers):
        for card in named_products(answer, products):
            if card.known:
                return card.name
    return None


def cards_html(answer: str, products: pl.DataFrame) -> str:
    """The products that an answer names, as HTML; all text in it is escaped."""
    parts = []
    for card in named_products(answer, products):
        name = html.escape(card.name)
        if card.known:
            facts = [f"<span>{html.escape(key)}</span>{html.escape(value)}" for key, value in card.facts]
            rows = "".join(f'<div class="fact">{fact}</div>' for fact in facts)
            parts.append(f'<div class="card"><b>{name}</b><br>{html.escape(card.category)}{rows}</div>')
        else:
            note = '<div class="note">not in the catalogue</div>'
            parts.append(f'<div class="card invented"><b>{name}</b>{note}</div>')
    return "".join(parts)
