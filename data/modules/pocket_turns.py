"""Questions about rows of a catalogue with their replies, for the texts of the pocket model
(`data.modules.pocket_rows`): which row is meant, a value copied from it, a value that it lacks, a row that
fits, none that fits.

The questions are worded by `data.modules.pocket_wordings`. The replies are never in the assistant's answer
format.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass

from data.modules import pocket_wordings as wordings
from data.modules.pocket_products import FreshProduct
from data.modules.pocket_shelves import PRICE, Shelf, called, draw_shelf, line_of, marks_of
from data.modules.pocket_wordings import noun, typed
from data.questions.phrases import CONTEXT
from data.sample.vocabulary import VALUES

ANYWHERE = 0.1  # share of the texts that are asked in no category
LABELS = [  # of a product, its category and its details; with all words of the assistant's answers
    ("Name = ", "For = ", ""),
    (" Product = ", "Category = ", " Details"),
    ("Product: ", " Product Category: ", "Its Details:"),
    ("The Product of this Name: ", "Product Category = ", "Details of this Product:"),
    ("Product = ", "The Category: ", "Product, Details:"),
]
LACKING = ["Warranty", "Weight", "Delivery Time", PRICE, "Lining", "Country of Origin", "Return Policy"]
LACKING += ["Wash Care", "Number of Pockets", "Packaging", "Discount", "Stock", "Importer", "Thread Count"]


@dataclass(frozen=True)
class Turn:
    """A question, its reply, the values that it asks for, in lower case, which are marked in the rows, and
    the attribute that it asks for, of some rows.
    """

    question: str
    reply: str
    asked_for: Sequence[str] = ()
    key: str = ""
    subjects: Sequence[FreshProduct] = ()


def head(rng: random.Random, shelf: Shelf) -> str:
    """The line above the rows: the category that is asked in, if there is one."""
    return " Context:" if rng.random() < ANYWHERE else f" Context:{CONTEXT}{shelf.asked.category}"


def _lower(key: str, value: str) -> str:
    """A value as it stands in a sentence."""
    return value if key == PRICE else value.lower()


def _sentence(row: FreshProduct, key: str) -> str:
    """What a row says of an attribute."""
    return f"The {key.lower()} of the {row.name} is {_lower(key, row.facts[key])}."


def a_value(rng: random.Random, shelf: Shelf) -> Turn:
    """A value of one row."""
    key = rng.choice(list(shelf.asked.facts))
    question = wordings.about(rng, key, called(rng, shelf, shelf.asked))
    return Turn(question, _sentence(shelf.asked, key), key=key, subjects=[shelf.asked])


def again(rng: random.Random, shelf: Shelf) -> Turn:
    """A value of the row of the turn before, which stands before the question again in half of the cases."""
    key = rng.choice(list(shelf.asked.facts))
    question = typed(rng, rng.choice(wordings.AGAIN).format(key=noun(rng, key)))
    if rng.random() < 0.5:
        question = "\n".join([head(rng, shelf), line_of(shelf.asked, [], []), question])
    return Turn(question, _sentence(shelf.asked, key))


def the_shelf(rng: random.Random, shelf: Shelf) -> Turn:
    """The shelf of one row."""
    question = rng.choice(wordings.SHELF).format(name=called(rng, shelf, shelf.asked))
    return Turn(question, f"The {shelf.asked.name} is in {shelf.asked.shelf}.")


def a_lacking_value(rng: random.Random, shelf: Shelf) -> Turn:
    """A value that no row has, or that only another row has."""
    others = [key for row in shelf.others() for key in row.facts]
    keys = [key for key in [*LACKING, *VALUES, *others] if key not in shelf.asked.facts]
    key = rng.choice(keys)
    question = wordings.about(rng, key, called(rng, shelf, shelf.asked))
    reply = f"The row of the {shelf.asked.name} lacks the {key.lower()}."
    return Turn(question, reply, key=key, subjects=[shelf.asked])


def yes_or_no(rng: random.Random, shelf: Shelf) -> Turn:
    """Whether a row has a value: what the row says and what was asked stand side by side in the reply."""
    key = rng.choice([key for key in shelf.asked.facts if key in VALUES])
    value = shelf.asked.facts[key]
    others = [
        other
        for other in VALUES[key]
        if value.lower() not in other.lower() and other.lower() not in value.lower()
    ]
    asked = value if rng.random() < 0.5 else rng.choice(others)
    word = "yes" if asked == value else "no"
    name = called(rng, shelf, shelf.asked)
    question = rng.choice(wordings.YES_NO).format(key=noun(rng, key), name=name, value=asked.lower())
    reply = (
        f"The {key.lower()} of the {shelf.asked.name} is {value.lower()}. Asked for {asked.lower()}: {word}."
    )
    return Turn(question, reply, [asked.lower()], key, [shelf.asked])


def two_rows(rng: random.Random, shelf: Shelf) -> Turn:
    """The same attribute of two rows, the one that is asked for first first."""
    others = [row for row in shelf.others() if row.facts.keys() & shelf.asked.facts.keys()]
    if not others:
        return a_value(rng, shelf)
    other = rng.choice(others)
    key = rng.choice([key for key in shelf.asked.facts if key in other.facts])
    names = {"name": called(rng, shelf, shelf.asked), "other": called(rng, shelf, other)}
    question = rng.choice(wordings.TWO).format(key=noun(rng, key), **names)
    reply = f"{_sentence(shelf.asked, key)} {_sentence(other, key)}"
    return Turn(question, reply, key=key, subjects=[shelf.asked, other])


def _goods(rng: random.Random, row: FreshProduct) -> tuple[str, list[str]]:
    """Goods as somebody looks for them, of which a row is one, and the values that it must have."""
    keys = [key for key in row.facts if key in VALUES]
    values = [row.facts[key] for key in rng.sample(keys, min(len(keys), rng.randint(0, 3)))]
    listed = ", ".join(values)
    if rng.random() < 0.5:
        listed = listed.lower()
    forms = ["{0} {1}", "{1} with {0}", "{1}, {0}", "{1} in {0}", "{1}: {0}"] if values else ["{1}"]
    goods = rng.choice(forms).format(listed, row.type)
    wanted = [row.type, *values]
    if rng.random() < 0.4:
        goods = rng.choice(["{0} by {1}", "{0} from {1}", "{0}, {1}"]).format(goods, row.brand)
        wanted.append(row.brand)
    return goods, [value.lower() for value in wanted]


def which_row(rng: random.Random, shelf: Shelf) -> Turn:
    """The first row that has all that is asked for; nothing, where no row has it."""
    source = draw_shelf(rng).asked if rng.random() < 0.35 else shelf.asked
    goods, asked_for = _goods(rng, source)
    wanted = [f"{value}: yes" for value in asked_for]
    fitting = [row for row in shelf.rows if marks_of(row, asked_for) == wanted]
    reply = f"The {fitting[0].name} has it." if fitting else "None of them has it."
    return Turn(rng.choice(wordings.WANTED).format(thing=goods), reply, asked_for)


def cheap_row(rng: random.Random, shelf: Shelf) -> Turn:
    """The first row of a type, at a price that all rows keep to."""
    limit = rng.randint(9_000, 12_000) if PRICE in shelf.asked.facts else rng.randint(1, 12_000)
    first = next(row for row in shelf.rows if row.type == shelf.asked.type)
    question = rng.choice(wordings.CHEAP).format(thing=shelf.asked.type, limit=limit)
    return Turn(question, f"The {first.name} has it.", [shelf.asked.type.lower()])


def another_row(rng: random.Random, shelf: Shelf) -> Turn:
    """The first row beside the one that is named, which may be none of them."""
    named = draw_shelf(rng).asked if rng.random() < 0.6 else shelf.asked
    others = [row for row in shelf.rows if row is not named]
    question = rng.choice(wordings.ANOTHER).format(name=called(rng, shelf, named))
    reply = f"There is the {others[0].name}." if others else f"There is the {named.name} alone."
    return Turn(question, reply)


def other_goods(rng: random.Random, shelf: Shelf) -> Turn:
    """Goods that no row is."""
    question = rng.choice(wordings.WANTED).format(thing=rng.choice(wordings.GOODS))
    return Turn(question, "None of them has it.")


def hello(rng: random.Random, shelf: Shelf) -> Turn:
    """No question at all."""
    return Turn(rng.choice(wordings.HELLO), "Hello! Ask about these things.")


def whole_row(rng: random.Random, shelf: Shelf) -> Turn:
    """What a row says, line by line, some lines or all, under labels of several kinds."""
    form = rng.choice(["{0} = {1}", " {0}: {1}", "* {0}: {1}", "+ {0}: {1}"])
    facts = [form.format(key, value) for key, value in shelf.asked.facts.items()]
    facts = facts[: rng.randint(1, len(facts))]
    product, category, heading = rng.choice(LABELS)
    question = rng.choice(wordings.WHOLE).format(name=called(rng, shelf, shelf.asked))
    lines = [f"{product}{shelf.asked.name}", f"{category}{shelf.asked.category}", heading, *facts]
    return Turn(question, "\n".join(filter(None, lines)))
