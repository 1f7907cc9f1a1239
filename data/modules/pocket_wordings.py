"""How the texts of the pocket model word questions about rows of a catalogue: many cores of each kind of
question, between openers and closers, as people type them.

The wordings that only tests are asked in (`data.questions.wordings`) are not among them. Placeholders:
{name} and {other} products, {key} an attribute, {value} a value, {thing} goods, {limit} a price.
"""

import random

NOUNS = {  # what people call an attribute
    "Ideal For": ["audience", "group of people"],
    "Sleeve": ["sleeve", "sleeve style", "sleeves"],
    "Neck": ["neck", "neckline"],
    "Fabric": ["fabric", "material", "cloth"],
    "Pattern": ["pattern", "print", "design"],
    "Occasion": ["occasion", "event"],
    "Closure": ["closure", "fastening"],
    "Style Code": ["style code", "code"],
    "Price": ["price", "cost"],
}

VALUE = [
    "what {key} is the {name}",
    "the {key} of the {name} would be what?",
    "how about the {key} of the {name}?",
    "Which {key} is it for the {name}?",
    "{name} {key}?",
    "{key}: {name}",
    "I'd like to hear the {key} of the {name}.",
    "Give me the {key} of the {name}.",
    "Say which {key} the {name} has.",
    "My question is about the {name}: which {key}?",
    "The {name} here, and its {key}?",
    "tell me what {key} this {name} has",
    "read out the {key} of {name}",
    "find the {key} that the {name} has",
    "What does the row of the {name} say about {key}?",
    "for the {name} I want the {key}",
    "I like the {name}. Its {key}?",
    "What kind of {key} does the {name} have?",
    "the {name} has which {key}",
    "would like {key} of {name}",
]
OF_KEY = {  # questions for one attribute that do not name it
    "Ideal For": [
        "who is the {name} made for?",
        "which people wear the {name}",
        "for whom did they make the {name}?",
    ],
    "Fabric": [
        "what is the {name} made of",
        "Out of what is the {name} made?",
        "What did they sew the {name} from?",
        "what stuff is the {name}",
    ],
    "Price": [
        "how much is the {name}",
        "What does the {name} cost?",
        "{name}, how much",
        "What do I pay for the {name}?",
    ],
    "Length": ["how long is the {name}", "How far down does the {name} reach?"],
    "Closure": [
        "how does one close the {name}",
        "What keeps the {name} shut?",
        "How is the {name} fastened?",
    ],
    "Fit": ["how does the {name} sit", "Does the {name} fit tight or loose?", "how tight is the {name}"],
    "Pattern": ["what is on the {name}", "What does the {name} look like?", "which print is on the {name}"],
    "Occasion": [
        "when do people wear the {name}",
        "What is the {name} good for?",
        "to what could I wear the {name}",
    ],
    "Sleeve": ["how long are the sleeves of the {name}", "What are the arms of the {name} like?"],
    "Neck": ["what does the {name} look like at the neck", "how is the {name} cut at the top"],
    "Type": ["what kind of thing is the {name}", "What sort of garment is the {name}?"],
    "Style Code": ["which code do I order the {name} by", "under what code is the {name} listed?"],
}
AGAIN = [  # about the product of the turn before
    "and the {key} of it?",
    "now its {key}",
    "Then which {key}?",
    "the {key} too",
    "Fine, and what {key} is it?",
    "how about its {key}?",
    "its {key}?",
    "And which {key} would that be?",
    "what {key}, then",
]
SHELF = [
    "On what shelf does the {name} stand?",
    "{name}: where?",
    "Go to the {name}. Where is it?",
    "where does the {name} stand in the shop",
    "how do I get to the {name}",
    "Which part holds the {name}?",
    "where is the {name}",
]
YES_NO = [
    "The {key} of the {name} should be {value}.",
    "{name}: {value} for {key}, right?",
    "test whether the {name} has {value} for its {key}",
    "is the {name} {value}",
    "Is the {name} {value}?",
    "Tell me if the {name} is {value}.",
    "{name}, {value}?",
    "Has the {name} got the {key} {value}?",
    "does the {name} come in {value}",
    "I only want it if it is {value}: the {name}.",
    "The {name} is {value}, isn't it?",
    "would the {key} of the {name} be {value}",
    "So the {name} has {value} as {key}?",
    "somebody said {value} is the {key} of the {name}, true?",
]
TWO = [
    "The {name} and the {other}, their {key}.",
    "{name} / {other}: {key}?",
    "put {name} beside {other}: {key}",
    "Which {key} have the {name} and the {other}?",
    "what {key} are the {name} and the {other}",
    "{key} of the {name} and of the {other}",
    "the {name} or the {other}? I look at the {key}",
    "How does the {key} of the {name} compare with the {other}?",
    "I want to know the {key} of two: {name} and {other}",
    "Between the {name} and the {other}, what about {key}?",
    "is it the same {key} for the {name} and the {other}",
    "Both please, {key}: the {name}, the {other}.",
]
WANTED = [  # goods that a row may be
    "Which one is {thing}?",
    "I want {thing}.",
    "any of them {thing}",
    "{thing}",
    "{thing} please",
    "is there {thing}",
    "Have you {thing} here?",
    "I hope to find {thing}.",
    "my friend asks for {thing}",
    "We need {thing} for Saturday.",
    "what do you have in {thing}",
    "let me see {thing}",
    "give me {thing}",
    "I search {thing}",
    "It must be {thing}.",
    "anything like {thing}",
    "Does the shop sell {thing}?",
    "please find {thing} for me",
]
CHEAP = [
    "{thing} under {limit}",
    "Which {thing} costs less than {limit}?",
    "not more than {limit} for {thing}",
    "I have {limit} for {thing}.",
    "{thing} for {limit} at most",
    "give me {thing} below {limit}",
    "is there {thing} within {limit}",
    "{thing}, budget {limit}",
]
ANOTHER = [
    "What else is there but the {name}?",
    "Not the {name}, another one.",
    "Beside the {name}?",
    "what could replace the {name}",
    "I saw the {name}. Have you others like it?",
    "The {name} is gone. And now?",
    "something in place of the {name}",
    "like the {name} but not that one",
    "Is there a second choice after the {name}?",
    "what do I wear to the {name}",
    "What fits to the {name}?",
    "the {name} needs something with it",
    "What would you put with the {name}?",
    "which one looks good with the {name}",
    "I own the {name}. What do I add?",
]
WHOLE = [
    "Tell me all about the {name}.",
    "Show the row of the {name}",
    "{name}: what is known?",
    "describe the {name}",
]
HELLO = [
    "hallo",
    "Good day.",
    "Hi you",
    "thank you",
    "Thanks so much",
    "are you there?",
    "who are you",
    "Good night",
    "ok thanks",
]

