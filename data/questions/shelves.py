"""What the name of a shelf says of a product on it (a layered dress on the shelf "Dresses & Skirts" is no
skirt), and what goods a product's own name says that it is.
"""

import re
from collections.abc import Iterable
from functools import lru_cache

from data.questions.names import Product
from data.questions.words import last_word, nearest_word, singular, words_of

WORD = r"[^\W\d_]{3,}(?:['-][^\W\d_]+)*"
AND = r"\s*(?:[&,/+]|\band\b)\s*"


def _own_parts(shelf: str, nouns: set[str]) -> tuple[str, ...]:
    """The parts of a shelf's name that end in one of some nouns, of which a letter may be another one
    ("kurtas", "kurti"), and the whole name, where they all do; the name alone, where none does.
    """
    parts = [part for part in re.split(AND, shelf) if words_of(part)]
    own = [part for part in parts if nearest_word(last_word(part), nouns)]
    if not own:
        return (shelf,)
    return (*own, shelf) if 1 < len(own) == len(parts) else tuple(own)


def own_parts_of_shelf(row: Product) -> tuple[str, ...]:
    """The parts of its shelf's name that a product is, by the noun of its type, else by its name; the whole
    name, where it may be all of them. In lower case.
    """
    return _parts(row["shelf"].lower(), row["type"] or "", row["name"]) if row["shelf"] else ()


@lru_cache(maxsize=2**17)  # a row is looked at for each value of each question
def _parts(shelf: str, kind: str, name: str) -> tuple[str, ...]:
    """What `own_parts_of_shelf` gives for a shelf in lower case."""
    by_type = _own_parts(shelf, {last_word(kind)}) if kind.strip() else (shelf,)
    if by_type != (shelf,):
        return by_type
    return _own_parts(shelf, {singular(word) for word in words_of(name)})


def goods_of_name(row: Product) -> list[str]:
    """The last word of a product's name that is no number, in lower case: "pan"; [] where there is none."""
    return _last_word_of(row["name"])


@lru_cache(maxsize=2**17)
def _last_word_of(name: str) -> list[str]:
    """What `goods_of_name` gives."""
    return re.findall(WORD, name.lower())[-1:]


def words_of_other_goods(rows: Iterable[Product]) -> set[str]:
    """The words that shelves have and none of their products is: "skirts", where all are dresses."""
    on_shelves, own = set[str](), set[str]()
    for row in rows:
        texts = [row["name"], row["type"], row["brand"], *own_parts_of_shelf(row), *row["keywords"]]
        texts += [fact["value"] for fact in row["facts"]]
        on_shelves.update(words_of(row["shelf"] or ""))
        own.update(word for text in texts if text for word in words_of(text))
    return on_shelves - own
