"""Rows of a catalogue with some questions about them, for the texts of the pocket model.

The rows are written as prompts with grounding write them, with marks (`data.questions.grounding`). The
questions are those of `data.modules.pocket_turns`.
"""

import random
from collections.abc import Callable
from dataclasses import replace

from data.modules.pocket_products import Text
from data.modules.pocket_shelves import Shelf, draw_shelf, line_of, said_of
from data.modules.pocket_turns import (
    Turn,
    a_lacking_value,
    a_value,
    again,
    another_row,
    cheap_row,
    head,
    hello,
    other_goods,
    the_shelf,
    two_rows,
    which_row,
    whole_row,
    yes_or_no,
)
from data.modules.pocket_wordings import typed

EMPTY = 0.06  # share of the texts without any row
SAID = 0.6  # share of the texts in which rows end with what they say under the attribute asked for first
TURNS = 6  # questions about the same rows
FOLLOWED = 0.25  # share of the questions about one row after which another goes on about it

Task = Callable[[random.Random, Shelf], Turn]
OF_ONE_ROW: dict[Task, int] = {a_value: 6, the_shelf: 1, a_lacking_value: 3, yes_or_no: 4, whole_row: 2}
OF_ROWS: dict[Task, int] = {
    two_rows: 5,
    which_row: 5,
    cheap_row: 1,
    another_row: 3,
    other_goods: 1,
    hello: 1,
}
OF_NONE: dict[Task, int] = {other_goods: 2, hello: 1}


def _drawn(rng: random.Random, tasks: dict[Task, int]) -> Task:
    """One of the tasks, by its weight."""
    return rng.choices(list(tasks), list(tasks.values()))[0]


def _turns(rng: random.Random, shelf: Shelf) -> list[Turn]:
    """Questions about the rows of a shelf."""
    turns: list[Turn] = []
    while len(turns) < TURNS:
        of = Shelf(shelf.rows, rng.choice(shelf.rows))
        task = _drawn(rng, OF_ONE_ROW | OF_ROWS)
        turn = task(rng, of)
        turns.append(replace(turn, question=typed(rng, turn.question)))
        if task in OF_ONE_ROW and rng.random() < FOLLOWED:
            turns.append(again(rng, of))
    return turns


def _without_rows(rng: random.Random, shelf: Shelf) -> Text:
    """Questions that no row can answer."""
    turns = []
    for _ in range(2):
        turn = _drawn(rng, OF_NONE)(rng, shelf)
        turns.append((f"{head(rng, shelf)}\n{typed(rng, turn.question)}", turn.reply))
    (question, reply), *more = turns
    return Text(question, reply, tuple(more))


def _lines(rng: random.Random, shelf: Shelf, turns: list[Turn]) -> list[str]:
    """The rows as they stand in the prompt, with marks of all that the turns ask for; those that the first
    one is about may end with what they say under its attribute.
    """
    values = list(dict.fromkeys(value for turn in turns for value in turn.asked_for))
    rng.shuffle(values)
    first = turns[0]
    is_said = bool(first.key) and rng.random() < SAID
    lines = []
    for row in shelf.rows:
        says = is_said and row in first.subjects
        said = said_of(row, first.key, len(first.subjects) > 1) if says else []
        lines.append(line_of(row, values, said))
    return lines


def rows_of_a_catalogue(rng: random.Random) -> Text:
    """Rows of a catalogue and some questions that they answer, one turn after the other; some texts have no
    rows.
    """
    shelf = draw_shelf(rng)
    if rng.random() < EMPTY:
        return _without_rows(rng, shelf)
    first, *more = turns = _turns(rng, shelf)
    lines = _lines(rng, shelf, turns)
    question = "\n".join([head(rng, shelf), *lines, first.question])
    return Text(question, first.reply, tuple((turn.question, turn.reply) for turn in more))
