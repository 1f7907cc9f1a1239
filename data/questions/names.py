"""The products that a question calls by their names, in full, in part or misspelt."""

import re
from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from data.catalogue.normalisation import normalised
from data.questions.words import WordIndex, likeness, singular, span_of_name, without_words, words_of
from data.values import JsonObject

if TYPE_CHECKING:
    import numpy.typing as npt

NAME_SHARE = 0.5  # of a name, by the rarity of its words, must stand in a question
# Of a name that has its first and its rarest word there, as "Zarvo jeans" (by validation questions).
TELLING_SHARE = 0.3
SECOND_SHARE = 0.7  # of the name of a second product (by training and validation questions)
WHOLE_SHARE = 0.97  # of a name, from which on it is given whole
NEAR_SHARE = 0.75  # of the words of the best name, from which on another that is given whole may be meant
MOST_COMPARED = 10  # names, the best first, that are compared with a question letter by letter
ANY_OF = r"\b(?:an?|another|some|any|other) ((?:\w+ ?){1,4})"  # words of goods of which any will do
BY = "by"  # after which a brand stands by itself: "shirts by Zarvo, checkered"
Product = JsonObject  # a row of the catalogue


def same_name(row: Product, other: Product) -> bool:
    """Whether two rows bear one name, so that a question by name means both."""
    return normalised(row["name"]) == normalised(other["name"])


def in_order(question: str, row: Product, other: Product) -> list[Product]:
    """Two products in the order in which a question in lower case names them.

    Names may be alike. The one that matches the question better is located first, and its letters are blanked
    before the other one is located.
    """
    clearer, second = sorted([row, other], key=lambda one: -likeness(question, one["name"].lower()))
    start, end = span_of_name(question, clearer["name"].lower())
    rest = question[:start] + " " * (end - start) + question[end:]
    is_first = start < span_of_name(rest, second["name"].lower())[0]
    return [clearer, second] if is_first else [second, clearer]


class NameIndex:
    """The names of a catalogue by their words.

    Args:
        rows: of the catalogue. categories: of the rows, "" where a row has none. (rows,)
    """

    def __init__(self, rows: Sequence[Product], categories: "npt.NDArray[np.str_]") -> None:
        self.rows, self.categories = rows, categories
        self.words = WordIndex([row["name"] for row in rows])

    @cached_property
    def goods(self) -> set[str]:
        """The last words of types (else shelves), in the singular, that are in no attribute's name."""
        kinds = {kind for row in self.rows if (kind := row["type"] or row["shelf"])}
        keys = {fact["key"] for row in self.rows for fact in row["facts"]}
        words_of_keys = {singular(word) for key in keys for word in words_of(key)}
        return {singular(kind.lower().split()[-1]) for kind in kinds} - words_of_keys

    def names_other_goods(self, question: str, row: Product) -> bool:
        """Whether a question names a kind of product that is not the one of a row, or any product of its
        kind: "red dresses?" or "a red polo please" after a question about a polo.
        """
        asked = {singular(word) for word in words_of(question)}
        if asked & self.goods - {singular(word) for word in words_of(row["name"])}:
            return True
        any_of = {singular(word) for words in re.findall(ANY_OF, question) for word in words.split()}
        return bool(any_of & self.goods)

    def named(self, question: str, category: str) -> Product | None:
        """The product that the question names, of the category asked in if several bear the name; or None."""
        return self._best(question, question, category, NAME_SHARE, TELLING_SHARE)

    def is_called(self, question: str, row: Product) -> bool:
        """Whether a question has words of a product's name side by side and in its order, of which one is the
        rarest and one the last: "the Zarvo shirt", but no "shirt by Zarvo".
        """
        name = words_of(row["name"])
        if len(name) < 2:
            return False
        needed, run, after = {self.words.rarest_of(name), name[-1]}, set[str](), 0
        for word in words_of(question):
            meant = self.words.known_word(word) or word
            if meant in name[after:]:
                after += name[after:].index(meant) + 1
                run.add(meant)
            else:
                run, after = set(), len(name) if word == BY else 0
            if needed <= run:
                return True
        return False

    def second_named(self, question: str, category: str, first: Product) -> Product | None:
        """The product that a question names beside the first: most words of its name are left when those of
        the first name are taken away, each as often as the name has it; or None.
        """
        known_word = self.words.known_word
        words = [known_word(word) for word in words_of(question)]
        left = without_words(words, [known_word(word) for word in words_of(first["name"])])
        named = self._best(" ".join(filter(None, left)), question, category, SECOND_SHARE, TELLING_SHARE)
        return None if named is None or same_name(named, first) else named

    def _best(
        self, words: str, question: str, category: str, share: float, telling_share: float
    ) -> Product | None:
        """The product whose name shares most words with a question, by their rarity; or None.

        The words of two names may make up a third one. Names that occur whole are therefore compared with the
        question letter by letter.

        Args:
            words: of the question, that may be of a name. share: of a name that must be among them.
            telling_share: that is enough with its first and its rarest word.
        """
        totals = self.words.shared(words)
        shares = totals / self.words.weights
        least = np.where(self.words.has_telling(words), telling_share, share)
        ranked = np.where(shares >= least, totals + shares + (self.categories == category), 0)
        if not ranked.any():
            return None
        whole = np.flatnonzero((shares >= WHOLE_SHARE) & (ranked >= NEAR_SHARE * ranked.max()))
        places = whole[np.argsort(-ranked[whole], kind="stable")][:MOST_COMPARED].tolist()
        places = places or [int(ranked.argmax())]
        return self.rows[max(places, key=lambda place: likeness(question, self.rows[place]["name"].lower()))]
