"""Prompts with the rows of the catalogue that a question is answered from, in training, evaluation and chat
alike.

    Context:Online shopping for Men's Clothing
    - Zarvo Striped Men's Shirt | Shirts | Fabric: Cotton; Sleeve: Full Sleeve; fabric? cotton; linen: no
    - Kabra Plain Men's Shirt | Shirts | Fabric: Linen; linen: yes
    Is the fabric of the Zarvo striped shirt linen?

Values that the question asks for are marked in each row ("linen: no"). Rows of products that it names also
end with what they say under the attributes that it asks for ("fabric? cotton", or "fabric? not said"); where
it names two products, with what is compared ("compared by fabric: cotton for the Zarvo Striped Men's Shirt").
A value alone asks for its attribute: "is it linen or what?" asks for the fabric.

A search gets the rows that have all that it asks for; where none has, or where it asks for goods whose name
no row has, it gets none but the line "- nothing that fits", and is declined.

In training the rows that the answer needs are always among them (RAFT: Zhang et al. 2024,
https://arxiv.org/abs/2403.10131). The products that a question names come first, then the others, the best
first. Of several rows that answer a question as well, the answer of a training question is the first.
"""

import re
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import polars as pl

from data.questions.asked_keys import MOST_KEYS, KeyMatcher, said_under
from data.questions.follow_ups import earlier_turns
from data.questions.intents import OUTFIT, is_refused, only_greets, wish_for_others
from data.questions.matches import ValueMatcher, has_all, marks
from data.questions.names import Product, same_name
from data.questions.phrases import COMPARISON, CONTEXT, PRICE
from data.questions.products import read_question_products
from data.questions.retrieval import Retriever
from data.questions.shoppers import SHOPPERS
from data.questions.words import calls_by_name, span_of_name
from data.tokens.chat_templates import Turns
from data.tokens.escaping import escape_frame
from data.tokens.prompts import Renderer, asked_messages
from data.values import Settings

NOTHING = "- nothing that fits"  # in the place of rows, where a question looks for goods that no row is
SOME_GOODS = r"\b(?:(?:any|some)thing|smth|sth|gifts?|presents?|outfits?|clothes|clothing|items?|products?)\b"
ROWS = "rows"  # the value of data.grounding with which prompts hold rows


class _Found(NamedTuple):
    """What the catalogue has for a question: rows, the products that it names, the values and the attributes
    that it asks for, and whether it looks for goods and finds none.
    """

    rows: list[Product]
    subjects: list[Product]
    asked_for: list[str]
    keys: list[str]
    looks_in_vain: bool


