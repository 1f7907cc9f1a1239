"""Text normalisation shared by questions and scoring: case, spacing, whole words, what stands apart from a
name.
"""

from collections.abc import Callable

import polars as pl


def normalise(text: pl.Expr) -> pl.Expr:
    """Case and spacing do not make another product or another value."""
    return text.str.to_lowercase().str.replace_all(r"\s+", " ").str.strip_chars()


def normalised(text: str) -> str:
    """A text as `normalise` makes it."""
    return " ".join(text.lower().split())


def padded_words(text: pl.Expr) -> pl.Expr:
    """Words with a space before and after each, so that one text stands in another only as whole words."""
    return pl.concat_str(
        pl.lit(" "),
        text.str.to_lowercase().str.replace_all(r"[^\p{L}\p{N}]+", " ").str.strip_chars(),
        pl.lit(" "),
    )


def _word_tokens(text: pl.Expr) -> pl.Expr:
    """Each word between spaces of its own, so that occurrences can be counted: ' red  mug '."""
    words = text.str.to_lowercase().str.replace_all(r"[^\p{L}\p{N}]+", "  ").str.strip_chars()
    return pl.concat_str(pl.lit(" "), words, pl.lit(" "))


def _sign_tokens(text: pl.Expr) -> pl.Expr:
    """As `_word_tokens`, of every sign but white space."""
    return text.str.to_lowercase().str.replace_all(r"\s+", "").str.replace_all(r"(.)", " $1 ")


def stands_beside(text: pl.Expr, value: pl.Expr, name: pl.Expr | None = None) -> pl.Expr:
    """Whether ``text`` holds ``value`` as whole words outside the ``name`` in it, if any, which may hold it,
    too.

    A value that is the name itself must occur once more. Null where the value is null.
    """

    def beside(tokens: Callable[[pl.Expr], pl.Expr]) -> pl.Expr:
        whole, part = tokens(text), tokens(value)
        in_all = whole.str.count_matches(part, literal=True)
        if name is None:
            return in_all > 0
        own = tokens(name)
        in_name = own.str.count_matches(part, literal=True)
        names = whole.str.count_matches(own, literal=True)
        inside = pl.when(part == own).then(1).otherwise(in_name * names)
        return in_all > inside

    has_words = value.str.contains(r"[\p{L}\p{N}]")
    return pl.when(has_words).then(beside(_word_tokens)).otherwise(beside(_sign_tokens))
