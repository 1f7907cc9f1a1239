"""Answers to a user's own questions -> verdicts, by what they name and state. The verdicts sum to n:

right             names a right product and states what was asked for; declines, where nothing fits; says that
                  the catalogue does not say, where it does not
wrong_fact        the product is right; the value that was asked for is missing or another one
wrong_product     a product of the catalogue, but none of the right ones
invented          a product that the catalogue does not have
wrong_decline     declines, although a product fits
not_declined      names a product, although nothing fits
unclear           neither names a product nor declines
failed            there is no answer: the request failed
"""

import re

import polars as pl

from data.catalogue.normalisation import normalise, normalised
from data.questions.phrases import UNSAID
from data.scoring.published import NAME
from data.scoring.verdicts import DECLINES, DETAIL, SAYS_UNSAID
from data.values import JsonObject

GOLDEN_VERDICTS = (
    "right",
    "wrong_fact",
    "wrong_product",
    "invented",
    "wrong_decline",
    "not_declined",
    "unclear",
    "failed",
)
PRICE = "price"
WORD = re.compile(r"[^\W_]+")
NUMBERS = re.compile(r"\d[\d,]*(?:\.\d+)?")

Question = JsonObject  # a row of `read_golden`


def judge_golden(
    questions: pl.DataFrame, products: pl.DataFrame, predictions: list[str | None]
) -> pl.DataFrame:
    """Add prediction, named (the product as text, or null) and verdict.

    An answer names the product of its block 'Product Name:'; a free text the longest name of the catalogue
    in it.

    Args:
        questions: of `data.questions.golden.read_golden`. products: the catalogue, with a column name.
    """
    names = sorted(products.select(normalise(pl.col("name"))).to_series().unique(), key=len, reverse=True)
    known = set(names)
    judged = []
    for row, answer in zip(questions.to_dicts(), predictions, strict=True):
        named = None if answer is None else _named_in(answer, names)
        judged.append(
            row | {"prediction": answer, "named": named, "verdict": verdict(row, answer, named, known)}
        )
    return pl.DataFrame(judged, schema_overrides={"prediction": pl.String, "named": pl.String})


def _named_in(answer: str, names: list[str]) -> str | None:
    """The product that an answer names, normalised; None if it names none.

    Args:
        names: of the catalogue, normalised, the longest first.
    """
    block = re.search(NAME, answer)
    if block and block.group(1).strip():
        return normalised(block.group(1))
    text = f" {normalised(answer)} "
    return next((name for name in names if re.search(rf"(?<!\w){re.escape(name)}(?!\w)", text)), None)


def verdict(row: Question, answer: str | None, named: str | None, known: set[str]) -> str:
    """One of `GOLDEN_VERDICTS`."""
    if answer is None:
        return "failed"
    if named is not None and named not in known:
        return "invented"
    if not row["right"]:
        return _verdict_of_decline(answer, named)
    if row["kind"] == UNSAID and named in (None, *row["right"]) and re.search(SAYS_UNSAID, answer):
        return "right"
    if named is None:
        return "wrong_decline" if re.search(DECLINES, answer) else "unclear"
    if named not in row["right"]:
        return "wrong_product"
    is_sound = row["kind"] != UNSAID and states(answer, named, row["attribute"], row["value"])
    return "right" if is_sound else "wrong_fact"


def _verdict_of_decline(answer: str, named: str | None) -> str:
    """The verdict on an answer where nothing in the catalogue fits."""
    if named is not None:
        return "not_declined"
    return "right" if re.search(DECLINES, answer) else "unclear"


def states(answer: str, named: str, attribute: str, value: str) -> bool:
    """Whether an answer states the value, apart from the product's name; true where none is asked for."""
    if not value:
        return True
    details = {normalised(key): normalised(said) for key, said in re.findall(DETAIL, answer)}
    stated = details.get(normalised(attribute))
    text = normalised(answer).replace(named, " ")
    if normalised(attribute) == PRICE:
        wanted = _numbers_in(value)
        return bool(wanted) and wanted <= _numbers_in(text)
    is_contradicted = stated is not None and stated != normalised(value)
    return not is_contradicted and words(value) in words(text)


def words(text: str) -> str:
    """Words with a space before and after each, so that one text stands in another only as whole words."""
    return f" {' '.join(WORD.findall(text.lower()))} "


def _numbers_in(text: str) -> set[float]:
    """The numbers of a text, commas between thousands left out."""
    return {float(number.replace(",", "")) for number in NUMBERS.findall(text)}
