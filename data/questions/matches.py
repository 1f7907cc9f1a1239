"""What a question asks for, marked in each row as a search engine marks what it found: "silk: no".

A model that has the mark need not compare words: whether a shirt is silk, or which of three is blue, is
written beside the row.
"""

import re
from collections import Counter
from collections.abc import Iterable

import numpy as np

from data.questions.retrieval import BUDGET, Product
from data.questions.words import WordIndex, words_of

MOST_VALUES = 4  # of a question that are marked
ANSWERS = {"yes", "no"}  # values that say nothing without their key
ROUNDING = 1e-9  # of sums of weights


def _values_of(row: Product) -> list[str]:
    """The values of a row that a question may ask for, in lower case."""
    values = [row["type"], row["shelf"], row["brand"], *(fact["value"] for fact in row["facts"])]
    values += row["keywords"]
    return list(dict.fromkeys(value.lower() for value in values if value))


class ValueMatcher:
    """Finds values of the catalogue in questions. rows: of the catalogue."""

    def __init__(self, rows: Iterable[Product]) -> None:
        every = {value for row in rows for value in _values_of(row)}
        self.values = np.array(sorted(value for value in every if set(words_of(value)) - ANSWERS))
        self.index = WordIndex(self.values.tolist())

    def _known_words(self, text: str) -> "Counter[str]":
        """How often each word of values stands in a text, also misspelt."""
        words = map(self.index.known_word, words_of(text))
        return Counter(word for word in words if word is not None)

    def asked_for(self, question: str, subjects: Iterable[Product]) -> list[str]:
        """The values that a question names, in their order; of those that share words, the longest.

        Args:
            question: in lower case. subjects: the products that it names, whose names count for nothing.
        """
        words = self._known_words(re.sub(BUDGET, " ", question))
        for row in subjects:
            words -= self._known_words(row["name"])
        if not words:
            return []
        is_whole = self.index.shared(" ".join(words)) >= self.index.weights - ROUNDING
        longest_first = sorted(self.values[is_whole].tolist(), key=lambda value: -len(words_of(value)))
        found: list[str] = []
        left = set(words)
        for value in longest_first:
            if left.intersection(words_of(value)):  # "turtle neck or round neck" is two values
                found.append(value)
                left -= set(words_of(value))
        order = list(words)
        return sorted(found, key=lambda value: min(map(order.index, words_of(value))))[:MOST_VALUES]


def _has(row: Product, value: str) -> bool:
    """Whether one value of a row, with the name of its attribute, holds the words of another: "Fit: Regular"
    is a regular fit.
    """
    own = [row["type"], row["shelf"], row["brand"], *row["keywords"]]
    own += [f"{fact['key']} {fact['value']}" for fact in row["facts"]]
    asked_for = set(words_of(value))
    return any(asked_for.issubset(words_of(text)) for text in own if text)


def marks(row: Product, asked_for: Iterable[str]) -> list[str]:
    """'silk: no' for each value asked for: whether the row has it."""
    found = []
    for value in asked_for:
        answer = "yes" if _has(row, value) else "no"
        found.append(f"{value}: {answer}")
    return found


def best_matches(rows: list[Product], asked_for: list[str]) -> list[Product]:
    """The rows that have all that is asked for; if none has, all of them."""
    whole = rows
    for value in asked_for:
        whole = [row for row in whole if _has(row, value)]
    return whole or rows
