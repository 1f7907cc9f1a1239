"""What a question wants, by its words alone: other products, a search, a price limit, an order of prices, or
just to say hello.
"""

import re
from collections.abc import Iterable
from typing import NamedTuple

from data.questions.words import nearest_word

OUTFIT = (
    r"\b(?:go(?:es)? (?:well |nicely |together )?with|(?:wear|style) (?:it |this )?with|outfit|match(?:es)?"
    r"|combine|pairs? (?:it |this |well |nicely )?with|looks? (?:good|nice|great) (?:together )?with)\b"
    r"|what can i wear"
)
ALTERNATIVE = (
    r"\b(?:instead|alternatives?|similar|comparable|what else"
    r"|(?:any|some)thing (?:else|cheaper|(?:\w+ )?like)|(?:a|any) cheaper one|cheaper (?:ones|options?)"
    r"|too (?:expensive|pricey|costly|dear)"
    r"|\w+ ones|other (?:than|options?)|replac(?:e|es|ement)|rather than|in place of|substitutes?)\b"
)
SEARCH = (
    r"\b(?:anything|something|smth|looking for|search(?:ing)? for|show me|find me|(?:need|want)(?! to know)"
    r"|any|cheapest|buy|recommend|suggest|do (?:you|u) (?:have|sell)|have you got"
    r"|where (?:do|can) i (?:find|get))\b"
)
GREETING = (
    r"^\W*(?:(?:ok(?:ay)?|great|perfect|cool|no)\W+)?(?:hi|hello|hey|hiya|howdy"
    r"|good (?:morning|afternoon|evening|day)|(?:many )?thanks?|thx|bye)\b"
    r"|^\W*(?:(?:so|and|hm+) )?(?:who|what) (?:are|r) (?:you|u)\b"
    r"|\b(?:are|r) (?:you|u) (?:an? |really )?(?:\w+ )?(?:bot|robot|human|real|machine|ai|computer|person)\b"
)
# What a shop's people know and its catalogue does not.
SERVICE = (
    r"\b(?:return(?:s| policy| it| them| this)|refunds?|deliver\w*|ship(?:s|ping|ped|ment)?|courier|payment"
    r"|how (?:can|could|do|should) (?:i|we) pay(?! for)|pay (?:by|with|online)|cash on|credit cards?"
    r"|debit card|invoice|my order|order status"
    r"|opening (?:hours|times)|customer (?:care|service|support)|phone number|complain\w*|cancel|loyalty"
    r"|sign up|account|human|real person)\b"
)
# A price: its currency, its digits, and "k" for thousands; no number of years, pieces or centimetres.
AMOUNT = (
    r"(?:[^\W\d]{1,3}\.?\s*|[^\w\s]\s*)?(\d[\d,]*(?:\.\d+)?(?:\s?k\b)?)(?![\d,.]*\d)"
    r"(?!\s*(?:years?|yrs?|yo\b|months?|days?|inch(?:es)?|cm|mm|kg|gm|litres?|pieces?|pcs|people|persons?))"
)
CURRENCY = r"(?:rs\b|rupees?|inr|bucks|euros?|eur|dollars?|usd|pounds?|gbp|[€$£₹])"
BUDGET = (
    r"\b(?:under|below|(?:less|lower) than|up ?to|at most|(?:no|not) more than|not over|cheaper than|within"
    r"|max(?:imum)?(?: of)?|not above"
    rf"|budget(?: of| is)?)\s+{AMOUNT}"
)
AT_LEAST = (
    r"\b(?:over|above|(?:more|higher) than|at least|no less than|starting (?:from|at)|min(?:imum)?(?: of)?)"
    rf"\s+{AMOUNT}"
)
BETWEEN = rf"\b(?:between|from)\s+{AMOUNT}\s*(?:and|to|till|-|\u2013)\s*{AMOUNT}"
RANGE = rf"\b{AMOUNT}\s*(?:to|-|\u2013)\s*{AMOUNT}\s*{CURRENCY}"  # "300 to 600 rupees"
ABOUT = rf"\b(?:around|about|roughly|approx(?:imately|\.)?)\s+{AMOUNT}"
NEAR = 0.2  # "about 500": a price from 400 to 600
CHEAPEST = r"\b(?:cheapest|least expensive|lowest price)\b"
DEAREST = r"\bmost expensive\b"
# To what was named before: in "jackets that are warm" there is none.
REFERENCE = (
    r"\b(?:it|its|this|these|those|they|them|one)\b"
    r"|(?:^\W*|\b(?:about|and|at|but|buy|can|did|do|does|for|from|has|in|is|like|not|of|ok|on|so|take|than|to"
    r"|want|was|whats?|will|with|would)\W+)that\b"
)
CHEAPER = r"\bcheaper\b|\btoo (?:expensive|pricey|costly|dear)\b"
BEST_RATED = (
    r"\b(?:(?:most )?popular|best[ -]?sell\w+|(?:best|top|highest|most highly)[ -]rated"
    r"|(?:best|highest) (?:ratings?|reviews?))\b"
)
OF_PRICES = ("cheapest", "expensive", "lowest")  # words of both that may be misspelt
OTHERS = "alternative alternatives instead similar outfit match matches combine replace replacement".split()
# Words of BUDGET, BETWEEN and AT_LEAST that may be misspelt.
LIMITS = ("under", "below", "cheaper", "within", "maximum", "budget", "between", "above", "around")
REFUSAL = (  # before a value
    r"\b(?:not|no|without|except|non|(?:don'?t|do not|doesn'?t|does not) (?:like|want|wear))"
    r"[ -](?:an? |the |in |of )?"
    r"|\b(?:hates?|dislikes?) (?:\w+ )?"  # polka dots
)
EITHER = (
    r"(?:\s+or|\s*/)\s+(?:an? |the |in |of |some |maybe |even )*"  # between values of which one is enough
)
BEFORE_NUMBER = r"[^\W\d]+(?=\s+(?:[^\W\d]{1,3}\.?\s*|[^\w\s]\s*)?\d)"


