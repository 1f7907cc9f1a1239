"""Template expressions: choose a phrasing, fill its placeholders, make its verbs agree."""

from collections.abc import Iterable

import polars as pl

from data.questions.phrases import PRICE

BRACE = "\u0002"  # stands for a brace of a value until all placeholders are filled

PAIRS = pl.List(pl.Struct({"key": pl.String, "value": pl.String}))


def pick(options: Iterable[str], seed: int) -> pl.Expr:
    """One of the options for each row, by a hash of the row's own key."""
    listed = pl.lit(list(options), pl.List(pl.String))
    return listed.list.get(pl.col("draw").hash(seed) % listed.list.len())


def fill(template: pl.Expr, **values: pl.Expr) -> pl.Expr:
    """A template column with its {placeholders} replaced, row by row, by other columns; a missing value
    becomes ''. A brace within a value stays as it is.
    """
    for name, value in values.items():
        shielded = value.fill_null("").str.replace_all("{", BRACE, literal=True)
        template = template.str.replace_all(f"{{{name}}}", shielded, literal=True)
    return template.str.replace_all(BRACE, "{", literal=True)


def grammar(template: pl.Expr) -> pl.Expr:
    """Fill in the verbs that agree with the product's name."""
    one, many = {"is": "is", "Is": "Is", "do": "does"}, {"is": "are", "Is": "Are", "do": "do"}
    forms = {k: pl.when(pl.col("plural")).then(pl.lit(many[k])).otherwise(pl.lit(one[k])) for k in one}
    return fill(template, **forms)


def place_condition() -> pl.Expr:
    """That a product is of the row's type, or of its shelf where it has no type, as a key and a value."""
    key = pl.when(pl.col("type").is_null()).then(pl.lit("Shelf")).otherwise(pl.lit("Type"))
    return pl.struct(key=key, value=pl.coalesce("type", "shelf"))


def for_training(wordings: list[str]) -> list[str]:
    """The wordings that occur in training: all but the last third, which is for tests alone."""
    return wordings[: len(wordings) - len(wordings) // 3]


def in_sentence(key: pl.Expr, value: pl.Expr) -> pl.Expr:
    """A value as it stands in a sentence: in lower case, but for a price."""
    return pl.when(key.str.to_lowercase() == PRICE).then(value).otherwise(value.str.to_lowercase())


def people(value: pl.Expr) -> pl.Expr:
    """'Women's' -> 'women', "Girl's, Boy's" -> 'girls, boys'."""
    return (
        value.str.to_lowercase().str.replace_all(r"(girl|boy|kid)'s\b", "${1}s").str.replace_all(r"'s\b", "")
    )
