"""The baseline `rules`: what an engineer would write in a day. Keywords tell what is asked, fuzzy matching
tells the product, the catalogue's row tells the answer; where nothing fits, it declines.
"""

import math
import re
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import polars as pl

from data.questions.phrases import GARMENTS, GOES_WITH

DECLINE = "Sorry, we have nothing in the catalogue that fits."
UNSAID = "The catalogue does not say that of the {name}."
NAME_SHARE = 0.5  # of a name, by the rarity of its words, must stand in a question
WORD_SCORE = 85  # of 100: how alike a misspelt word and the one that is meant must be
FUZZY_LETTERS = 4  # from which on a word may be misspelt
KEY_SCORE = 88  # how alike a word of the question and an attribute must be
OUTFIT = (
    r"\b(?:goes? (?:well )?with|wear (?:it |this )?with|outfit|match(?:es)?|pair (?:it )?with|combine)\b"
    r"|what can i wear"
)
ALTERNATIVE = r"\b(?:instead|alternatives?|similar|something else|what else|other than)\b"
SEARCH = r"\b(?:anything|something|looking for|search(?:ing)? for|show me|need|want|any)\b"
SYNONYMS = {
    "fabric": r"material|fabric|cloth|made of|made from",
    "ideal for": r"\bwho\b|\bwhom\b",
    "occasion": r"occasion|when (?:would|can|could) i wear",
    "neck": r"neckline|\bneck\b",
    "sleeve": r"sleeves?",
    "color": r"colou?r",
    "number of contents in sales package": r"how many|package|pieces|what do i get",
    "hooded": r"\bhood",
}
SHELF = r"\bshel(?:f|ves)\b|where in the shop|part of the shop|where (?:do|can) i find"
STOP_WORDS = set(
    "a an the i do you have any is are of in for with my me to it and or what which show some".split()
)

Product = dict[str, Any]  # a row of the catalogue


@dataclass
class RuleBook:
    """The catalogue as the rules read it.

    Args:
        products: what `data.questions.products.products_for_questions` gives.
    """

    products: pl.DataFrame
    rows: list[Product] = field(init=False)
    by_word: dict[str, list[int]] = field(init=False)

    def __post_init__(self) -> None:
        self.rows = self.products.to_dicts()
        self.by_word = defaultdict(list)
        for place, row in enumerate(self.rows):
            for word in set(words_of(row["name"])):
                self.by_word[word].append(place)

    def answer(self, context: str, question: str) -> str:
        """The answer to one question, in the published format."""
        text, category = question.lower(), context.removeprefix("Online shopping for ")
        row = self.product_in(text, category)
        if row and re.search(OUTFIT, text):
            return self.outfit(row)
        if row and re.search(ALTERNATIVE, text):
            return self.alternative(row)
        if row is None or (re.search(SEARCH, text) and row["name"].lower() not in text):
            return self.search(text, category)
        return self.attribute(row, text)

    def product_in(self, text: str, category: str) -> Product | None:
        """The product that the question names, of the category asked in if several bear the name; or None.

        A word of the name counts by its rarity in the catalogue, and may be misspelt.
        """
        asked = {known for word in words_of(text) if (known := self.known_word(word))}
        shared: dict[int, float] = defaultdict(float)
        for word in asked:
            for place in self.by_word[word]:
                shared[place] += self.rarity(word)
        best, best_score = None, 0.0
        for place, total in shared.items():
            row = self.rows[place]
            share = total / sum(self.rarity(word) for word in set(words_of(row["name"])))
            ranked = total + share + (row["category"] == category)
            if share >= NAME_SHARE and ranked > best_score:
                best, best_score = row, ranked
        return best

    def known_word(self, word: str) -> str | None:
        """The word of the catalogue's names that a word means; None if it means none."""
        from rapidfuzz import process

        if word in self.by_word or len(word) < FUZZY_LETTERS:
            return word if word in self.by_word else None
        near = process.extractOne(word, self.by_word.keys(), score_cutoff=WORD_SCORE)
        return near[0] if near else None

    def rarity(self, word: str) -> float:
        """Inverse document frequency: how much a word tells the products apart."""
        return math.log(1 + len(self.rows) / len(self.by_word[word]))

    def attribute(self, row: Product, text: str) -> str:
        """What the row says under the attribute that the question names; else the whole row."""
        from rapidfuzz import fuzz

        rest = without_name(text, row["name"])
        if re.search(SHELF, rest):
            return said(f"The {row['name']} is in {row['shelf']}.", row)
        best, best_score = None, float(KEY_SCORE)
        for fact in row["facts"]:
            key = fact["key"].lower()
            synonym = SYNONYMS.get(key)
            score = 100.0 if synonym and re.search(synonym, rest) else fuzz.partial_ratio(key, rest)
            if score >= best_score and (best is None or score > best_score):
                best, best_score = fact, score
        if best is None:
            return UNSAID.format(name=row["name"])
        return said(f"The {best['key'].lower()} of the {row['name']} is {best['value']}.", row)

    def outfit(self, row: Product) -> str:
        """The first product of a kind that goes with the row's, for the same people."""
        partners = GOES_WITH.get(row["garment"], [])
        same_people = [other for other in self.others(row) if other["category"] == row["category"]]
        fitting = (other for kind in partners for other in same_people if other["garment"] == kind)
        return suggestion(fitting)

    def alternative(self, row: Product) -> str:
        """The first other product of the row's shelf."""
        place = row["category"], row["shelf"]
        return suggestion(other for other in self.others(row) if (other["category"], other["shelf"]) == place)

    def others(self, row: Product) -> list[Product]:
        """The products of other names."""
        return [other for other in self.rows if other["name"] != row["name"]]

    def search(self, text: str, category: str) -> str:
        """The product of which most values stand in the question: brand, kind, and attributes."""
        wanted = f" {' '.join(words_of(text))} "
        best, best_score = None, 0
        for row in self.rows:
            if category and row["category"] != category:
                continue
            values = {fact["value"] for fact in row["facts"]} | {row["brand"], row["type"]}
            score = sum(f" {' '.join(words_of(value))} " in wanted for value in values if value)
            score += any(name == row["garment"] and re.search(pattern, text) for name, pattern in GARMENTS)
            if score > best_score:
                best, best_score = row, score
        return said(f"I suggest the {best['name']}.", best) if best else DECLINE


def without_name(text: str, name: str) -> str:
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


def words_of(text: str) -> list[str]:
    """The words of a text in lower case, without those that every question has."""
    return [word for word in re.findall(r"\w+", text.lower()) if word not in STOP_WORDS]


def said(sentence: str, row: Product) -> str:
    """A sentence about a product, in the published format."""
    return f"{sentence}\n{row['block']}"


def suggestion(rows: Iterable[Product]) -> str:
    """The first of some products, or a decline."""
    first = next(iter(rows), None)
    return said(f"I suggest the {first['name']}.", first) if first else DECLINE


def rule_answers(questions: pl.DataFrame, products: pl.DataFrame) -> list[str]:
    """One answer for each question (columns context, question)."""
    book = RuleBook(products)
    return [book.answer(*row) for row in questions.select("context", "question").rows()]
