"""Questions for alternatives and outfits, and the products that each shelf suggests."""

import polars as pl

from data.questions.filling import PAIRS, fill, pick
from data.questions.phrases import ALTERNATIVES, INSTEAD, OUTFITS, TOGETHER

SHELVES = {
    "alternative": ["category", "shelf"],
    "outfit": ["category", "product_kind"],
}  # within which a suggestion is looked for


def top_products(products: pl.DataFrame, shelf: list[str], per_shelf: int) -> pl.DataFrame:
    """The products that a shelf puts forward: best rated, then best described, then in order of id. What is
    foremost among the foremost of parts is foremost of all.

    Columns: those of ``shelf``, id, name, block, stars, facts.
    """
    stars = pl.col("rating").cast(pl.Float64, strict=False).fill_null(0)
    ranked = (
        products
        if "stars" in products.columns
        else products.with_columns(stars=stars, facts=pl.col("facts").list.len())
    )
    best = (
        ranked.drop_nulls(shelf)
        .sort("stars", "facts", "id", descending=[True, True, False])
        .group_by(shelf, maintain_order=True)
    )
    return best.head(per_shelf).select(*shelf, "id", "name", "block", "stars", "facts")


def top_of_partition(products: pl.DataFrame, per_shelf: int) -> dict[str, pl.DataFrame]:
    """What shelves and kinds of garment put forward, of a part's products that may be named; one more each
    than a question chooses from.
    """
    return {name: top_products(products, shelf, per_shelf + 1) for name, shelf in SHELVES.items()}


def _products_by_shelf(best: pl.DataFrame, shelf: list[str]) -> pl.DataFrame:
    """One row for each shelf: its ``others`` and ``other_names``."""
    return best.group_by(shelf, maintain_order=True).agg(others=pl.col("id"), other_names=pl.col("name"))


def alternative_questions(
    products: pl.DataFrame, best: pl.DataFrame, per_shelf: int, seed: int
) -> pl.DataFrame:
    """One question a product for another product of its shelf."""
    shelf = SHELVES["alternative"]
    frame = products.join(_products_by_shelf(best, shelf), on=shelf, maintain_order="left")
    return suggest(frame, "alternative", per_shelf, (ALTERNATIVES, INSTEAD), seed)


def outfit_questions(
    products: pl.DataFrame, best: pl.DataFrame, per_shelf: int, worn: bool, seed: int
) -> pl.DataFrame:
    """One question a product for something that goes with it, for the same people (the same category).

    Args:
        worn: whether it may ask what to wear; else what goes with the product.
    """
    others = _products_by_shelf(best, SHELVES["outfit"]).rename({"product_kind": "partner"})
    places = pl.int_ranges(pl.col("partners").list.len())
    frame = (
        products.drop_nulls("partners")
        .with_columns(partner="partners", place=places)
        .explode("partner", "place")
        .join(others, on=["category", "partner"], maintain_order="left")
        .sort("place", maintain_order=True)
        .unique("id", keep="first", maintain_order=True)
    )
    phrases = (OUTFITS, TOGETHER) if worn else (OUTFITS[:1], TOGETHER[:1])
    return suggest(frame, "outfit", per_shelf, phrases, seed)


def suggest(
    frame: pl.DataFrame, kind: str, per_shelf: int, phrases: tuple[list[str], list[str]], seed: int
) -> pl.DataFrame:
    """Rows with a list of ``others`` -> questions answered by one of the first ``per_shelf`` that do not
    bear the product's own name.
    """
    asked, told = phrases
    rows = (
        frame.select("id", "name", "plural", "others", "other_names")
        .explode("others", "other_names")
        .filter(pl.col("other_names") != pl.col("name"))
        .filter(pl.int_range(pl.len()).over("id") < per_shelf)
        .with_columns(order=pl.struct("id", "others").hash(seed))
        .sort("order")
        .unique("id", keep="first", maintain_order=True)
        .with_columns(draw=pl.concat_str("id", pl.lit(kind)))
    )
    names = {"name": pl.col("name"), "other": pl.col("other_names")}
    return rows.select(
        product_id="id",
        kind=pl.lit(kind),
        question=fill(pick(asked, seed), **names),
        sentence=fill(pick(told, seed + 1), **names),
        answer_id="others",
        conditions=pl.lit([], PAIRS),
        expected=pl.lit(None, pl.String),
    )
