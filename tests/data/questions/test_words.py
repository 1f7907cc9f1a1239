"""Words of questions: a misspelt one is put right, another word stays another word."""

import pytest

from data.questions.words import nearest_word

KNOWN = [
    "denim",
    "linen",
    "cotton",
    "striped",
    "pleated",
    "shoes",
    "sleeve",
    "solid",
    "hook",
    "pants",
    "brother",
    "fine",
]


@pytest.mark.parametrize(
    ("word", "meant"),
    [
        ("linen", "linen"),
        ("denmi", "denim"),
        ("linnen", "linen"),
        ("coton", "cotton"),
        ("sleve", "sleeve"),
        ("edmin", None),
        ("ednim", "denim"),
    ],
)
def test_a_letter_that_is_wrong_missing_or_swapped_is_put_right(word: str, meant: str | None) -> None:
    assert nearest_word(word, KNOWN) == meant


@pytest.mark.parametrize(
    "word",
    ["please", "hoses", "garden", "shop", "red", "something", "sold", "look", "wants", "bother", "mine"],
)
def test_another_word_is_not_bent_into_a_value(word: str) -> None:
    assert nearest_word(word, KNOWN) is None