class Grounding:
    """Adds rows to contexts.

    Args:
        products: what `data.questions.products.products_for_questions` gives. count: rows in a prompt.
    """

    def __init__(self, products: pl.DataFrame, count: int) -> None:
        self.retriever, self.count = Retriever(products), count
        self.by_id = {row["id"]: row for row in self.retriever.all}

    @cached_property
    def matcher(self) -> ValueMatcher:
        """Finds the values of the catalogue in questions."""
        return ValueMatcher(self.retriever.all)

    @cached_property
    def keys(self) -> KeyMatcher:
        """Finds the attributes of the catalogue in questions."""
        return KeyMatcher(self.retriever.all, self.retriever.spelling)

    def context(
        self,
        context: str,
        question: str,
        needed: Sequence[str] = (),
        earlier: Turns = (),
    ) -> str:
        """A question's context with its rows.

        Args:
            needed: ids of the rows that must be among them, in training.
            earlier: questions and answers before this one, of which it may go on.
        """
        rows, subjects, asked_for, keys, looks_in_vain = self._found(context, question, earlier)
        wanted = [self.by_id[name] for name in needed]
        rows = _with_needed(rows, wanted, self.count)
        if wanted and wanted[0] not in subjects:
            rows = _before_its_equals(wanted[0], rows, subjects, asked_for)
        if looks_in_vain and not rows:
            return f"{context}\n{NOTHING}"
        under, lines = self.matcher.under(asked_for, keys), []
        for row in rows:
            if row in subjects:
                said = said_under(row, keys, len(subjects) > 1)
                lines.append(compact(row, [*said, *marks(row, asked_for, under)]))
            else:
                lines.append(compact(row, marks(row, asked_for)))
        return "\n".join([context, *lines])

    def _found(self, context: str, question: str, earlier: Turns) -> _Found:
        """What the catalogue has for a question."""
        searched = self.retriever.with_subject(context, question, earlier).lower()
        rows, subjects = self.retriever.relevant(context, searched, self.count)
        named = self.matcher.asked_for(searched, subjects)
        refused = [value for value in named if not subjects and is_refused(value, searched)]
        asked_for = [value for value in named if value not in refused]
        wish = wish_for_others(searched) if subjects else None

        def fits(row: Product) -> bool:
            return has_all(row, asked_for) and not any(has_all(row, [value]) for value in refused)

        if wish:
            has_none = self._lacks_others(searched, wish, subjects[0])
        else:
            has_none = not subjects and self._has_none(searched, asked_for)
        if has_none:
            rows = []
        elif named and not subjects:
            rows = self.retriever.search(searched, context.removeprefix(CONTEXT), self.count, fits)
        elif asked_for and wish:
            rows = self.retriever.relevant(context, searched, self.count, fits)[0]
        keys = self._keys(searched, subjects, asked_for) if subjects and not wish else []
        looks_in_vain = not rows and (wish is not None or self._looks_for_goods(searched, asked_for))
        return _Found(rows, subjects, asked_for, keys, looks_in_vain)

    def _looks_for_goods(self, question: str, asked_for: list[str]) -> bool:
        """Whether a question without rows asks for goods, and does not just say hello."""
        if self.keys.lacks_property(question) or asked_for:
            return True
        return not only_greets(question) and self.keys.has_unknown_goods(question)

    def _lacks_others(self, question: str, wish: str, row: Product) -> bool:
        """Whether a question asks for a colour, a material or people beside a product that no row has, or for
        goods to go with it that no row has the word of: "what shoes go with the Zarvo jeans?"
        """
        rest, name = question, row["name"].lower()
        if calls_by_name(question, name):  # which may be misspelt
            start, end = span_of_name(question, name)
            rest = question[:start] + question[end:]
        return self.keys.lacks_property(rest) or (wish == OUTFIT and self.keys.has_unknown_goods(rest))

    def _has_none(self, question: str, asked_for: list[str]) -> bool:
        """Whether a question that names no product has no rows: it says hello, or it looks for a colour, a
        material or people that no row has, or for goods that no row has the word of: "wool curtains", with
        wool alone.
        """
        if (only_greets(question) and not asked_for) or self.keys.lacks_property(question):
            return True
        names_goods = self.matcher.names_goods(question, asked_for) or re.search(SOME_GOODS, question)
        return not names_goods and self.keys.has_unknown_goods(question)

    def _keys(self, question: str, subjects: list[Product], asked_for: list[str]) -> list[str]:
        """The attributes that a question asks for of the products that it names: by its words, else by its
        values, else by a hint. Products that are compared without one are compared by price.
        """
        keys = self.keys.asked_for(question, subjects) or self.matcher.keys_of(asked_for)[:MOST_KEYS]
        keys = keys or self.keys.hinted_at(question, subjects)
        return keys or ([PRICE] if len(subjects) > 1 else [])

    def contexts(self, questions: pl.DataFrame, for_training: bool) -> list[str]:
        """The contexts of questions (columns context, question, in training answer_id, product_id, kind, and
        earlier if there are earlier turns).

        In training the row of the answer is among the rows, and that of the other product of a comparison.
        """
        needed: list[list[str]] = [[] for _ in range(questions.height)]
        if for_training:
            both = pl.concat_list("product_id", "answer_id")
            rows = pl.when(pl.col("kind") == COMPARISON).then(both).otherwise(pl.concat_list("answer_id"))
            needed = questions.select(rows.list.drop_nulls()).to_series().to_list()
        asked = questions.select("context", "question").rows()
        found = []
        for (context, question), ids, turns in zip(asked, needed, earlier_turns(questions), strict=True):
            found.append(self.context(context, question, ids, turns))
        return found

    def names(self, questions: pl.DataFrame) -> list[list[str]]:
        """The names of the rows that questions find (columns as for `contexts`)."""
        found = []
        asked = questions.select("context", "question").rows()
        for (context, question), turns in zip(asked, earlier_turns(questions), strict=True):
            rows = self._found(context, question, turns).rows
            found.append([row["name"] for row in rows])
        return found