GOODS = (  # that no row of clothes is
    "a bucket; a carpet; apples; a bicycle; a radio; fish food; a shovel; a mirror; bread; nails; a desk; "
    "a tractor; soap; a lamp; a boat; milk; a stove; pens; a clock; a tablet; a garden chair; a battery; "
    "rice; a toy car; a bed; shampoo; a spade; a train ticket; a balloon; glue; a printer; an oven; a "
    "pan; a dog lead; butter; a monitor; a saw; coffee beans; a candle; a ball; a helmet; a mattress; "
    "batteries; a screw; tea; a heater; a fan; a rug; a bird cage; salt"
).split("; ")

OPENERS = ["Hi, ", "hello ", "Excuse me, ", "So, ", "ok ", "Well, ", "Tell me: ", "pls ", "one thing, "]
CLOSERS = [" pls", " please", " thanks", " Thank you", " ?", "??", " :)", ", can you say", " thx"]
OPENED, CLOSED, LOWER, BARE, SWAPPED = 0.15, 0.12, 0.25, 0.3, 0.1  # shares of the questions


def noun(rng: random.Random, key: str) -> str:
    """What somebody calls an attribute."""
    return rng.choice(NOUNS.get(key, [key.lower()]))


def about(rng: random.Random, key: str, name: str) -> str:
    """A question for an attribute of a product."""
    wordings = VALUE
    if key in OF_KEY and rng.random() < 0.4:
        wordings = OF_KEY[key]
    return rng.choice(wordings).format(key=noun(rng, key), name=name)


def typed(rng: random.Random, question: str) -> str:
    """A question as people type it: some with polite words, in lower case, without a question mark or with
    two letters swapped.
    """
    if rng.random() < OPENED:
        question = rng.choice(OPENERS) + question
    if rng.random() < CLOSED:
        question += rng.choice(CLOSERS)
    if rng.random() < LOWER:
        question = question.lower()
    if rng.random() < BARE:
        question = question.rstrip("?.")
    if rng.random() < SWAPPED and len(question) > 8:
        place = rng.randrange(3, len(question) - 2)
        pair = question[place : place + 2]
        if pair.isalpha():
            question = question[:place] + pair[::-1] + question[place + 2 :]
    return question
