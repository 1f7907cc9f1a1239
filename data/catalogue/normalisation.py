"""Text normalisation shared by questions and scoring: case, spacing, whole words."""

import polars as pl


def normalise(text: pl.Expr) -> pl.Expr:
    """Case and spacing do not make another product or another value."""
    return text.str.to_lowercase().str.replace_all(r"\s+", " ").str.strip_chars()


def padded_words(text: pl.Expr) -> pl.Expr:
    """Words with a space before and after each, so that one text stands in another only as whole words."""
    return pl.concat_str(
        pl.lit(" "),
        text.str.to_lowercase().str.replace_all(r"[^\p{L}\p{N}]+", " ").str.strip_chars(),
        pl.lit(" "),
    )
