"""Texts that the pocket model is trained on from nothing: rows of a catalogue with questions, product
descriptions, and copying tasks.

Every product is drawn afresh from data/sample/vocabulary.py with brands of its own, so none occurs in the
sample catalogue, and no text is in the retail assistant's answer format. Copying tasks go over fresh random
names: at a few million parameters copying does not come by itself. A model that can read and copy is what a
fine-tune on a catalogue needs.
"""

import random
from collections.abc import Callable, Iterator, Sequence

from data.modules.pocket_products import Text, fresh_product
from data.modules.pocket_rows import rows_of_a_catalogue
from data.questions.words import ENGLISH
from data.sample import vocabulary
from data.sample.vocabulary import CARES, COLOURS

MARKS = ["", "", "", "", ".", ",", "!", "?", ":", ";"]  # after a word


def _odd_word(rng: random.Random) -> str:
    """A fresh word, an English one, a word of the shop, or a code such as 'KAI_204', '(12)' or 'X-7'."""
    draw = rng.random()
    if draw < 0.3:
        word = rng.choice(ENGLISH)
        return word.capitalize() if rng.random() < 0.2 else f"{word}{rng.choice(MARKS)}"
    if draw < 0.6:
        return vocabulary.fresh_word(rng)
    if draw < 0.9:
        return rng.choice(rng.choice(list(vocabulary.VALUES.values())))
    letters = "".join(
        rng.choices("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz", k=rng.randint(1, 4))
    )
    return rng.choice(["{0}_{1}", "({1})", "{0}-{1}", "{1}%", "{0}{1}", "{0},", "{0} & {1}"]).format(
        letters, rng.randint(0, 999)
    )


def _odd_name(rng: random.Random) -> str:
    """Two to nine words and codes in any order: to copy it, nothing but copying helps."""
    return " ".join(_odd_word(rng) for _ in range(rng.randint(2, 9)))


def _any_name(rng: random.Random) -> str:
    """A product's name, or one that follows no pattern."""
    return fresh_product(rng).name if rng.random() < 0.6 else _odd_name(rng)


def description(rng: random.Random) -> Text:
    """Shop prose about one product that tells all its facts, its name in it more than once."""
    product = fresh_product(rng)
    told = [f"{key}: {value}" for key, value in product.facts.items()]
    lead = rng.choice(
        [
            "Key Features of {0}",
            "Buy {0} online",
            "{0} from our {1} range",
            "About the {0}",
            "New in {1}: {0}",
        ]
    )
    colour, care = rng.choice(COLOURS), rng.choice(CARES)
    close = rng.choice(
        [
            "The {0} is a {2} {3} that goes with anything.",
            "Order the {0} today. {4}.",
            "{0}: {4}, comes in {2}.",
        ]
    )
    words = (product.name, product.category, colour.lower(), product.type.lower(), care)
    return Text("", f"{lead.format(*words)}. {'; '.join(told)}. {close.format(*words)}")


def repeat(rng: random.Random) -> Text:
    """Say one name again, once or twice, alone or inside a sentence."""
    name = _any_name(rng)
    user, reply = rng.choice(
        [
            ("Say it again: {0}", "{0}"),
            ("{0}\nWhat did I write?", "You wrote {0}."),
            ("I want the {0}. What do I want?", "You want the {0}."),
            ("Is the {0} nice?", "The {0} is nice."),
            ("Write {0} twice.", "{0}\n{0}"),
            ("Where can I find the {0}?", "You can find the {0} here.\nThe {0} is in our shop."),
            ("Tell me about the {0}.", "Here is the {0}.\nName = {0}"),
        ]
    )
    return Text(user.format(name), reply.format(name))


def choose(rng: random.Random) -> Text:
    """Of two to four names give the first, the last, or the one after a named one."""
    names = [_any_name(rng) for _ in range(rng.randint(2, 4))]
    listed = "\n".join(names) if rng.random() < 0.5 else "; ".join(names)
    place = rng.choice(["first", "last", "after"])
    if place == "after":
        i = rng.randrange(len(names) - 1)
        return Text(f"{listed}\nWhat comes after {names[i]}?", f"{names[i + 1]} comes after it.")
    return Text(f"{listed}\nWhich is {place}?", f"The {place} is {names[0 if place == 'first' else -1]}.")


def reading(rng: random.Random) -> Text:
    """A question about one fact of a product that is described in the question itself; the answer names
    the product.
    """
    product = fresh_product(rng)
    facts = list(product.facts.items())
    rng.shuffle(facts)
    told = rng.choice(["; ", "\n"]).join(f"{key}: {value}" for key, value in facts)
    key, value = rng.choice([fact for fact in facts if fact[0] != "Ideal For"])
    user = f"{product.name}\n{told}\nWhat is the {key.lower()} of the {product.name}?"
    return Text(
        user, f"The {key.lower()} of the {product.name} is {value.lower() if rng.random() < 0.7 else value}."
    )


def compose(rng: random.Random) -> Text:
    """Parts of a name in any order, to be put together as a shop does."""
    product = fresh_product(rng)
    parts = [f"{key} {value}" for key, value in product.facts.items() if value in product.name]
    parts += [f"Type {product.type}", f"Brand {product.brand}"]
    rng.shuffle(parts)
    reply = rng.choice(["{0}", "It is the {0}.", "The {0} has it all.\nName = {0}"])
    return Text(f"Name the product: {', '.join(parts)}.", reply.format(product.name))


def shelf(rng: random.Random) -> Text:
    """Where a product belongs, and for whom it is, read off its name; the answer names the product."""
    product = fresh_product(rng)
    if rng.random() < 0.5:
        return Text(
            f"Which shelf holds the {product.name}?",
            f"The {product.name} is in {product.category}, {product.shelf}.",
        )
    told = "\n".join(f"{key} = {value}" for key, value in product.facts.items() if value in product.name)
    return Text(f"What does the name {product.name} tell?", f"Name = {product.name}\n{told}")


Kinds = Sequence[Callable[[random.Random], Text]]
WORDS: Kinds = [repeat, repeat, repeat, choose, choose, reading, reading, compose, shelf, description]
ALL: Kinds = [*WORDS, *[rows_of_a_catalogue] * 3 * len(WORDS)]


def pocket_texts(seed: int, count: int, kinds: Kinds = ALL) -> Iterator[Text]:
    """``count`` texts of ``kinds``, the same for the same seed. By default three quarters of them read rows
    of a catalogue, and an eighth are copying tasks.
    """
    rng = random.Random(seed)
    for _ in range(count):
        yield rng.choice(kinds)(rng)
