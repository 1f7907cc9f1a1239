"""What a question is about: the product that it names, what is asked of it, and the rows of the catalogue
that bear on it.

Words of names and rows count by their rarity; rows are ranked by BM25 (Robertson and Zaragoza 2009,
https://doi.org/10.1561/1500000019), by the library bm25s.
"""

import logging
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from data.catalogue.cells import first_number
from data.catalogue.normalisation import normalised
from data.questions.intents import (
    BEST_RATED,
    CHEAPER,
    OUTFIT,
    REFERENCE,
    SEARCH,
    goods_wanted,
    only_greets,
    price_order,
    wish_for_others,
    without_budget,
)
from data.questions.names import NameIndex, Product, in_order, same_name
from data.questions.phrases import CONTEXT
from data.questions.products import price_text
from data.questions.words import Spelling, calls_by_name, words_of

if TYPE_CHECKING:
    import bm25s
    import numpy.typing as npt

CLOSE = 0.9  # share of the best row's score from which on another may be meant, too (by validation questions)
MOST_TRIED = 1000  # rows, the best first, of which those that fit are looked for


def _row_text(row: Product) -> str:
    """All that is searched of a row."""
    parts = [row["name"], row["brand"], row["category"], row["shelf"], row["type"], *row["keywords"]]
    for fact in row["facts"]:
        parts += [fact["key"], fact["value"]]
    return " ".join(filter(None, parts))


def _rating(row: Product) -> float:
    """The rating of a row; 0 where it has none."""
    return float(row["rating"] or 0)


def foremost(rows: list[Product]) -> list[Product]:
    """Best rated first, then best described, then by id: as a shelf puts products forward."""

    def place(row: Product) -> tuple[float, int, str]:
        return -_rating(row), -len(row["facts"]), str(row["id"])

    return sorted(rows, key=place)


def _first_of_each_name(rows: Iterable[Product], count: int) -> list[Product]:
    """The first ``count`` rows of different names."""
    first: dict[str, Product] = {}
    for row in rows:
        if len(first) == count:
            break
        first.setdefault(normalised(row["name"]), row)
    return list(first.values())


