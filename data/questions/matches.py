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

    def _known_words(self, text: str) -> list[str | None]:
        """The words of values in a text, in its order, also misspelt; None for other words."""
        return [self.index.known_word(word) for word in words_of(text)]

    def asked_for(self, question: str, subjects: Iterable[Product]) -> list[str]:
        """The values that a question names, in their order: first those whose words stand together, then
        those of which all words are left; of those that share words, the longest.

        Args:
            question: in lower case. subjects: the products that it names, whose names count for nothing.
        """
        words = self._known_words(re.sub(BUDGET, " ", question))
        for row in subjects:
            words = without_words(words, self._known_words(row["name"]))
        text = " ".join(word or "|" for word in words)
        is_whole = self.index.shared(text) >= self.index.weights - ROUNDING
        named = [(value, words_of(value)) for value in self.values[is_whole].tolist()]
        named.sort(key=lambda pair: (not _stands_together(pair[1], text), -len(pair[1])))
        left, found = set(words), dict[str, int]()
        for value, own in named:
            is_free = left.issuperset(own)  # no other value has taken a word of it
            if is_free or (left.intersection(own) and _stands_together(own, text)):
                found[value] = min(map(words.index, own))
                left -= set(own)
        return sorted(found, key=lambda value: found[value])[:MOST_VALUES]


def without_words(words: list[str | None], name: list[str | None]) -> list[str | None]:
    """Words of a question with None in the place of those of a name, each as often as the name has it."""
    counts = Counter(name)
    left: list[str | None] = []
    for word in words:
        left.append(None if counts[word] > 0 else word)
        counts[word] -= 1
    return left


def _stands_together(own: list[str], text: str) -> bool:
    """Whether the words of a value stand side by side in a text."""
    return f" {' '.join(own)} " in f" {text} "


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


def has_all(row: Product, asked_for: Iterable[str]) -> bool:
    """Whether a row has all that is asked for."""
    return all(_has(row, value) for value in asked_for)
