"""What a question is about: the product that it names, what is asked of it, and the rows of the catalogue
that bear on it.

Words of names and rows count by their rarity; rows are ranked by BM25 (Robertson and Zaragoza 2009,
https://doi.org/10.1561/1500000019), by the library bm25s.
"""

import math
import re
from collections import defaultdict
from functools import cached_property
from typing import Any

import polars as pl

from data.questions.phrases import GOES_WITH

NAME_SHARE = 0.5  # of a name, by the rarity of its words, must stand in a question
WORD_SCORE = 85  # of 100: how alike a misspelt word and the one that is meant must be
FUZZY_LETTERS = 4  # from which on a word may be misspelt
OUTFIT = (
    r"\b(?:goes? (?:well )?with|wear (?:it |this )?with|outfit|match(?:es)?|pair (?:it )?with|combine)\b"
    r"|what can i wear"
)
ALTERNATIVE = r"\b(?:instead|alternatives?|similar|something else|what else|other than)\b"
SEARCH = r"\b(?:anything|something|looking for|search(?:ing)? for|show me|need|want|any)\b"
STOP_WORDS = set(
    "a an the i do you have any is are of in for with my me to it and or what which show some".split()
)
CONTEXT = "Online shopping for "

Product = dict[str, Any]  # a row of the catalogue


def words_of(text: str) -> list[str]:
    """The words of a text in lower case, without those that every question has."""
    return [word for word in re.findall(r"\w+", text.lower()) if word not in STOP_WORDS]


def row_text(row: Product) -> str:
    """All that is searched of a row."""
    parts = [row["name"], row["brand"], row["category"], row["shelf"], row["type"]]
    for fact in row["facts"]:
        parts += [fact["key"], fact["value"]]
    return " ".join(filter(None, parts))


def foremost(rows: list[Product]) -> list[Product]:
    """Best rated first, then best described, then by id: as a shelf puts products forward."""

    def place(row: Product) -> tuple[float, int, str]:
        return -float(row["rating"] or 0), -len(row["facts"]), str(row["id"])

    return sorted(rows, key=place)


class Retriever:
    """The catalogue, indexed by the words of its names and rows.

    Args:
        products: what `data.questions.products.products_for_questions` gives.
    """

    def __init__(self, products: pl.DataFrame) -> None:
        self.all = products.to_dicts()
        self.by_word: dict[str, list[int]] = defaultdict(list)
        self.name_weights = []
        for place, row in enumerate(self.all):
            for word in set(words_of(row["name"])):
                self.by_word[word].append(place)
        for row in self.all:
            self.name_weights.append(sum(self.rarity(word) for word in set(words_of(row["name"]))))

    @cached_property
    def index(self) -> Any:
        """BM25 over the rows (a `bm25s.BM25`)."""
        import bm25s

        index = bm25s.BM25()
        index.index([words_of(row_text(row)) for row in self.all], show_progress=False)
        return index

    def rarity(self, word: str) -> float:
        """Inverse document frequency: how much a word tells the products apart."""
        return math.log(1 + len(self.all) / len(self.by_word[word]))

    def known_word(self, word: str) -> str | None:
        """The word of the catalogue's names that a word means; None if it means none."""
        from rapidfuzz import process

        if word in self.by_word or len(word) < FUZZY_LETTERS:
            return word if word in self.by_word else None
        near = process.extractOne(word, self.by_word.keys(), score_cutoff=WORD_SCORE)
        return near[0] if near else None

    def named(self, question: str, category: str) -> Product | None:
        """The product that the question names, of the category asked in if several bear the name; or None.

        A word of the name counts by its rarity in the catalogue, and may be misspelt.
        """
        asked = {known for word in words_of(question) if (known := self.known_word(word))}
        shared: dict[int, float] = defaultdict(float)
        for word in asked:
            for place in self.by_word[word]:
                shared[place] += self.rarity(word)
        best, best_score = None, 0.0
        for place, total in shared.items():
            row, share = self.all[place], total / self.name_weights[place]
            ranked = total + share + (row["category"] == category)
            if share >= NAME_SHARE and ranked > best_score:
                best, best_score = row, ranked
        return best

    def others(self, row: Product) -> list[Product]:
        """The products of other names, the foremost first."""
        return foremost([other for other in self.all if other["name"] != row["name"]])

    def partners(self, row: Product) -> list[Product]:
        """What goes with a product, for the same people."""
        same_people = [other for other in self.others(row) if other["category"] == row["category"]]
        found = []
        for kind in GOES_WITH.get(row["garment"], []):
            found += [other for other in same_people if other["garment"] == kind]
        return found

    def shelf_mates(self, row: Product) -> list[Product]:
        """The other products of a product's shelf."""
        place = row["category"], row["shelf"]
        return [other for other in self.others(row) if (other["category"], other["shelf"]) == place]

    def search(self, question: str, category: str, count: int) -> list[Product]:
        """The rows that share most with the question, of the category asked in if there is one."""
        words = [word for word in words_of(question) if word in self.index.vocab_dict]
        if not words:
            return []
        scores = self.index.get_scores(words)
        order = sorted(range(len(self.all)), key=lambda place: (-scores[place], place))
        rows = (self.all[place] for place in order if scores[place] > 0)
        found = [row for row in rows if not category or row["category"] == category]
        return found[:count]

    def relevant(self, context: str, question: str, count: int) -> list[Product]:
        """The rows that a question is answered from, at most ``count``: by what it asks.

        The product that it names and what goes with it (an outfit), others of its shelf (an alternative),
        or the rows most like the question; without a product, those alone.
        """
        text, category = question.lower(), context.removeprefix(CONTEXT)
        row = self.named(text, category)
        if row and re.search(OUTFIT, text):
            return [row, *self.partners(row)][:count]
        if row and re.search(ALTERNATIVE, text):
            return [row, *self.shelf_mates(row)][:count]
        found = self.search(text, category, count)
        if row is None or self.is_search(text, row):
            return found
        return [row, *(other for other in found if other["id"] != row["id"])][:count]

    def is_search(self, question: str, row: Product) -> bool:
        """Whether a question looks for something rather than asks about the product that it seems to name."""
        return bool(re.search(SEARCH, question)) and row["name"].lower() not in question
