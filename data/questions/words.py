"""Words of questions, names and rows: which text holds which, and what a misspelt word means."""

import math
import re
from collections import Counter, defaultdict
from collections.abc import Collection
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from data.questions import choice_wordings, wordings
from data.questions.attribute_words import ATTRIBUTES

if TYPE_CHECKING:
    import numpy.typing as npt

CALLED = 85  # per cent of a name, in its order, with which a text calls something by it
MOST_ERRORS = 1  # letters that are wrong, missing, too many or swapped in a misspelt word
FUZZY_LETTERS = 5  # from which on a word may be misspelt
SHORTEST_PLURAL = 4  # letters
PLURALS_APART = {"shorts", "glasses", "tights", "briefs", "flats"}  # whose singular is another word
# Goods that a shop may lack, which are no misspelt words of others: a skirt is no shirt.
COMMON_GOODS = set(
    """
    anklet apron armchair backpack bangle beanie bedsheet belt blanket blazer blouse boot bowl bracelet bra
    briefs brush bucket cabinet candle cap cardigan carpet chair chino clock coat cot couch crib cup curtain
    cushion desk dress dupatta earring fan flask fork frame frock glass glasses glove gown handbag hat heel
    hoodie jacket jean jumper jumpsuit kettle knife lamp legging lehenga lipstick loafer mat mattress
    mirror mug necklace notebook pajama pan pant perfume phone pillow plate pot purse pyjama rack rug saree
    sandal sari scarf scarve shampoo sheet shelf shirt shoe shorts skirt sleeper slipper sneaker soap sock
    sofa spoon stool suit sweater swimsuit table tie tights tray trouser truck tunic umbrella vase vest wallet
    watch
    """.split()
)
# Plain English, which is never a misspelt word of a catalogue.
ENGLISH = """
    about above after again all alternative always am an and another any anything are as ask at available
    away back be because become before begin best better between black both bought bring but buy by call can
    catalogue category change cheap check choose clean close clothes colour combine come compare cost could
    customer day dear describe detail did differ do does doubt down each easy either else end enough ever
    every example family far few find first fit fits for found from full get give go goes good great had has
    have he hello help her here high him his hold how I if in information instead into is it its just keep
    kind know large last later least less like little long look low made make many match matter may me mean
    might mine more most much must my name near need never new next nice no none not nothing now of off
    often old on once one only open or order other our out over own pair part people perhaps piece place
    please point possible price product question quite rather read right row said same say see sell send set
    she shelf shop should show sign similar since size small so some somebody something soon sorry still
    stock such suggest sure take tell than thank that the their them then there these they thing think this
    those though through time to today together too try two under unfortunately until up us use used usual
    value very want was way we wear welcome well were what when where whether which while who whole whom why
    will wish with without wonder word work would write yes yet you young your
""".split()
STOP_WORDS = set(
    "a an the i do you have any is are of in for with my me to it and or what which show some".split()
)


def singular(word: str) -> str:
    """'dresses' -> 'dress', 'jeans' -> 'jean', 'dress' -> 'dress': a word in lower case without its plural's
    ending, as English forms it most often. A shorter one ("xs", "gas") is none, and shorts are not short.
    """
    if len(word) < SHORTEST_PLURAL or word in PLURALS_APART:
        return word
    if word.endswith(("sses", "shes", "ches", "xes")):
        return word.removesuffix("es")
    return word if word.endswith("ss") else word.removesuffix("s")


def last_word(thing: str) -> str:
    """'kitchen knives' -> 'knive': the word that says what a thing is, without a plural's ending."""
    return singular(thing.lower().split()[-1])


def words_of(text: str) -> list[str]:
    """The words of a text in lower case, without those that every question has."""
    return [word for word in re.findall(r"\w+", text.lower()) if word not in STOP_WORDS]


@lru_cache(maxsize=1)
def plain_words() -> set[str]:
    """Words that are no misspelt ones: plain English, and those of the wordings of questions and of the
    thesaurus.
    """
    phrases = [phrase for attribute in ATTRIBUTES for phrase in (*attribute.cues, *attribute.hints)]
    values = [*vars(wordings).values(), *vars(choice_wordings).values()]
    lists = [value for value in values if isinstance(value, list)]
    texts = [re.sub(r"\{\w+\}", " ", text) for listed in lists for text in listed]
    return {*ENGLISH, *re.findall(r"\w+", " ".join([*texts, *phrases]).lower())}


