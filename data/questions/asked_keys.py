"""Which attributes a question asks for, and what the row of a product that it names says under them, written
at the end of the row: "fabric? cotton", or "fabric? not said".

An attribute is asked for by its name in the catalogue, or by a word or phrase of the thesaurus
(`data.questions.attribute_words`: "how expensive", "made of"), misspelt or not. Where a question asks for
none, and has a word that neither the catalogue nor plain English has ("is it dishwasher-safe?"), it asks for
something that the row does not say: "that? not said". Other wordings are left to the model.
"""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from data.questions import wordings
from data.questions.attribute_words import ANYTHING, ATTRIBUTES, BETWEEN, PEOPLE, PROPERTIES
from data.questions.intents import EITHER
from data.questions.names import Product
from data.questions.phrases import PRICE
from data.questions.shelves import words_of_other_goods
from data.questions.words import (
    COMMON_GOODS,
    Spelling,
    is_plain,
    last_word,
    plain_words,
    singular,
    words_of,
)

NOT_SAID = "not said"
MOST_KEYS = 2  # of a question that are written
LONG = 6  # letters, from which on a word of the thesaurus may have another one wrong
# They ask for themselves only alone: "what type of neck" asks for the neck, "colours available" for colours.
GENERIC = ("type", "stock")
ONE_OF_GOODS = r"\b(?:an?|some|any|new) (\w+)\b"
LOOKING_FOR = r"\b(?:look|search|hunt)(?:ing)? for\b"
BEFORE_PURPOSES = {"for", "to", "at", "on", "with", "from", "during"}
DETERMINERS = {"a", "an", "the", "my", "our", "his", "her", "their", "your", "some"}
GOODS_ELSEWHERE = {last_word(thing) for thing in wordings.THINGS}
PLACES = ("brand", "shelf")  # which rows have apart from their attributes
SHORTEST = 3  # letters of a word that asks for something unknown

Words = list[str | None]  # of a question; None in the place of a name's


class _Way(NamedTuple):
    """Words that ask for an attribute. in_order: whether they must stand together, as in "made of"."""

    words: tuple[str, ...]
    key: str
    in_order: bool


def _all_words(text: str) -> list[str]:
    """The words of a text in lower case, with those that every question has."""
    return re.findall(r"\w+", text.lower())


def _letters(word: str) -> str:
    """The letters of a word in alphabetical order."""
    return "".join(sorted(word))


def _named(names: Iterable[str], key: str) -> list[_Way]:
    """The ways of asking for an attribute by names."""
    found = [tuple(words_of(name)) for name in dict.fromkeys(names)]
    return [_Way(words, key, False) for words in found if words]


def _worded(phrases: Iterable[str], key: str) -> list[_Way]:
    """The ways of asking for an attribute by phrases."""
    return [_Way(tuple(_all_words(phrase)), key, BETWEEN not in phrase) for phrase in phrases]


