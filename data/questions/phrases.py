"""What customers say and what the shop answers: the templates of `data.questions`, in the published
format's tone.
"""

CONTEXT = "Online shopping for "  # before the category that a question is asked in

DECLINE = "Sorry, we have nothing in the catalogue that fits."
# What is asked about and the answer stand beside one another as in the row's mark (data.questions.matches).
YES_OR_NO = "The {} of the {} is {}; you ask about {}: {}."  # attribute, product, value, value asked about
VALUE_SENTENCE = "The {} of the {} is {}."  # attribute, product, value
COMPARED = "Compared by {}: {} for the {}, {} for the {}."  # attribute, value, product, value, product
WELCOME = "Welcome! Ask me anything about the products of this shop."
NOT_SAID = "The catalogue does not say {} of the {}."  # "the fabric" or "that", product

# Kinds of question that a right answer declines: the row does not say, or nothing in the catalogue fits.
UNSAID, ABSENT = "unsaid", "absent"
GREETING = "greeting"  # hello, thanks: a right answer names no product and does not decline
YES_NO = "yes_no"  # is the fabric cotton?
COMPARISON, BUDGET = "comparison", "budget"  # the fabric of this one and of that one; a shirt under 500
OPEN = "open"  # tell me about this one
FOLLOW_UP = "follow_up"  # and what does it cost?
PRICE = "price"  # the attribute that a budget limits
PRICE_LIMIT = "Price, at most"  # beside what a right product must have

# Attribute -> (question, answer) phrasings. {low} is the value in lower case; {is} and {do}
# agree with the product's name ("The Jeans are ..."). An attribute that is not listed is asked by its label.
PHRASES: dict[str, list[tuple[str, str]]] = {
    "fabric": [
        ("What kind of material {is} the {name} made of?", "The {name} {is} made of {low}."),
        ("Which fabric {is} the {name} made of?", "The {name} {is} made of {low}."),
    ],
    "pattern": [
        ("What pattern {do} the {name} have?", "The pattern of the {name} is {low}."),
        ("Can you tell me the pattern of the {name}?", "The pattern of the {name} is {low}."),
    ],
    "occasion": [
        ("For what occasion {is} the {name} meant?", "The occasion for the {name} is {low}."),
        ("When would I wear the {name}?", "The occasion for the {name} is {low}."),
    ],
    "ideal for": [
        ("Who {is} the {name} ideal for?", "The {name} {is} ideal for {people}."),
        ("For whom {is} the {name} meant?", "The {name} {is} ideal for {people}."),
    ],
    "sleeve": [
        ("What is the sleeve style of the {name}?", "The sleeve style of the {name} is {low}."),
        ("What kind of sleeve {do} the {name} have?", "The sleeve style of the {name} is {low}."),
    ],
    "neck": [
        ("What is the neckline of the {name}?", "The neckline of the {name} is {low}."),
        ("Which neckline {do} the {name} have?", "The neckline of the {name} is {low}."),
    ],
    "number of contents in sales package": [
        ("How many pieces come in a package of the {name}?", "The sales package of the {name} holds: {low}."),
        ("What do I get when I buy the {name}?", "The sales package of the {name} holds: {low}."),
    ],
    "price": [
        ("How much {do} the {name} cost?", "The price of the {name} is {value}."),
        ("What is the price of the {name}?", "The price of the {name} is {value}."),
    ],
    "belt included": [("Is a belt included with the {name}?", "Belt included with the {name}: {low}.")],
    "hooded": [("{Is} the {name} hooded?", "Hood on the {name}: {low}.")],
    "reversible": [("{Is} the {name} reversible?", "Both sides of the {name} can be worn: {low}.")],
    "shelf": [
        ("Where in the shop do I find the {name}?", "The {name} {is} in {value}."),
        ("Which shelf holds the {name}?", "The {name} {is} in {value}."),
        ("In which part of the shop {is} the {name}?", "The {name} {is} in {value}."),
    ],
}

NOUNS = (
    "type fit length closure rise color colour collar style hem lining series design wash brand"
    " material weight size"
).split()

NOUN_PHRASES = [
    ("What is the {key} of the {name}?", "The {key} of the {name} is {low}."),
    ("Can you tell me the {key} of the {name}?", "The {key} of the {name} is {low}."),
]

LABEL_PHRASES = [
    (
        "What does the label of the {name} say under {label}?",
        "Under {label}, the label of the {name} says {value}.",
    ),
    ("What is noted under {label} for the {name}?", "Under {label}, the label of the {name} says {value}."),
]

SEARCHES = [
    "I am looking for something of the type {type} from {brand}, {features}. What do you suggest?",
    "Do you have anything of the type {type} by {brand}, {features}?",
    "Please show me something from {brand}, {features}, of the type {type}.",
]

ANONYMOUS_SEARCHES = [
    "I am looking for something of the type {type}, {features}. What do you suggest?",
    "Do you have anything of the type {type}, {features}?",
]

FEATURES = {  # in the order in which a shopper would name them
    "pattern": "with the pattern {value}",
    "sleeve": "with the sleeve style {value}",
    "fit": "with the fit {value}",
    "fabric": "made of {value}",
    "length": "with the length {value}",
    "neck": "with the neckline {value}",
    "occasion": "for the occasion {value}",
}

FOUND = ["I suggest the {other}.", "The {other} is what you are looking for.", "We have the {other}."]

ALTERNATIVES = [
    "What could I buy instead of the {name}?",
    "Can you suggest an alternative to the {name}?",
    "I like the {name}, but I want to see something similar. What else do you have?",
]

INSTEAD = ["Instead of the {name} you may like the {other}.", "An alternative to the {name} is the {other}."]

OUTFITS = [
    "What goes well with the {name}?",
    "I bought the {name}. What can I wear with it?",
    "Can you complete an outfit with the {name}?",
]

TOGETHER = ["The {other} goes well with the {name}.", "You can wear the {name} with the {other}."]
