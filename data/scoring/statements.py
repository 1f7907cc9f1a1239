"""Whether the sentence of an answer states what was asked: a value, yes or no, the values of two products."""

import polars as pl

from data.catalogue.normalisation import normalise, stands_beside
from data.questions.phrases import COMPARISON, YES_NO

SAID_LAST = r"(?s).*(?:\bso|; you ask about .+:) (yes|no)\b"  # by an answer that states the value first
ASKED_ABOUT = r"(?i); you ask about .+[:,]"  # repeats the question: no statement about the product


def says_what_was_asked(sentence: pl.Expr) -> pl.Expr:
    """Whether a sentence holds the value asked for. Null where no value was asked for.

    To yes or no: whether it says the right one, at its beginning or after the value ("is linen, so no" or "is
    linen; you ask about silk: no"), and holds the value of the row. To a comparison: whether it says both
    values, each after its product's name or each before it.
    """
    kind = pl.col("kind")
    return (
        pl.when(kind == YES_NO)
        .then(_answers_yes_or_no(sentence))
        .when(kind == COMPARISON)
        .then(compares(sentence))
        .otherwise(stands_beside(sentence, pl.col("value"), pl.col("asked_name")))
    )


def _answers_yes_or_no(sentence: pl.Expr) -> pl.Expr:
    """Whether a sentence says the right one of yes and no, and the value of the row."""
    of_row = pl.col("conditions").list.first().struct.field("value")
    low = sentence.str.to_lowercase()
    word = pl.coalesce(low.str.extract(r"^\W*(yes|no)\b"), low.str.extract(SAID_LAST))
    says_right = (word == pl.col("value").str.to_lowercase()).fill_null(False)
    return says_right & stands_beside(sentence.str.replace(ASKED_ABOUT, " "), of_row, pl.col("asked_name"))


def other_product(field: str) -> pl.Expr:
    """The ``key`` (the name) or ``value`` of the second product of a comparison: the last condition."""
    return pl.col("conditions").list.last().struct.field(field)


def compares(sentence: pl.Expr) -> pl.Expr:
    """Whether a sentence states the value of each of two products, in either order: both after their names,
    or both before them.
    """
    text, one = normalise(sentence), pl.col("asked_name")
    other, other_value = normalise(other_product("key")), other_product("value")
    after_one, after_other = _after(text, one, until=other), _after(text, other, until=one)
    before_one, before_other = _before(text, one, since=other), _before(text, other, since=one)
    says_after = stands_beside(after_one, pl.col("value")) & stands_beside(after_other, other_value)
    says_before = stands_beside(before_one, pl.col("value")) & stands_beside(before_other, other_value)
    return says_after | says_before.fill_null(False)


def _after(text: pl.Expr, name: pl.Expr, until: pl.Expr) -> pl.Expr:
    """What stands after a name, up to another one."""
    return text.str.split(name).list.slice(1).list.join(" ").str.split(until).list.first()


def _before(text: pl.Expr, name: pl.Expr, since: pl.Expr) -> pl.Expr:
    """What stands before a name, from another one on. Null where the name is missing."""
    parts = text.str.split(name)
    return pl.when(parts.list.len() > 1).then(parts.list.first().str.split(since).list.last())