class PriceLimits(NamedTuple):
    """What a price must be, at least and at most; None: no such limit."""

    least: float | None
    most: float | None

    def __bool__(self) -> bool:
        return self != NO_LIMITS


NO_LIMITS = PriceLimits(None, None)


def without_budget(question: str) -> tuple[str, PriceLimits]:
    """(a question in lower case without its limits of the price, the limits)

    "under Rs. 1,500", "between 300 and 600", "over 2k" and "around 500" are limits, also where their word is
    misspelt.
    """
    spelled = re.sub(BEFORE_NUMBER, lambda word: nearest_word(word[0], LIMITS) or word[0], question)
    for pattern in (BETWEEN, RANGE):
        if found := re.search(pattern, spelled):
            return re.sub(pattern, " ", spelled), PriceLimits(*sorted(map(_amount, found.groups())))
    if found := re.search(ABOUT, spelled):
        middle = _amount(found[1])
        return re.sub(ABOUT, " ", spelled), PriceLimits((1 - NEAR) * middle, (1 + NEAR) * middle)
    if found := re.search(BUDGET, spelled):
        return re.sub(BUDGET, " ", spelled), PriceLimits(None, _amount(found[1]))
    if found := re.search(AT_LEAST, spelled):
        return re.sub(AT_LEAST, " ", spelled), PriceLimits(_amount(found[1]), None)
    return question, NO_LIMITS


def wishes_without_value(question: str) -> list[str]:
    """What a question in lower case asks of products beside their values, in its words: "under 500",
    "popular".
    """
    limits = without_budget(question)[1]
    patterns = [*([BETWEEN, RANGE, ABOUT, BUDGET, AT_LEAST] if limits else []), BEST_RATED]
    found = [re.search(pattern, question) for pattern in patterns]
    return [match[0] for match in found if match][:1]


def _amount(digits: str) -> float:
    """'1,500' -> 1500.0, '2k' -> 2000.0"""
    number = digits.replace(",", "").replace(" ", "")
    return float(number.removesuffix("k")) * (1000 if number.endswith("k") else 1)


def price_order(question: str) -> int:
    """1 for a question in lower case that asks for the cheapest product, -1 for the dearest, else 0."""
    spelled = re.sub(r"[^\W\d_]{5,}", lambda word: nearest_word(word[0], OF_PRICES) or word[0], question)
    if re.search(CHEAPEST, spelled):
        return 1
    return -1 if re.search(DEAREST, spelled) else 0


def only_greets(question: str) -> bool:
    """Whether a question in lower case says hello or thanks and looks for nothing, or asks for what no
    catalogue says, such as the shop's return policy.
    """
    is_greeting = re.search(GREETING, question) and not re.search(SEARCH, question)
    return bool(is_greeting or re.search(SERVICE, question))


def goods_wanted(question: str) -> str:
    """A question in lower case without what it refuses ("a warm jacket, but not black") and without words
    for ratings.
    """
    return re.sub(rf"(?:{REFUSAL})\w+|{BEST_RATED}", " ", question)


def either_of(values: Iterable[str], question: str) -> list[list[str]]:
    """The values that a question in lower case names, in its order, with those together of which one is
    enough: "blazers or jackets", "in silk or satin".
    """
    if not re.search(EITHER, question):
        return [[value] for value in values]
    groups = list[list[str]]()
    for value in values:
        before = groups[-1][-1] if groups else ""
        is_other = re.search(rf"\b{re.escape(before)}(?:e?s)?{EITHER}{re.escape(value)}", question)
        if before and is_other:
            groups[-1].append(value)
        else:
            groups.append([value])
    return groups


def is_refused(value: str, question: str) -> bool:
    """Whether a question in lower case asks for what lacks a value: "not printed", "without a hood"."""
    return re.search(rf"(?:{REFUSAL}){re.escape(value)}\b", question) is not None


def wish_for_others(question: str) -> str | None:
    """`OUTFIT` or `ALTERNATIVE`, where a question in lower case asks for products other than the one that it
    names, also misspelt ("an otufit"); else None.
    """
    spelled = re.sub(r"[^\W\d_]{5,}", lambda word: nearest_word(word[0], OTHERS) or word[0], question)
    return next((wish for wish in (OUTFIT, ALTERNATIVE) if re.search(wish, spelled)), None)