def _with_needed(rows: list[Product], needed: list[Product], count: int) -> list[Product]:
    """At most ``count`` rows with the needed ones among them, in place of their namesakes or the last."""
    if all(row in rows for row in needed):
        return rows
    others = rows
    for row in needed:
        others = [other for other in others if not same_name(row, other)]
    return [*needed, *others][:count]


def _before_its_equals(
    wanted: Product, rows: list[Product], subjects: list[Product], asked_for: list[str]
) -> list[Product]:
    """The rows with the wanted one in the place of the first that answers the question as well, so that the
    right answer is the first row that fits.
    """
    own = marks(wanted, asked_for)
    equals = [row for row in rows if row not in subjects and marks(row, asked_for) == own]
    first, place = rows.index(equals[0]), rows.index(wanted)
    swapped = list(rows)
    swapped[first], swapped[place] = swapped[place], swapped[first]
    return swapped


def compact(row: Product, marked: Sequence[str]) -> str:
    """A row as it stands in a prompt. marked: whether it has what is asked for (`marks`)."""
    facts = [f"{fact['key']}: {fact['value']}" for fact in row["facts"]]
    return f"- {row['name']} | {row['shelf']} | {'; '.join([*facts, *marked])}"


class _GroundedRenderer(Renderer):
    """Renders the prompts of a model that was trained with rows, for chat and serving."""

    def __init__(self, base: str, thinking: bool, grounding: Grounding, reads_turns: bool) -> None:
        super().__init__(base, thinking)
        self.grounding, self.reads_turns = grounding, reads_turns

    def in_prompt(self, context: str, question: str, earlier: Turns) -> str:
        """The context with the rows that the question finds."""
        return self.grounding.context(context, question, earlier=earlier)

    def conversation(self, context: str, earlier: list[tuple[str, str]], question: str) -> list[int]:
        """The prompt of a question, with earlier ones only where it goes on about them, as in training, and
        finds something. One for others ("something cheaper?") names what it goes on about, as there.
        """
        whole = self.grounding.retriever.with_subject(context, question, earlier)
        inside = self.in_prompt(context, question, earlier)
        if whole != question and wish_for_others(whole.lower()):
            return self.encoded(self.prompt_text(asked_messages(inside, whole, [])))
        turns = earlier if whole != question and not inside.endswith(NOTHING) else []
        return self.encoded(self.prompt_text(asked_messages(inside, question, turns)))


def renderer_of(base: str, origin: Settings, find_products: Callable[[], Path]) -> Renderer:
    """The renderer of a trained model: with rows of the catalogue if it was trained with them.

    Args:
        base: the model's folder or Hub name. origin: what the model was made of. find_products: gives
        products.parquet, where rows are needed.

    Raises ValueError if rows are needed and the file is not there, or is another one.
    """
    plain = Renderer.of(base, origin)
    if origin["data"].get("grounding") != ROWS:
        return plain
    products = find_products()
    try:
        rows = read_question_products(products)
    except (OSError, pl.exceptions.PolarsError) as error:
        reason = str(error).splitlines()[0]
        raise ValueError(
            f"this model answers from rows of the catalogue, and {products} cannot be read ({reason}): give"
            f" products.parquet of prepared data"
        ) from None
    escaped = escape_frame(rows, plain.special)
    grounding = Grounding(escaped, origin["data"]["grounding_rows"])
    return _GroundedRenderer(base, plain.thinking, grounding, origin["data"].get("wording") == SHOPPERS)
