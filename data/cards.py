"""Products that an answer names, as the catalogue has them: what the chat page shows beside the answer."""

from dataclasses import dataclass, field

import polars as pl

from data.scoring import NAME, norm

LONGEST_NAME = 30  # words
DETAILS = 8  # facts of a product that are shown


@dataclass(frozen=True)
class Card:
    """A product that was named; one that the catalogue does not have is not ``known``."""

    name: str
    known: bool
    category: str = ""
    facts: list[tuple[str, str]] = field(default_factory=list)


def named(answer: str, products: pl.DataFrame) -> list[Card]:
    """The products that an answer names: after 'Product Name:', whether there are such or not; elsewhere in the text, those there are.

    Args:
        products: of `data.questions.products_for_questions`. Of several products of one name, the first is shown.
    """
    claimed = pl.Series([answer]).str.extract_all(NAME).explode().str.extract(NAME).str.strip_chars().drop_nulls().to_list()
    words = answer.split()[:2000]
    runs = [
        " ".join(words[i:j]).strip(".,;:!?\"'()") for i in range(len(words)) for j in range(i + 1, min(i + LONGEST_NAME, len(words)) + 1)
    ]
    sought = (
        pl.DataFrame({"run": [*claimed, *runs]}, schema={"run": pl.String}).with_row_index("place").with_columns(key=norm(pl.col("run")))
    )
    sought = sought.filter(pl.col("key") != "").unique("key", keep="first", maintain_order=True)
    there = products.lazy().with_columns(key=norm(pl.col("name"))).join(sought.lazy(), on="key").collect().sort("place")
    rows = there.unique("key", keep="first", maintain_order=True).to_dicts()
    # a name within a longer one that was named as well is not another product
    rows = [row for row in rows if not any(f" {row['key']} " in f" {other['key']} " and row is not other for other in rows)]
    known = {row["key"] for row in rows}
    keys = pl.DataFrame({"name": claimed}, schema={"name": pl.String}).filter(pl.col("name") != "").with_columns(key=norm(pl.col("name")))
    invented = [Card(row["name"], known=False) for row in keys.unique("key", maintain_order=True).to_dicts() if row["key"] not in known]
    shown = [Card(row["name"], True, row["category"], [(f["key"], f["value"]) for f in row["facts"][:DETAILS]]) for row in rows]
    return [*shown, *invented]
