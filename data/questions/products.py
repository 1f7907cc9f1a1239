"""Catalogue -> products with what questions and answers need: shelf, garment, facts, answer block."""

import polars as pl

from data.questions.phrases import GARMENTS

MAX_VALUE_LENGTH = 80


def garment() -> pl.Expr:
    """The kind of garment that a product's shelf, else its type, else its name tells; null if none does."""
    found = pl.lit(None, pl.String)
    for source in (pl.col("name"), pl.col("type"), pl.col("shelf")):
        kind = pl.lit(None, pl.String)
        for name, pattern in reversed(GARMENTS):
            kind = pl.when(source.str.to_lowercase().str.contains(pattern)).then(pl.lit(name)).otherwise(kind)
        found = pl.coalesce(kind, found)
    return found


QUESTION_COLUMNS = "id name brand category shelf type garment plural facts block rating".split()


def products_for_questions(products: pl.DataFrame, max_details: int) -> pl.DataFrame:
    """Add what questions need: category, shelf, type, garment, plural, ``facts`` (sound attributes, one a
    key), ``block``.

    ``block`` is the published answer's tail: Product Name, Product Category and up to ``max_details`` Product
    Details.
    """
    short = pl.element().struct.field("value").str.len_chars() <= MAX_VALUE_LENGTH
    first = pl.element().struct.field("key").is_first_distinct()
    type_fact = (
        pl.col("facts")
        .list.eval(pl.element().filter(pl.element().struct.field("key") == "Type"))
        .list.first()
    )
    shelf = pl.coalesce("level_4", "level_3", "level_2", "level_1")
    last_word = pl.col("name").str.to_lowercase().str.extract(r"(\S+)$")
    return (
        products.with_columns(facts=pl.col("attributes").list.eval(pl.element().filter(short & first)))
        .with_columns(
            category=pl.coalesce("level_2", "level_1"), shelf=shelf, type=type_fact.struct.field("value")
        )
        .with_columns(
            garment=garment(),
            plural=last_word.str.contains(r"s$") & ~last_word.str.contains(r"(ss|'s)$"),
            block=answer_block(max_details),
        )
        .select(*QUESTION_COLUMNS)
    )


def answer_block(max_details: int) -> pl.Expr:
    """The tail of the published answer: Product Name, Product Category, and Product Details."""
    pair = pl.element().struct
    line = pl.format("- {}: {}", pair.field("key"), pair.field("value"))
    details = pl.col("facts").list.head(max_details).list.eval(line).list.join("\n")
    tail = " Product Name: {}\nProduct Category: {}\nProduct Details:\n{}"
    return pl.format(tail, pl.col("name"), pl.col("category"), details)