def is_plain(word: str) -> bool:
    """Whether a word in lower case, or the word whose plural it is, is plain English."""
    return bool({word, word.removesuffix("s")} & plain_words())


class Spelling:
    """Which known word a word means; each word is looked for once."""

    def __init__(self, known: Collection[str]) -> None:
        self.known = known
        self.meant: dict[str, str | None] = {}  # words so far

    def __call__(self, word: str) -> str | None:
        """The known word that a word is, or that it misspells; None if there is none."""
        if word not in self.meant:
            self.meant[word] = nearest_word(word, self.known)
        return self.meant[word]


def nearest_word(word: str, known: Collection[str]) -> str | None:
    """The one of the known words that a word is, or that it misspells; None if there is none."""
    from rapidfuzz import process
    from rapidfuzz.distance import OSA

    is_a_word = is_plain(word) or singular(word) in COMMON_GOODS
    if word in known or len(word) < FUZZY_LETTERS or is_a_word:
        return word if word in known else None
    same_start = [other for other in known if other[:1] in word[:2]]  # its first two may be swapped
    same_start.sort(key=lambda other: (abs(len(other) - len(word)), other))  # of several, the first is meant
    near = process.extractOne(word, same_start, scorer=OSA.distance, score_cutoff=MOST_ERRORS)
    return near[0] if near else None


def likeness(text: str, name: str) -> float:
    """How well a name matches some part of a text, from 0 to 100 (an exact match). Both in lower case."""
    from rapidfuzz import fuzz

    return fuzz.partial_ratio(name, text)


def calls_by_name(text: str, name: str) -> bool:
    """Whether a text holds a name as it is, or nearly so. Both in lower case."""
    return likeness(text, name) >= CALLED


def span_of_name(text: str, name: str) -> tuple[int, int]:
    """The span (start, end) of a text that matches a name best. Both in lower case."""
    from rapidfuzz import fuzz

    found = fuzz.partial_ratio_alignment(name, text)
    return (found.dest_start, found.dest_end) if found else (0, 0)


def without_words(words: list[str | None], name: list[str | None]) -> list[str | None]:
    """Words of a question with None in the place of those of a name, each as often as the name has it."""
    counts = Counter(name)
    left: list[str | None] = []
    for word in words:
        left.append(None if counts[word] > 0 else word)
        counts[word] -= 1
    return left


class WordIndex:
    """Which texts hold which words; a word counts by its rarity (inverse document frequency)."""

    def __init__(self, texts: list[str]) -> None:
        places: dict[str, list[int]] = defaultdict(list)
        for place, text in enumerate(texts):
            for word in dict.fromkeys(words_of(text)):  # in an order that no hash decides
                places[word].append(place)
        self.places = {word: np.array(found) for word, found in places.items()}
        self.rarity = {word: math.log(1 + len(texts) / len(found)) for word, found in places.items()}
        # The rarest word of a text -> the place and the first word of each such text.
        self.by_rarest: dict[str, list[tuple[int, str]]] = defaultdict(list)
        for place, text in enumerate(texts):
            if words := words_of(text):
                self.by_rarest[self.rarest_of(words)].append((place, words[0]))
        self.known_word = Spelling(self.places.keys())
        self.size = len(texts)
        every = np.zeros(self.size)
        for word, found in self.places.items():
            every[found] += self.rarity[word]
        self.weights = np.maximum(every, np.finfo(float).tiny)  # of all words of each text

    def shared(self, text: str) -> "npt.NDArray[np.float64]":
        """The weight of the words that each text shares with another one. (texts,)"""
        total = np.zeros(self.size)
        for word in dict.fromkeys(self.known_word(word) for word in words_of(text)):
            if word is not None:
                total[self.places[word]] += self.rarity[word]
        return total

    def rarest_of(self, words: list[str]) -> str:
        """The rarest of some words of the texts."""
        return max(words, key=lambda word: self.rarity[word])

    def has_telling(self, text: str) -> "npt.NDArray[np.bool_]":
        """Whether another text has the first and the rarest word of each text. (texts,)"""
        known = map(self.known_word, words_of(text))
        words = {word for word in known if word is not None}
        found = np.zeros(self.size, dtype=bool)
        for word in words & self.by_rarest.keys():
            for place, first in self.by_rarest[word]:
                found[place] = first in words
        return found
