"""The baseline `rules`: what an engineer would write in a day. Keywords tell what is asked, fuzzy matching
tells the product, the catalogue's row tells the answer; where nothing fits, it declines.
"""

import math
import re
from collections import Counter
from collections.abc import Iterator

import polars as pl

from data.questions.filling import people
from data.questions.follow_ups import earlier_turns
from data.questions.intents import ALTERNATIVE, OUTFIT, only_greets, price_order, without_budget
from data.questions.matches import ValueMatcher
from data.questions.names import Product
from data.questions.phrases import COMPARED, CONTEXT, DECLINE, PRICE, WELCOME
from data.questions.retrieval import Retriever
from data.questions.words import words_of

UNSAID = "The catalogue does not say that of the {name}."
ABOUT = (
    r"\b(?:tell me|show me|see|do (?:you|u)|have you got|describe|details?|interested|buy|want|looking for)\b"
)
KEY_SCORE = 88  # how alike a word of the question and an attribute must be
SYNONYMS = {
    "fabric": r"material|fabric|cloth|made (?:out )?of|made from|consists? of|stuff|sewn from",
    "ideal for": r"\bwho\b|\bwhom\b|which people|group of people|for (?:women|men|children)",
    "occasion": r"occasion|when (?:would|can|could) i wear|(?:people|could i|one) wear|good for",
    "neck": r"neckline|\bneck\b|collar",
    "sleeve": r"sleeves?",
    "pattern": r"\bprint(?:ed)?\b|design|look like|see on",
    "length": r"how long|where does the .*end|down to where",
    "closure": r"\bclose\b|fastening|\bzip\b",
    "fit": r"tight|loose|\bcut\b|narrow",
    "color": r"colou?r",
    "number of contents in sales package": r"how many|package|pieces|what do i get",
    "hooded": r"\bhood",
    "price": r"how much|\bprice|\bcosts?\b|expensive|do i pay",
}
YES_NO = (
    r"^(?:(?:hi|hello|hey|quick question|tell me|so the) )?(?:is|are|does|do|can|was|would|will)\b"
    r"|\b(?:right|is its|or not|correct|yes|true|told|check for me|so the|would be)\b"
)
COMPARISON = (
    r"\b(?:compared?|both|vs|versus|differ|apart|against|and|or|same|each|side by side|another than)\b|/"
)
OPEN = r"\b(?:which|who|whom|how|where|when|tell me|know|check which|what (?!the ))\b"
SHELF = r"\bshel(?:f|ves)\b|where in the shop|part of the shop|where (?:do|can) i find"


def rule_answers(questions: pl.DataFrame, products: pl.DataFrame) -> list[str]:
    """One answer for each question (columns context, question), in the published format.

    Args:
        products: what `data.questions.products.products_for_questions` gives.
    """
    catalogue = Retriever(products)
    values = ValueMatcher(catalogue.all)
    answers = []
    asked = questions.select("context", "question").rows()
    for (context, question), turns in zip(asked, earlier_turns(questions), strict=True):
        answers.append(answer(catalogue, values, context, catalogue.with_subject(context, question, turns)))
    return answers


def answer(catalogue: Retriever, values: ValueMatcher, context: str, question: str) -> str:
    """The answer to one question."""
    text, category = question.lower(), context.removeprefix(CONTEXT)
    row = catalogue.names.named(text, category)
    if row and re.search(OUTFIT, text):
        return suggestion(catalogue.partners(row))
    if row and re.search(ALTERNATIVE, text):
        return suggestion(catalogue.shelf_mates(row))
    if row is None or catalogue.is_search(text, row):
        found = search(catalogue, text, category)
        return WELCOME if only_greets(text) and (row is None or found == DECLINE) else found
    second = catalogue.names.second_named(text, category, row) if re.search(COMPARISON, text) else None
    if second:
        return comparison(row, second, text)
    return attribute(row, text, values.asked_for(text, [row]), values)


