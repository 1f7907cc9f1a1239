"""Which attributes a question asks for, and what the row of a product that it names says under them, written
at the end of the row: "fabric? Cotton", or "fabric? not said".

An attribute is asked for by its name, by what shoppers call it, or by a word that only its training wordings
have ("material", "expensive"). Other wordings are left to the model.
"""

from collections import Counter
from collections.abc import Iterable
from functools import lru_cache

from data.questions import wordings
from data.questions.filling import for_training
from data.questions.key_wordings import KEY_WORDINGS
from data.questions.matches import without_words
from data.questions.retrieval import Product
from data.questions.words import Spelling, plain_words, words_of

NOT_SAID = "not said"
MOST_KEYS = 2  # of a question that are written


@lru_cache(maxsize=1)
def _telling_words() -> dict[str, set[str]]:
    """Attribute -> words of its training wordings that are its own, and no plain English."""
    by_key: dict[str, set[str]] = {}
    for key, texts in KEY_WORDINGS.items():
        said = " ".join(for_training(texts)).replace("{name}", " ")
        by_key[key] = set(words_of(said)) - plain_words()
    counts = Counter(word for words in by_key.values() for word in words)
    shared = {word for word, count in counts.items() if count > 1}
    return {key: words - shared for key, words in by_key.items()}


class KeyMatcher:
    """Finds attributes of the catalogue in questions. rows: of the catalogue."""

    def __init__(self, rows: Iterable[Product]) -> None:
        every = {fact["key"].lower() for row in rows for fact in row["facts"]}
        self.ways: dict[str, list[set[str]]] = {}  # key -> sets of words, of which one is enough
        for key in sorted(every):
            names = [set(words_of(key)), set(words_of(wordings.NOUNS.get(key, key)))]
            telling = [{word} for word in _telling_words().get(key, ())]
            self.ways[key] = [words for words in [*names, *telling] if words]
        known = {word for ways in self.ways.values() for words in ways for word in words}
        self.known_word = Spelling(known)

    def asked_for(self, question: str, subjects: Iterable[Product]) -> list[str]:
        """The attributes that a question asks for, in lower case: of those that share words, the longest.

        Args:
            question: in lower case. subjects: the products that it names, whose names count for nothing.
        """
        words: list[str | None] = [self.known_word(word) or word for word in words_of(question)]
        for row in subjects:
            words = without_words(words, [self.known_word(word) or word for word in words_of(row["name"])])
        left, found = {word for word in words if word}, dict[str, int]()
        named = [(own, key) for key, ways in self.ways.items() for own in ways if own <= left]
        for own, key in sorted(named, key=lambda pair: (-len(pair[0]), pair[1])):
            if own <= left and key not in found:
                found[key] = min(map(words.index, own))
                left -= own
        return sorted(found, key=lambda key: found[key])[:MOST_KEYS]


def said_under(row: Product, keys: Iterable[str]) -> list[str]:
    """'fabric? Cotton' for each attribute asked for: what the row says, or that it does not."""
    values = {fact["key"].lower(): fact["value"] for fact in row["facts"]}
    return [f"{key}? {values.get(key, NOT_SAID)}" for key in keys]