class KeyMatcher:
    """Finds attributes in questions: those of the catalogue, and those that shoppers ask of any shop.

    Args:
        rows: of the catalogue. spelling: which of its words a word is or misspells.
    """

    def __init__(self, rows: Sequence[Product], spelling: Spelling) -> None:
        keys = sorted({fact["key"].lower() for row in rows for fact in row["facts"]})
        self.cues, self.hints = list[_Way](), list[_Way]()
        for key in keys:
            self.cues += _named([key, wordings.NOUNS.get(key, key)], key)
        for attribute in ATTRIBUTES:
            meant = attribute.meant(keys)
            self.cues += _named([name for name in attribute.names if name not in keys], meant)
            self.cues += _worded(attribute.cues, meant)
            self.hints += _worded(attribute.hints, meant)
        for ways in (self.cues, self.hints):
            ways.sort(key=lambda way: -len(way.words))
        self.own = {word for way in (*self.cues, *self.hints) for word in way.words}
        self.spelling, self.other_goods = spelling, words_of_other_goods(rows)
        said_of = sum(not PEOPLE.isdisjoint(row["keywords"]) for row in rows)
        self.people = PEOPLE if 2 * said_of > len(rows) else frozenset[str]()
        self.known_word = Spelling({word for word in self.own if len(word) >= LONG})
        self.plain = self.own | plain_words()
        self.by_letters = {_letters(word): word for word in sorted(self.plain)}

    def _spelled(self, text: str) -> Words:
        """The words of a text; those that are not known as the thesaurus spells them, if it has them."""
        return [self._meant(word) for word in _all_words(text)]

    def _meant(self, word: str) -> str:
        """The known word that a word is, or that it misspells; else the word itself."""
        for known in (word, word.removesuffix("s")):
            if known in self.own:
                return known
        if is_plain(word) or word in self.spelling.known:
            return word
        return self.by_letters.get(_letters(word)) or self.known_word(word) or word

    def asked_for(self, question: str, subjects: Sequence[Product]) -> list[str]:
        """The attributes that a question asks for, in lower case: of those that share words, the longest.

        Args:
            question: in lower case. subjects: the products that it names, whose names count for nothing.
        """
        words = self._without_names(question, subjects)
        return _found_in(words, self.cues)

    def hinted_at(self, question: str, subjects: Sequence[Product]) -> list[str]:
        """The attribute that a question hints at, where it asks for none; `ANYTHING` where it has a word that
        is not known.

        Args: as for `asked_for`.
        """
        words = self._without_names(question, subjects)
        if found := _found_in(words, self.hints):
            return found[:1]
        return [ANYTHING] if any(map(self._is_unknown, words)) else []

    def has_unknown_goods(self, question: str) -> bool:
        """Whether a question in lower case has an unknown word that may be what it looks for: it has one in
        "wool curtains", none in "comfy jeans" or in jeans "for travelling".
        """
        goods = {singular(word): word for word in re.findall(ONE_OF_GOODS, question)}
        if any(self.spelling(goods[noun]) is None for noun in goods.keys() & COMMON_GOODS):
            return True  # also "a suit", which is plain English otherwise
        wanted = re.sub(LOOKING_FOR, "want", self._without_spare(question))
        words = [self._meant(word) for word in _all_words(wanted) if word not in DETERMINERS]
        for before, word, after in zip(["", *words], words, [*words[1:], ""], strict=False):
            describes = after and not is_plain(after) and self.spelling(after) is not None
            if before not in BEFORE_PURPOSES and not describes and self._is_unknown(word):
                return True
        return False

    def lacks_property(self, question: str) -> bool:
        """Whether a question in lower case names a colour or a material, or people where most rows say whom
        they are for, that no row has: "a red dress" where none is red. Of several words for people one is
        enough: "my baby girl".
        """
        words = set(_all_words(self._without_spare(question)))
        people = [self.spelling(word) is None for word in words & self.people]
        return (bool(people) and all(people)) or any(
            self.spelling(word) is None for word in words & PROPERTIES
        )

    def _without_spare(self, question: str) -> str:
        """A question without that one of two words of which one is enough ("velvet or satin") that no row
        has.
        """

        def known(pair: re.Match[str]) -> str:
            words = [word for word in pair.groups() if self.spelling(word) is not None]
            return words[0] if len(words) == 1 else pair[0]

        return re.sub(rf"(\w+){EITHER}(\w+)", known, question)

    def _is_unknown(self, word: str | None) -> bool:
        """Whether a word is neither plain English nor one of the products, or goods of other shops."""
        if word is None or len(word) < SHORTEST or word.isnumeric():
            return False
        is_usual = (is_plain(word) or word in self.plain) and singular(word) not in GOODS_ELSEWHERE
        meant = self.spelling(word)
        return meant in self.other_goods or (meant is None and not is_usual)

    def _without_names(self, question: str, subjects: Sequence[Product]) -> Words:
        """The words of a question with None in the place of those of the products' names."""
        names = [self._spelled(row["name"]) for row in subjects]
        return _without_runs(self._spelled(question), names)


def _found_in(words: Words, ways: Iterable[_Way]) -> list[str]:
    """The attributes that words ask for, in the words' order. ways: the longest first."""
    left, found = list(words), dict[str, int]()
    present = set(words)
    for way in ways:
        places = _places(left, way) if present.issuperset(way.words) else []
        if not places:
            continue
        for place in places:
            left[place] = None
        found.setdefault(way.key, places[0])
    for key in GENERIC:
        if len(found) > 1:
            found.pop(key, None)
    return sorted(found, key=lambda key: found[key])[:MOST_KEYS]


def _places(words: Words, way: _Way) -> list[int]:
    """Where the words of a way stand in a question; [] where they do not."""
    count = len(way.words)
    if way.in_order:
        for start in range(len(words) - count + 1):
            if tuple(words[start : start + count]) == way.words:
                return list(range(start, start + count))
        return []
    if not set(way.words) <= set(words):
        return []
    return [words.index(word) for word in way.words]


def _without_runs(words: Words, names: Iterable[Words]) -> Words:
    """Words of a question with None in the place of those of names, each as often as the names have it.

    Words that stand alone are left where others stand together: "sleeves of the Zarvo shirt" asks for the
    sleeves of the "Zarvo Long Sleeve Shirt".
    """
    counts: Counter[str | None] = Counter()
    for name in names:
        counts.update(name)
    runs = [list[int]()]
    for place in range(len(words) - 1, -1, -1):  # an attribute is asked for before the name
        if counts[words[place]]:
            runs[-1].append(place)
        else:
            runs.append([])
    together = [run for run in runs if len(run) > 1] or runs
    left = list(words)
    for run in sorted(together, key=len, reverse=True):
        for place in run:
            if counts[words[place]] > 0:
                counts[words[place]] -= 1
                left[place] = None
    return left


def said_under(row: Product, keys: Iterable[str], of_several: bool) -> list[str]:
    """'fabric? cotton' for each attribute asked for: what the row says, or that it does not, as it stands in
    an answer.

    Args:
        of_several: whether the question names other products, too, so that they are compared: "compared by
        fabric: cotton for the Zarvo Shirt".
    """
    values = {place: row[place] for place in PLACES if row.get(place)}
    values |= {fact["key"].lower(): fact["value"] for fact in row["facts"]}
    found = []
    for key in keys:
        value = values.get(key, NOT_SAID)
        said = value if key == PRICE else value.lower()
        found.append(f"compared by {key}: {said} for the {row['name']}" if of_several else f"{key}? {said}")
    return found
