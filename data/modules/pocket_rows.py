"""Questions about a few rows of a catalogue, for the pocket model: which row is meant, a value copied from
it, a value that it lacks, a row that fits, none that fits.

The rows are written as prompts with grounding write them (`data.questions.grounding`); the replies are never
in the assistant's answer format.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass

from data.modules.pocket_products import FreshProduct, Text, product_of
from data.questions.phrases import CONTEXT
from data.sample import vocabulary
from data.sample.vocabulary import GARMENTS, VALUES

MOST_ROWS = 4
LABELS = [  # of a product, its category and its details; with all words of the assistant's answers
    ("Name = ", "For = ", ""),
    (" Product = ", "Category = ", " Details"),
    ("Product: ", " Product Category: ", "Its Details:"),
    ("The Product of this Name: ", "Product Category = ", "Details of this Product:"),
    ("Product = ", "The Category: ", "Product, Details:"),
]
TURNS = 6  # questions about the same rows
SHORTEST_BRAND = 8  # letters
PRICE = "Price"
CURRENCIES = ["Rs. ", "$", "EUR ", ""]
LACKING = ["Warranty", "Weight", "Delivery Time", PRICE, "Lining", "Country of Origin", "Return Policy"]


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


def _draw_shelf(rng: random.Random) -> Shelf:
    """One to four products of one category, mostly of like brands or kinds, in any order; those of half the
    shelves have prices.
    """
    category = rng.choice(list(GARMENTS))
    garments = GARMENTS[category]
    same = rng.choice(garments)
    asked = product_of(rng, _long_brand(rng), category, same)
    rows = [asked]
    for _ in range(rng.randint(0, MOST_ROWS - 1)):
        brand = asked.brand if rng.random() < 0.3 else _long_brand(rng)
        garment = same if rng.random() < 0.5 else rng.choice(garments)
        row = product_of(rng, brand, category, garment)
        if row.name not in [other.name for other in rows]:
            rows.append(row)
    if rng.random() < 0.5:
        currency = rng.choice(CURRENCIES)
        for row in rows:
            row.facts[PRICE] = f"{currency}{rng.randint(1, 9999)}"
    rng.shuffle(rows)
    return Shelf(rows, asked)


def row_text(product: FreshProduct) -> str:
    """A product as a row in a prompt."""
    facts = "; ".join(f"{key}: {value}" for key, value in product.facts.items())
    return f"- {product.name} | {product.shelf} | {facts}"


def _typed_name(rng: random.Random, name: str) -> str:
    """A name as people type it: mostly as it is, else without an inner word, or in lower case."""
    words = name.split()
    if len(words) > 3 and rng.random() < 0.2:
        words.pop(rng.randrange(1, len(words) - 1))
    typed = " ".join(words)
    return typed.lower() if rng.random() < 0.2 else typed


def _a_value(rng: random.Random, shelf: Shelf) -> Text:
    """A value of one row."""
    key, value = rng.choice(list(shelf.asked.facts.items()))
    name, low = _typed_name(rng, shelf.asked.name), key.lower()
    questions = [
        f"Of the {name} I want the {low}.",
        f"Say the {low}: {name}",
        f"{low}? {name}",
        f"find the {low} that the {name} has",
        f"I like the {name}. And the {low} of it?",
        f"read out the {low} of {name}",
    ]
    return Text(rng.choice(questions), f"The {low} of the {shelf.asked.name} is {value.lower()}.")


def _the_shelf(rng: random.Random, shelf: Shelf) -> Text:
    """The shelf of one row."""
    name = _typed_name(rng, shelf.asked.name)
    questions = [
        f"On what shelf does the {name} stand?",
        f"{name}: where?",
        f"Go to the {name}. Where is it?",
    ]
    return Text(rng.choice(questions), f"The {shelf.asked.name} is in {shelf.asked.shelf}.")


def _a_lacking_value(rng: random.Random, shelf: Shelf) -> Text:
    """A value that no row has, or that only another row has."""
    others = [key for row in shelf.others() for key in row.facts]
    keys = [key for key in [*LACKING, *VALUES, *others] if key not in shelf.asked.facts]
    key, name = rng.choice(keys).lower(), _typed_name(rng, shelf.asked.name)
    questions = [f"Of the {name} I want the {key}.", f"Say the {key}: {name}", f"{key}? {name}"]
    return Text(rng.choice(questions), f"The row of the {shelf.asked.name} lacks the {key}.")


def yes_or_no(rng: random.Random, shelf: Shelf) -> Text:
    """Whether a row has a value: what was asked and what the row says stand side by side in the reply."""
    key = rng.choice([key for key in shelf.asked.facts if key in VALUES])
    value = shelf.asked.facts[key]
    asked = value if rng.random() < 0.5 else rng.choice(VALUES[key])
    word = "yes" if asked == value else "no"
    name = _typed_name(rng, shelf.asked.name)
    questions = [
        f"The {key.lower()} of the {name} should be {asked.lower()}.",
        f"{name}: {asked.lower()} for {key.lower()}, right?",
        f"test whether the {name} has {asked} for its {key.lower()}",
    ]
    reply = f"Asked: {asked.lower()}. The {key.lower()} of the {shelf.asked.name} is {value.lower()}: {word}."
    return Text(rng.choice(questions), reply)


def _two_rows(rng: random.Random, shelf: Shelf) -> Text:
    """The same attribute of two rows."""
    others = [row for row in shelf.others() if row.facts.keys() & shelf.asked.facts.keys()]
    if not others:
        return _a_value(rng, shelf)
    other = rng.choice(others)
    key = rng.choice([key for key in shelf.asked.facts if key in other.facts])
    names = _typed_name(rng, shelf.asked.name), _typed_name(rng, other.name)
    question = rng.choice(["The {0} and the {1}, their {2}.", "{0} / {1}: {2}?", "put {0} beside {1}: {2}"])
    of_one = f"The {key.lower()} of the {shelf.asked.name} is {shelf.asked.facts[key].lower()}"
    of_other = f"that of the {other.name} is {other.facts[key].lower()}"
    return Text(question.format(*names, key.lower()), f"{of_one}; {of_other}.")


def _which_row(rng: random.Random, shelf: Shelf) -> Text:
    """The row that has one or two values; nothing, where no row has them."""
    source = _draw_shelf(rng).asked if rng.random() < 0.25 else shelf.asked
    keys = [key for key in source.facts if key in VALUES]
    wanted = {key: source.facts[key] for key in rng.sample(keys, min(len(keys), rng.randint(1, 2)))}
    fitting = [row for row in shelf.rows if wanted.items() <= row.facts.items()]
    listed = " and ".join(f"{key.lower()} {value}" for key, value in wanted.items())
    question = rng.choice(["Which one has the {0}?", "I want something with {0}.", "any of them in {0}"])
    reply = f"The {fitting[0].name} has it." if fitting else "None of them has it."
    return Text(question.format(listed), reply)


def _another_row(rng: random.Random, shelf: Shelf) -> Text:
    """A row beside the one that is named."""
    others = shelf.others()
    name = _typed_name(rng, shelf.asked.name)
    question = rng.choice(["What else is there but the {0}?", "Not the {0}, another one.", "Beside the {0}?"])
    reply = f"There is the {others[0].name}." if others else f"There is the {shelf.asked.name} alone."
    return Text(question.format(name), reply)


def _whole_row(rng: random.Random, shelf: Shelf) -> Text:
    """What a row says, line by line, some lines or all, under labels of several kinds."""
    form = rng.choice(["{0} = {1}", " {0}: {1}", "* {0}: {1}", "+ {0}: {1}"])
    facts = [form.format(key, value) for key, value in shelf.asked.facts.items()]
    facts = facts[: rng.randint(1, len(facts))]
    product, category, heading = rng.choice(LABELS)
    question = rng.choice(["Tell me all about the {0}.", "Show the row of the {0}", "{0}: what is known?"])
    name = _typed_name(rng, shelf.asked.name)
    lines = [f"{product}{shelf.asked.name}", f"{category}{shelf.asked.category}", heading, *facts]
    return Text(question.format(name), "\n".join(filter(None, lines)))


TASKS: list[Callable[[random.Random, Shelf], Text]] = [
    _a_value,
    _a_value,
    _a_value,
    _the_shelf,
    _a_lacking_value,
    yes_or_no,
    yes_or_no,
    yes_or_no,
    yes_or_no,
    _two_rows,
    _two_rows,
    _which_row,
    _which_row,
    _another_row,
    _whole_row,
    _whole_row,
]


def rows_of_a_catalogue(rng: random.Random) -> Text:
    """Rows of a catalogue and some questions that they answer, one turn after the other."""
    shelf = _draw_shelf(rng)
    turns = []
    for _ in range(TURNS):
        asked = Shelf(shelf.rows, rng.choice(shelf.rows))
        task = rng.choice(TASKS)(rng, asked)
        turns.append((task.user, task.reply))
    (question, reply), *more = turns
    lines = [f" Context:{CONTEXT}{shelf.asked.category}", *map(row_text, shelf.rows), question]
    return Text("\n".join(lines), reply, tuple(more))