class Retriever:
    """The catalogue, indexed by the words of its names and rows.

    Args:
        products: what `data.questions.products.products_for_questions` gives.
    """

    def __init__(self, products: pl.DataFrame) -> None:
        self.products, self.all = products, foremost(products.to_dicts())
        self.categories = np.array([row["category"] or "" for row in self.all])
        self.on_shelf: dict[tuple[str, str], list[Product]] = defaultdict(list)  # by category and shelf
        self.of_kind: dict[tuple[str, str], list[Product]] = defaultdict(list)  # by category and kind
        for row in self.all:
            self.on_shelf[row["category"], row["shelf"]].append(row)
            self.of_kind[row["category"], row["product_kind"]].append(row)

    @cached_property
    def names(self) -> NameIndex:
        """Finds products by their names."""
        return NameIndex(self.all, self.categories)

    @cached_property
    def index(self) -> "bm25s.BM25":
        """BM25 over the rows."""
        import bm25s

        logging.getLogger("bm25s").setLevel(logging.WARNING)  # which it sets to DEBUG
        index = bm25s.BM25()
        index.index([words_of(_row_text(row)) for row in self.all], show_progress=False)
        return index

    @cached_property
    def spelling(self) -> Spelling:
        """Which word of the rows a word means."""
        return Spelling(self.index.vocab_dict.keys())

    @cached_property
    def price_of(self) -> dict[str, float | None]:
        """Id of a row -> its price, if it has one."""
        return dict(self.products.select("id", first_number(price_text())).rows())

    @cached_property
    def prices(self) -> "npt.NDArray[np.float64]":
        """The price of each row; NaN where it has none. (rows,)"""
        return np.array([self.price_of[row["id"]] for row in self.all], dtype=np.float64)

    def partners(self, row: Product) -> Iterator[Product]:
        """What goes with a product, for the same people, the foremost first."""
        for kind in row["partners"] or []:
            for other in self.of_kind[row["category"], kind]:
                if not same_name(row, other):
                    yield other

    def first_partners(self, row: Product, count: int) -> list[Product]:
        """The foremost products that go with a product, one of each name."""
        return _first_of_each_name(self.partners(row), count)

    def shelf_mates(self, row: Product) -> Iterator[Product]:
        """The other products of a product's shelf, the foremost first."""
        for other in self.on_shelf[row["category"], row["shelf"]]:
            if not same_name(row, other):
                yield other

    def search(
        self, question: str, category: str, count: int, fits: Callable[[Product], bool] | None = None
    ) -> list[Product]:
        """The rows that share most with the question, of the category asked in if there is one, within the
        budget if the question has one; in order of their prices if it asks for the cheapest.

        Args:
            fits: whether a row has what is asked for, where that can be told; else rows that share clearly
            less than the first are left out.
        """
        looked_for, limits = without_budget(question)  # its numbers would find prices and codes
        order, by_rating = price_order(looked_for), re.search(BEST_RATED, looked_for)
        meant = [self.spelling(word) for word in words_of(goods_wanted(looked_for))]
        words = [word for word in meant if word is not None]
        if not words and not (order or by_rating or limits or fits):
            return []
        scores = self.index.get_scores(words) if words else np.ones(len(self.all))
        if category:
            scores = np.where(self.categories == category, scores, 0)
        if limits.most is not None:
            scores = np.where(self.prices <= limits.most, scores, 0)
        if limits.least is not None:
            scores = np.where(self.prices >= limits.least, scores, 0)
        best = np.argsort(-scores, kind="stable")
        floor = 0 if fits else CLOSE * scores.max()
        tried = best[:MOST_TRIED] if words else best
        places = [place for place in tried if 0 < scores[place] >= floor]
        if order:
            priced = [place for place in places if not np.isnan(self.prices[place])]
            places = sorted(priced, key=lambda place: order * self.prices[place])
        elif by_rating:
            places = sorted(places, key=lambda place: -_rating(self.all[place]))
        return _first_of_each_name(filter(fits, (self.all[place] for place in places)), count)

    def relevant(
        self, context: str, question: str, count: int, fits: Callable[[Product], bool] | None = None
    ) -> tuple[list[Product], list[Product]]:
        """(rows that a question is answered from, at most ``count``, one of each name; the products that it
        names): by what it asks.

        What goes with the product that it names (an outfit); others of its shelf (an alternative); the
        product, or two of them; without a product, the rows most like the question. A question for another
        product needs the row of the one that it names only to complete a partial name, after the others.

        Args:
            fits: whether another product has what the question asks for beside ("like that one, in cotton").
        """
        text, category = question.lower(), context.removeprefix(CONTEXT)
        row = self.names.named(text, category)
        if row and (others := self._others_meant(text, row)) is not None:
            known = [] if row["name"].lower() in text else [row]
            first = _first_of_each_name(filter(fits, others), max(1, count - len(known)))
            return ([*first, *known][:count] if first else []), [row]
        subjects = self._subjects(text, category, row)
        if subjects:
            return subjects[:count], subjects
        return self.search(text, category, count), []

    def _subjects(self, question: str, category: str, row: Product | None) -> list[Product]:
        """The products that a question asks about by name, in its order: one, or two; none where it looks for
        something.

        Args:
            question: in lower case. row: the product that it names.
        """
        if row is None or self.is_search(question, row):
            return []
        second = self.names.second_named(question, category, row)
        return [row] if second is None else in_order(question, row, second)

    def _others_meant(self, text: str, row: Product) -> Iterator[Product] | None:
        """The products that a question asks for in the place of one or with it; None if it asks for none."""
        wish = wish_for_others(text)
        if wish is None:
            return None
        if wish == OUTFIT:
            return self.partners(row)
        mates = self.shelf_mates(row)
        return self._cheaper(mates, row) if re.search(CHEAPER, text) else mates

    def _cheaper(self, rows: Iterator[Product], than: Product) -> Iterator[Product]:
        """The rows whose price is known and below that of another one."""
        most = self.price_of[than["id"]] or 0
        for row in rows:
            price = self.price_of[row["id"]]
            if price is not None and price < most:
                yield row

    def with_subject(self, context: str, question: str, earlier: Sequence[tuple[str, str]]) -> str:
        """A question with the name of the product that it is about.

        One that names no product goes on about the one named last ("And what does it cost?"), or about its
        kind ("the cheapest one"), unless it looks for something else, such as goods of another kind.

        Args:
            earlier: questions and answers before it.
        """
        if not earlier:
            return question
        text, category = question.lower(), context.removeprefix(CONTEXT)
        goes_on = re.search(REFERENCE, text) is not None
        is_search = re.search(SEARCH, text) and not goes_on and wish_for_others(text) is None
        if is_search or (only_greets(text) and not goes_on) or self.names.named(text, category):
            return question
        turns = [turn for pair in earlier for turn in pair]
        for turn in reversed(turns):
            if row := self.names.named(turn.lower(), category):
                is_new = not goes_on and self.names.names_other_goods(text, row)
                if is_new:
                    return question
                is_of_kind = price_order(text) != 0  # "the cheapest one"
                return f"{question} {row['type'] or row['shelf'] if is_of_kind else row['name']}"
        return question

    def is_search(self, question: str, row: Product) -> bool:
        """Whether a question looks for something rather than asks about the product that it seems to name: a
        product that is asked about is called by its name, nearly so, or by parts of it in its order.
        """
        if not re.search(SEARCH, question):
            return False
        return not calls_by_name(question, row["name"].lower()) and not self.names.is_called(question, row)
