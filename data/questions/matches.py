"""What a question asks for, marked in each row as a search engine marks what it found: "silk: no".

A model that has the mark need not compare words: whether a shirt is silk, or which of three is blue, is
written beside the row.
"""

import re
from collections.abc import Container, Iterable, Mapping, Sequence
from functools import lru_cache, partial

import numpy as np

from data.questions.attribute_words import PROPERTIES
from data.questions.intents import BEST_RATED, without_budget
from data.questions.names import Product
from data.questions.shelves import goods_of_name, own_parts_of_shelf
from data.questions.words import Spelling, WordIndex, is_plain, last_word, singular, without_words, words_of

MOST_VALUES = 4  # of a question that are marked
ANSWERS = {"yes", "no"}  # values that say nothing without their key
ANYWHERE: Mapping[str, Container[str]] = {}  # values that are looked for in all that a row says
ROUNDING = 1e-9  # of sums of weights
LONGEST_TIE = 4  # letters of words that end in "ie" or "ve" otherwise ("tie", "five")


def _stems(text: str) -> list[str]:
    """The stems of the words of a text, in its order."""
    return [_stem(word) for word in words_of(text)]


def _stem(word: str) -> str:
    """A word in lower case without a plural's ending: "hoodies", "hoodie" -> "hoody"; "knives", "knife" ->
    "knif".
    """
    found = singular(word)
    if len(found) > LONGEST_TIE:
        found = re.sub(r"ie$", "y", re.sub(r"[fv]e$", "f", found))
    return found


def _values_of(row: Product) -> list[str]:
    """The values of a row that a question may ask for, in lower case; of its type and its name also the last
    word, which says what it is, and of a value such as "Midi/Knee Length" its parts.
    """
    values = [row["type"], (row["type"] or "").split(" ")[-1], *own_parts_of_shelf(row), row["brand"]]
    values += goods_of_name(row)
    for fact in row["facts"]:
        parts = fact["value"].split("/")
        values += [fact["value"], *(part.strip() for part in parts if not re.search(r"\d", fact["value"]))]
    values += row["keywords"]
    return list(dict.fromkeys(value.lower() for value in values if value))


def _keys_of_values(rows: Iterable[Product]) -> dict[str, set[str]]:
    """Value -> the attributes that it stands under in some row; in lower case."""
    keys: dict[str, set[str]] = {}
    for row in rows:
        for fact in row["facts"]:
            keys.setdefault(fact["value"].lower(), set()).add(fact["key"].lower())
    return keys


