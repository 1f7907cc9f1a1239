"""Products that no catalogue holds, for the texts that the pocket model is trained on."""

import random
from dataclasses import dataclass

from data.sample import vocabulary
from data.sample.vocabulary import GARMENTS, GENDERS, Garment


@dataclass(frozen=True)
class Text:
    """A text to learn: ``reply`` is trained; ``user`` is what it answers, empty for running text; ``more``:
    further turns and their replies.
    """

    user: str
    reply: str
    more: tuple[tuple[str, str], ...] = ()

    def conversation(self) -> list[dict[str, str]]:
        """All turns as messages."""
        messages = []
        for user, reply in ((self.user, self.reply), *self.more):
            messages += [{"role": "user", "content": user}, {"role": "assistant", "content": reply}]
        return messages


@dataclass(frozen=True)
class FreshProduct:
    """A product that no catalogue holds."""

    name: str
    brand: str
    category: str
    shelf: str
    type: str
    facts: dict[str, str]


def fresh_product(rng: random.Random) -> FreshProduct:
    """Draw a product; its brand is new, so its name occurs nowhere else (up to a chance of about one in a
    million).
    """
    category = rng.choice(list(GARMENTS))
    garment = rng.choice(GARMENTS[category])
    return product_of(rng, vocabulary.fresh_brand(rng), category, garment)


def product_of(rng: random.Random, brand: str, category: str, garment: Garment) -> FreshProduct:
    """Draw a product of a brand."""
    facts = vocabulary.describe(rng, garment, vocabulary.house_style(rng))
    name = vocabulary.product_name(brand, GENDERS[category], garment, facts)
    return FreshProduct(
        name, brand, category, garment.level_4, garment.type, {"Ideal For": GENDERS[category], **facts}
    )