def attribute(row: Product, text: str, named: list[str], values: ValueMatcher) -> str:
    """What the row says under the attribute that the question names, else under that of a value that it
    names; else that it does not say.

    Args:
        named: the values that the question names, in lower case. values: tells their attributes.
    """
    rest = _without_name(text, row["name"])
    if re.search(SHELF, rest):
        return said(f"The {row['name']} is in {row['shelf']}.", row)
    keys = values.keys_of(named)
    of_values = (fact for fact in row["facts"] if fact["key"].lower() in keys)
    best = _fact_asked(row, rest) or next(of_values, None)
    if best is None and re.search(ABOUT, rest):
        return said(f"We have the {row['name']}.", row)
    if best is None:
        return UNSAID.format(name=row["name"])
    if best["key"].lower() == "ideal for":
        whom = pl.select(people(pl.lit(best["value"]))).item()
        return said(f"The {row['name']} is ideal for {whom}.", row)
    sentence = f"The {best['key'].lower()} of the {row['name']} is {best['value']}."
    return said(f"{yes_or_no(rest, best, named)}{sentence}", row)


def comparison(row: Product, second: Product, text: str) -> str:
    """What the rows of two products say under the attribute that the question names, else their prices."""
    rest = _without_name(_without_name(text, row["name"]), second["name"])
    found = [_fact_asked(product, rest) for product in (row, second)]
    if found == [None, None]:
        found = [_fact_asked(product, PRICE) for product in (row, second)]
    one, other = found
    if one is None or other is None:
        return UNSAID.format(name=row["name"] if one is None else second["name"])
    key = one["key"].lower()
    return said(COMPARED.format(key, one["value"], row["name"], other["value"], second["name"]), row)


def _fact_asked(row: Product, rest: str) -> dict[str, str] | None:
    """The fact of a row whose key is most like the words of a question, or None.

    Args:
        rest: the question without the names of products.
    """
    from rapidfuzz import fuzz

    best, best_score = None, float(KEY_SCORE)
    for fact in row["facts"]:
        key = fact["key"].lower()
        synonym = SYNONYMS.get(key)
        score = 100.0 if synonym and re.search(synonym, rest) else fuzz.partial_ratio(key, rest)
        if score >= best_score and (best is None or score > best_score):
            best, best_score = fact, score
    return best


def yes_or_no(rest: str, fact: dict[str, str], named: list[str]) -> str:
    """'Yes. ' or 'No. ' for a question that can be answered so: whether the value that the row says stands in
    it; '' for others.

    Args:
        rest: the question without the product's name. named: the values that it names.
    """
    is_asked = re.search(YES_NO, rest) and not re.search(OPEN, rest)
    if not is_asked and not named:
        return ""
    value = " ".join(re.findall(r"\w+", fact["value"].lower()))
    return "Yes. " if f" {value} " in f" {rest} " else "No. "


def search(catalogue: Retriever, text: str, category: str) -> str:
    """The product of which most values stand in the question: brand, kind, and attributes; within the budget,
    if it has one; the cheapest of them, if it asks for that.
    """
    limits, order = without_budget(text)[1], price_order(text)
    wanted, kinds = f" {' '.join(words_of(text))} ", set(map(_singular, words_of(text)))
    best, best_score = None, (0, 0.0)
    for row, price in zip(catalogue.all, catalogue.prices, strict=True):
        if category and row["category"] != category:
            continue
        if limits and not (limits.least or 0) <= price <= (limits.most or math.inf):  # NaN without a price
            continue
        values = {fact["value"] for fact in row["facts"]} | {row["brand"], row["type"]}
        score = sum(f" {' '.join(words_of(value))} " in wanted for value in values if value)
        score += any(_singular(word) in kinds for word in words_of(row["name"])[-1:])
        if score and (score, -order * price) > best_score:
            best, best_score = row, (score, -order * price)
    return said(f"I suggest the {best['name']}.", best) if best else DECLINE


def _singular(word: str) -> str:
    """A word without a plural's s."""
    return word.rstrip("s")


def _without_name(text: str, name: str) -> str:
    """The words of a question without those of a product's name, each as often as the name has it; the last
    ones go, since an attribute is asked for before the name.
    """
    left = Counter(re.findall(r"\w+", name.lower()))
    rest = []
    for word in reversed(re.findall(r"\w+", text)):
        if left[word]:
            left[word] -= 1
        else:
            rest.append(word)
    return " ".join(reversed(rest))


def said(sentence: str, row: Product) -> str:
    """A sentence about a product, in the published format."""
    return f"{sentence}\n{row['block']}"


def suggestion(rows: Iterator[Product]) -> str:
    """The first of some products, or a decline."""
    first = next(rows, None)
    return said(f"I suggest the {first['name']}.", first) if first else DECLINE
