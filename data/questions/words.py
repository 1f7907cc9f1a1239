"""Words of questions, names and rows: which text holds which, and what a misspelt word means."""

import math
import re
from collections import defaultdict
from collections.abc import Collection
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

MOST_ERRORS = 1  # letters that are wrong, missing, too many or swapped in a misspelt word
FUZZY_LETTERS = 5  # from which on a word may be misspelt
STOP_WORDS = set(
    "a an the i do you have any is are of in for with my me to it and or what which show some".split()
)


def words_of(text: str) -> list[str]:
    """The words of a text in lower case, without those that every question has."""
    return [word for word in re.findall(r"\w+", text.lower()) if word not in STOP_WORDS]


class Spelling:
    """Which known word a word means; each word is looked for once."""

    def __init__(self, known: Collection[str]) -> None:
        self.known = known
        self.meant: dict[str, str | None] = {}  # words so far

    def __call__(self, word: str) -> str | None:
        """The known word that a word is, or that it misspells; None if there is none."""
        if word not in self.meant:
            self.meant[word] = nearest_word(word, self.known)
        return self.meant[word]


def nearest_word(word: str, known: Collection[str]) -> str | None:
    """The one of the known words that a word is, or that it misspells; None if there is none."""
    from rapidfuzz import process
    from rapidfuzz.distance import OSA

    if word in known or len(word) < FUZZY_LETTERS:
        return word if word in known else None
    near = process.extractOne(word, known, scorer=OSA.distance, score_cutoff=MOST_ERRORS)
    return near[0] if near else None


class WordIndex:
    """Which texts hold which words; a word counts by its rarity (inverse document frequency)."""

    def __init__(self, texts: list[str]) -> None:
        places: dict[str, list[int]] = defaultdict(list)
        for place, text in enumerate(texts):
            for word in set(words_of(text)):
                places[word].append(place)
        self.places = {word: np.array(found) for word, found in places.items()}
        self.rarity = {word: math.log(1 + len(texts) / len(found)) for word, found in places.items()}
        self.known_word = Spelling(self.places.keys())
        self.size = len(texts)
        every = np.zeros(self.size)
        for word, found in self.places.items():
            every[found] += self.rarity[word]
        self.weights = np.maximum(every, np.finfo(float).tiny)  # of all words of each text

    def shared(self, text: str) -> "npt.NDArray[np.float64]":
        """The weight of the words that each text shares with another one. (texts,)"""
        total = np.zeros(self.size)
        for word in {self.known_word(word) for word in words_of(text)}:
            if word is not None:
                total[self.places[word]] += self.rarity[word]
        return total