class ValueMatcher:
    """Finds values of the catalogue in questions, and the attributes that these stand under. rows: of the
    catalogue.
    """

    def __init__(self, rows: Sequence[Product]) -> None:
        every = {value for row in rows for value in _values_of(row)}
        self.keys = _keys_of_values(rows)
        kinds = [[row["type"], *own_parts_of_shelf(row), *goods_of_name(row)] for row in rows]
        named = [[*own, row["brand"]] for own, row in zip(kinds, rows, strict=True)]
        self.goods = {name.lower() for names in named for name in names if name}
        named = [[*own, row["name"]] for own, row in zip(kinds, rows, strict=True)]
        self.nouns = {last_word(name) for names in named for name in names if name}
        self.values = np.array(sorted(value for value in every if set(words_of(value)) - ANSWERS))
        self.index = WordIndex([" ".join(_stems(value)) for value in self.values.tolist()])
        self.spelling = Spelling({word for value in self.values.tolist() for word in words_of(value)})

    def names_goods(self, question: str, values: Iterable[str]) -> bool:
        """Whether a question names a kind of product, in full or by its noun: "trousers".

        Args:
            values: that it names.
        """
        nouns = {singular(word) for word in words_of(question)}
        return bool(self.goods.intersection(values) or self.nouns & nouns)

    def properties(self, question: str, values: Iterable[str]) -> list[str]:
        """The colours and materials that a question in lower case names in no value of the catalogue: rows
        may have them in their names or inside of longer values.

        Args:
            values: that it names.
        """
        left = set(words_of(question)) - {word for value in values for word in words_of(value)}
        return sorted(left & PROPERTIES)

    def keys_of(self, values: Iterable[str]) -> list[str]:
        """The attributes that values ask for: of each that stands under one alone and is no type, shelf or
        brand, its own. In lower case.
        """
        telling = [self.keys[value] for value in values if value in self.keys and value not in self.goods]
        return list(dict.fromkeys(key for keys in telling if len(keys) == 1 for key in keys))

    def under(self, values: Iterable[str], keys: Iterable[str]) -> dict[str, set[str]]:
        """Value -> those of some attributes that it stands under, in lower case."""
        return {value: self.keys.get(value, set()).intersection(keys) for value in values}

    def _known_words(self, text: str) -> list[str | None]:
        """The words of values in a text, in its order, also misspelt or in the other number ("shirts"), as
        their stems; None for other words.
        """
        return [self._known_stem(word) for word in words_of(text)]

    def _known_stem(self, word: str) -> str | None:
        """The stem of the word of values that a word is, or None. Plain English ("check") is no word of a
        value ("checks") but as it is written there, unless it is a noun of goods.
        """
        if meant := self.spelling(word):
            return _stem(meant)
        stem = _stem(word)
        is_other = is_plain(word) and singular(word) not in self.nouns
        return None if is_other else self.index.known_word(stem)

    def asked_for(self, question: str, subjects: Iterable[Product]) -> list[str]:
        """The values that a question names, in their order: first those whose words stand together, then
        those of which all words are left; of those that share words, the longest.

        Args:
            question: in lower case. subjects: the products that it names, whose names count for nothing.
        """
        words = self._known_words(re.sub(BEST_RATED, " ", without_budget(question)[0]))
        for row in subjects:
            words = without_words(words, self._known_words(row["name"]))
        text = " ".join(word or "|" for word in words)
        is_whole = self.index.shared(text) >= self.index.weights - ROUNDING
        named = [(value, _stems(value)) for value in self.values[is_whole].tolist()]
        named.sort(key=lambda pair: (not _stands_together(pair[1], text), -len(pair[1])))
        left, found = set(words), dict[str, int]()
        for value, own in named:
            is_free = left.issuperset(own)  # no other value has taken a word of it
            if is_free or (left.intersection(own) and _stands_together(own, text)):
                found[value] = min(map(words.index, own))
                left -= set(own)
        return sorted(found, key=lambda value: found[value])[:MOST_VALUES]


def _stands_together(own: list[str], text: str) -> bool:
    """Whether the words of a value stand side by side in a text."""
    return f" {' '.join(own)} " in f" {text} "


@lru_cache(maxsize=2**16)  # values of a catalogue are looked at for each question
def _word_set(text: str) -> frozenset[str]:
    """The words of a text, of which the plural is the same."""
    return frozenset(_stems(text))


def _name_without_brand(row: Product) -> str:
    """What a product's name says of it: a shirt by Blue Saint is not blue."""
    return str(row["name"]).lower().replace((row["brand"] or "").lower(), " ")


def _has(row: Product, value: str, keys: Container[str] = ()) -> bool:
    """Whether one value of a row, with the name of its attribute, holds the words of another: "Fit: Regular"
    is a regular fit.

    Args:
        keys: attributes, in lower case, under which alone it is looked for, where the row has one of them.
    """
    own = [f"{fact['key']} {fact['value']}" for fact in row["facts"] if fact["key"].lower() in keys]
    if not own:
        own = [row["type"], *own_parts_of_shelf(row), *row["keywords"], *goods_of_name(row)]
        own += [f"{fact['key']} {fact['value']}" for fact in row["facts"]]
        own.append(_name_without_brand(row) if value in PROPERTIES else row["brand"])
    asked_for = _word_set(value)
    return any(asked_for <= _word_set(text) for text in own if text)


def marks(
    row: Product, asked_for: Iterable[str], under: Mapping[str, Container[str]] = ANYWHERE
) -> list[str]:
    """'silk: no' for each value asked for: whether the row has it.

    Args:
        under: value -> attributes, of `ValueMatcher.under`, that it is asked for as: a shirt on the shelf
        "Casual & Party Wear" whose occasion is casual is not for the occasion party.
    """
    found = []
    for value in asked_for:
        answer = "yes" if _has(row, value, under.get(value, ())) else "no"
        found.append(f"{value}: {answer}")
    return found


def has_one_of_each(row: Product, groups: Iterable[Iterable[str]]) -> bool:
    """Whether a row has a value of each group."""
    has_one = [any(map(partial(_has, row), group)) for group in groups]
    return all(has_one)


def has_all(row: Product, asked_for: Iterable[str]) -> bool:
    """Whether a row has all that is asked for."""
    return all(_has(row, value) for value in asked_for)
