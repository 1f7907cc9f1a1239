"""What a question wants, by its words alone: other products, a search, a price limit, an order of prices, or
just to say hello.
"""

import re

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
    r"|other (?:than|options?)|replac(?:e|es|ement)|rather than|in place of|substitutes?)\b"
)
SEARCH = (
    r"\b(?:anything|something|smth|looking for|search(?:ing)? for|show me|find me|(?:need|want)(?! to know)"
    r"|any|cheapest|buy|recommend|suggest|do (?:you|u) (?:have|sell)|have you got"
    r"|where (?:do|can) i (?:find|get))\b"
)
GREETING = (
    r"^\W*(?:(?:ok(?:ay)?|great|perfect|cool|no)\W+)?(?:hi|hello|hey|hiya|howdy"
    r"|good (?:morning|afternoon|evening|day)|(?:many )?thanks?|thx|bye)\b"
)
# What a shop's people know and its catalogue does not.
SERVICE = (
    r"\b(?:return(?:s| policy| it| them| this)|refunds?|deliver\w*|ship(?:s|ping|ped|ment)?|courier|payment"
    r"|how (?:can|could|do|should) (?:i|we) pay(?! for)|pay (?:by|with|online)|cash on|credit cards?"
    r"|debit card|invoice|my order|order status"
    r"|opening (?:hours|times)|customer (?:care|service|support)|phone number|complain\w*|cancel|loyalty"
    r"|sign up|account|human|real person)\b"
)
BUDGET = (
    r"\b(?:under|below|(?:less|lower) than|up ?to|at most|(?:no|not) more than|not over|cheaper than|within"
    r"|max(?:imum)?(?: of)?"
    r"|budget(?: of| is)?)"
    r"\s+(?:[^\W\d]{1,3}\.?\s*|[^\w\s]\s*)?(\d[\d,]*(?:\.\d+)?)"
)
CHEAPEST = r"\b(?:cheapest|least expensive|lowest price)\b"
DEAREST = r"\bmost expensive\b"
REFERENCE = r"\b(?:it|its|this|that|these|those|they|them|one)\b"  # to what was named before
CHEAPER = r"\bcheaper\b|\btoo (?:expensive|pricey|costly|dear)\b"
BEST_RATED = r"\b(?:(?:best|top|highest|most highly)[ -]rated|(?:best|highest) (?:ratings?|reviews?))\b"
OF_PRICES = ("cheapest", "expensive", "lowest")  # words of both that may be misspelt
OTHERS = "alternative alternatives instead similar outfit match matches combine replace replacement".split()
LIMITS = ("under", "below", "cheaper", "within", "maximum", "budget")  # words of BUDGET that may be misspelt
REFUSAL = r"\b(?:not|no|without|except|non)[ -](?:an? |the |in |of )?"  # before a value
BEFORE_NUMBER = r"[^\W\d]+(?=\s+(?:[^\W\d]{1,3}\.?\s*|[^\w\s]\s*)?\d)"


def without_budget(question: str) -> tuple[str, float | None]:
    """(a question in lower case without its price limit, the limit or None)

    "under Rs. 1,500" is a limit, also where its word is misspelt.
    """
    spelled = re.sub(BEFORE_NUMBER, lambda word: nearest_word(word[0], LIMITS) or word[0], question)
    found = re.search(BUDGET, spelled)
    if not found:
        return question, None
    return re.sub(BUDGET, " ", spelled), float(found[1].replace(",", ""))


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


def is_refused(value: str, question: str) -> bool:
    """Whether a question in lower case asks for what lacks a value: "not printed", "without a hood"."""
    return re.search(rf"{REFUSAL}{re.escape(value)}\b", question) is not None


def wish_for_others(question: str) -> str | None:
    """`OUTFIT` or `ALTERNATIVE`, where a question in lower case asks for products other than the one that it
    names, also misspelt ("an otufit"); else None.
    """
    spelled = re.sub(r"[^\W\d_]{5,}", lambda word: nearest_word(word[0], OTHERS) or word[0], question)
    return next((wish for wish in (OUTFIT, ALTERNATIVE) if re.search(wish, spelled)), None)
