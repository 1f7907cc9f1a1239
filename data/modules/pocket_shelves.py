"""Rows of a catalogue, about which the texts of the pocket model ask (`data.modules.pocket_rows`)."""

import random
from collections.abc import Sequence
from dataclasses import dataclass

from data.modules.pocket_products import FreshProduct, product_of
from data.questions.asked_keys import said_under
from data.questions.grounding import compact
from data.questions.matches import marks
from data.sample import vocabulary
from data.sample.vocabulary import GARMENTS
from data.values import JsonObject

MOST_ROWS = 4
SHORTEST_BRAND = 8  # letters
PRICE = "Price"
CURRENCIES = ["Rs. ", "$", "EUR ", "", "", ""]
SAME_BRAND, SAME_TYPE, CODED, PRICED, IN_FULL = 0.4, 0.6, 0.3, 0.5, 0.65  # shares of rows, shelves and names


@dataclass(frozen=True)
class Shelf:
    """Rows in a prompt, and the one that is asked about."""

    rows: list[FreshProduct]
    asked: FreshProduct

    def others(self) -> list[FreshProduct]:
        """The rows that are not asked about."""
        return [row for row in self.rows if row is not self.asked]


def _long_brand(rng: random.Random) -> str:
    """A new brand that is too long to be one of the sample catalogue by chance."""
    while True:
        brand = vocabulary.fresh_brand(rng)
        if len(brand) >= SHORTEST_BRAND:
            return brand


def draw_shelf(rng: random.Random) -> Shelf:
    """One to four products of one category, mostly of like brands or kinds, in any order; those of half the
    shelves have prices.
    """
    category = rng.choice(list(GARMENTS))
    garments = GARMENTS[category]
    same = rng.choice(garments)
    asked = product_of(rng, _long_brand(rng), category, same)
    rows = [asked]
    for _ in range(rng.randint(0, MOST_ROWS - 1)):
        brand = asked.brand if rng.random() < SAME_BRAND else _long_brand(rng)
        garment = same if rng.random() < SAME_TYPE else rng.choice(garments)
        row = product_of(rng, brand, category, garment)
        if row.name not in [other.name for other in rows]:
            rows.append(row)
    for row in rows:
        row.facts["Type"] = row.type
        if rng.random() < CODED:
            row.facts["Style Code"] = f"{row.brand[:4].upper().strip()}_{rng.randint(100, 999)}"
    if rng.random() < PRICED:
        currency = rng.choice(CURRENCIES)
        for row in rows:
            row.facts[PRICE] = f"{currency}{rng.randint(1, 9999)}"
    rng.shuffle(rows)
    return Shelf(rows, asked)


def _as_retrieved(product: FreshProduct) -> JsonObject:
    """A product as retrieval knows it."""
    facts = [{"key": key, "value": value} for key, value in product.facts.items()]
    return {
        "name": product.name,
        "brand": product.brand,
        "type": product.type,
        "shelf": product.shelf,
        "keywords": [],
        "facts": facts,
    }


def marks_of(product: FreshProduct, asked_for: Sequence[str]) -> list[str]:
    """'linen: no' for each value asked for, in lower case: whether the product has it."""
    return marks(_as_retrieved(product), asked_for)


def said_of(product: FreshProduct, key: str, of_several: bool) -> list[str]:
    """'fabric? linen': what a product says under an attribute that is asked for.

    Args:
        of_several: whether other products are asked about, too.
    """
    return said_under(_as_retrieved(product), [key.lower()], of_several)


def line_of(product: FreshProduct, asked_for: Sequence[str], said: Sequence[str]) -> str:
    """A product as a row in a prompt, with marks of what is asked for.

    Args:
        said: of `said_of`.
    """
    return compact(_as_retrieved(product), [*said, *marks_of(product, asked_for)])


def called(rng: random.Random, shelf: Shelf, row: FreshProduct) -> str:
    """What somebody calls a row: mostly by its name, else by some of its words, which no other row has."""
    words = row.name.split()
    if rng.random() < IN_FULL:
        return row.name
    if rng.random() < 0.5:
        dropped = {rng.randrange(1, len(words) - 1)}
    else:
        dropped = set(rng.sample(range(1, len(words) - 1), min(len(words) - 2, rng.randint(2, 4))))
    short = [word for place, word in enumerate(words) if place not in dropped]
    namesakes = [other for other in shelf.rows if set(short) <= set(other.name.split())]
    return row.name if len(namesakes) > 1 else " ".join(short)
