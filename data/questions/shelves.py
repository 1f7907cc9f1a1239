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


@lru_cache(maxsize=2**16)  # many products share a shelf and a type
def _own_parts(shelf: str, nouns: frozenset[str]) -> tuple[str, ...]:
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
    if not row["shelf"]:
        return ()
    shelf = row["shelf"].lower()
    by_type = _own_parts(shelf, frozenset([last_word(row["type"])])) if row["type"] else (shelf,)
    if by_type != (shelf,):
        return by_type
    return _own_parts(shelf, frozenset(singular(word) for word in words_of(row["name"])))


def goods_of_name(row: Product) -> list[str]:
    """The last word of a product's name that is no number, in lower case: "pan"; [] where there is none."""
    return re.findall(WORD, row["name"].lower())[-1:]


def words_of_other_goods(rows: Iterable[Product]) -> set[str]:
    """The words that shelves have and none of their products is: "skirts", where all are dresses."""
    on_shelves, own = set[str](), set[str]()
    for row in rows:
        texts = [row["name"], row["type"], row["brand"], *own_parts_of_shelf(row), *row["keywords"]]
        texts += [fact["value"] for fact in row["facts"]]
        on_shelves.update(words_of(row["shelf"] or ""))
        own.update(word for text in texts if text for word in words_of(text))
    return on_shelves - own
