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
from collections.abc import Sequence
from functools import cached_property
from typing import NamedTuple

import polars as pl

from data.questions.asked_keys import MOST_KEYS, KeyMatcher, said_under
from data.questions.follow_ups import earlier_turns
from data.questions.intents import (
    OUTFIT,
    either_of,
    goods_wanted,
    is_refused,
    only_greets,
    wish_for_others,
    wishes_without_value,
    without_budget,
)
from data.questions.matches import ValueMatcher, has_all, has_one_of_each, marks
from data.questions.names import Product, same_name
from data.questions.phrases import COMPARISON, CONTEXT, PRICE
from data.questions.retrieval import Retriever
from data.questions.words import calls_by_name, span_of_name
from data.tokens.chat_templates import Turns

NOTHING = "- nothing that fits"  # in the place of rows, where a question looks for goods that no row is
SOME_GOODS = r"\b(?:(?:any|some)thing|smth|sth|gifts?|presents?|outfits?|clothes|clothing|items?|products?)\b"
ROWS = "rows"  # the value of data.grounding with which prompts hold rows


class _Found(NamedTuple):
    """What the catalogue has for a question: rows, the products that it names, the values that it asks for
    (in groups, of which one is enough) and the attributes, whether it looks for goods and finds none, and
    what each row has besides ("over 2500: yes").
    """

    rows: list[Product]
    subjects: list[Product]
    groups: list[list[str]]
    keys: list[str]
    looks_in_vain: bool
    notes: list[str]


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
        rows, subjects, groups, keys, looks_in_vain, notes = self._found(context, question, earlier)
        asked_for = [value for group in groups for value in group]
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
                lines.append(compact(row, [*marks(row, _looked_at(row, groups)), *notes]))
        return "\n".join([context, *lines])

    def _found(self, context: str, question: str, earlier: Turns) -> _Found:
        """What the catalogue has for a question."""
        searched = self.retriever.with_subject(context, question, earlier).lower()
        rows, subjects = self.retriever.relevant(context, searched, self.count)
        named = self.matcher.asked_for(searched, subjects)
        if not subjects:
            named = [*named, *self.matcher.properties(searched, named)]
        refused = [value for value in named if not subjects and is_refused(value, searched)]
        asked_for = [value for value in named if value not in refused]
        wish = wish_for_others(searched) if subjects else None

        groups = either_of(asked_for, searched)

        def fits(row: Product) -> bool:
            return has_one_of_each(row, groups) and not has_one_of_each(row, [refused])

        if wish:
            has_none = self._lacks_others(searched, wish, subjects[0])
        else:
            has_none = not subjects and self._has_none(searched, asked_for)
        if has_none:
            rows = []
        elif named and not subjects:
            rows = self.retriever.search(searched, context.removeprefix(CONTEXT), self.count, fits)
            if rows and wish_for_others(searched) == OUTFIT and self.matcher.names_goods(searched, named):
                return self._partners_of_kind(rows[0], named)
        elif asked_for and wish:
            rows = self.retriever.relevant(context, searched, self.count, fits)[0]
        keys = self._keys(searched, subjects, asked_for) if subjects and not wish else []
        looks_in_vain = not rows and (wish is not None or self._looks_for_goods(searched, asked_for))
        has_marks = subjects or asked_for
        wishes = [] if has_marks else wishes_without_value(searched)
        return _Found(rows, subjects, groups, keys, looks_in_vain, [f"{wish}: yes" for wish in wishes])

    def _partners_of_kind(self, row: Product, kind: list[str]) -> _Found:
        """What goes with a product that stands for its kind, which some values name: "jeans"."""
        partners = self.retriever.first_partners(row, self.count)
        return _Found(partners, [], [], [], not partners, [f"goes with {' '.join(kind)}: yes"])

    def _looks_for_goods(self, question: str, asked_for: list[str]) -> bool:
        """Whether a question without rows asks for goods, or for the price of none, and does not just say
        hello.
        """
        if self.keys.lacks_property(question) or asked_for:
            return True
        if only_greets(question):
            return False
        keys = [*self.keys.asked_for(question, []), *self.keys.hinted_at(question, [])]
        is_of_price = PRICE in keys or without_budget(question)[1]
        return bool(is_of_price) or self.keys.has_unknown_goods(question)

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
        wanted = goods_wanted(question)
        if (only_greets(question) and not asked_for) or self.keys.lacks_property(wanted):
            return True
        names_goods = self.matcher.names_goods(question, asked_for) or re.search(SOME_GOODS, question)
        return not names_goods and self.keys.has_unknown_goods(wanted)

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


def _looked_at(row: Product, groups: list[list[str]]) -> list[str]:
    """The values that are marked in a row: of each group, of which one is enough, those that it has."""
    found = []
    for group in groups:
        found += [value for value in group if has_all(row, [value])] or group
    return found


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
