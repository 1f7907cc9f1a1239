"""How shoppers word what they ask: at least twelve wordings for each kind of question.

The last third of each list never occurs in training: the test split ``wordings`` is asked in these.
Placeholders: {name} a product, {key} an attribute, {value} and {features} values, {type} a kind of product,
{thing} a kind of product, of which a shop like this one may have none, {limit} a price.
"""

ATTRIBUTE = [
    "What is the {key} of the {name}?",
    "Can you tell me the {key} of the {name}?",
    "whats the {key} of the {name}",
    "{name}, which {key}?",
    "Hi, I would like to know the {key} of the {name}.",
    "Which {key} does the {name} have?",
    "{key} of {name}?",
    "Please tell me about the {key} of your {name}.",
    "I am looking at the {name}. What is its {key}?",
    "the {name}, what {key} does it have",
    "Do you know the {key} of the {name}?",
    "what {key} has the {name} got?",
    "need the {key} for the {name} pls",
    "Quick question about the {name}: its {key}?",
    "Could you check which {key} the {name} comes with?",
]

NOUNS = {  # what shoppers call an attribute
    "ideal for": "audience",
    "number of contents in sales package": "number of pieces",
    "neck": "neckline",
    "sleeve": "sleeve style",
    "shelf": "shelf",
}

COMMON_KEYS = ("fabric", "pattern", "occasion", "sleeve", "neck")  # that many catalogues have

NO_NOUNS = ("hooded", "reversible", "belt included")  # attributes that have published wordings alone

AUDIENCE = [
    "Which people is the {name} for?",
    "is the {name} for women or for men",
    "For which group of people is the {name}?",
    "who does the {name} suit",
    "Is the {name} for grown-ups or for children?",
    "the {name} is made for whom",
    "Who is the {name} for?",
    "Who is the {name} ideal for?",
    "For whom is the {name} meant?",
    "who can wear the {name}",
    "Hi, who would wear the {name}?",
    "{name}: for whom?",
    "Is there an age or a gender that the {name} is made for?",
    "I am looking at the {name}. Who is it for?",
    "Who do you sell the {name} to?",
    "whom is the {name} designed for?",
    "Tell me who should buy the {name}.",
    "the {name} - who is that meant for?",
]

SHELF = [
    "Where in the shop do I find the {name}?",
    "Which shelf holds the {name}?",
    "In which part of the shop is the {name}?",
    "where can i find the {name}",
    "Hi, which shelf is the {name} on?",
    "On which shelf do you keep the {name}?",
    "{name}: which shelf?",
    "I want to see the {name}. Which shelf?",
    "what shelf would the {name} be on?",
    "Could you point me to the shelf of the {name}?",
    "Where do you keep the {name}?",
    "the {name} - which shelf is that on?",
]

SEARCH = [
    "I am looking for something of the type {type}, {features}. What do you suggest?",
    "Do you have anything of the type {type}, {features}?",
    "Please show me {type}, {features}.",
    "i want {type} {features}",
    "looking for {type}: {features}",
    "Hi, do you sell {type} with {features}?",
    "Any {type} that is {features}?",
    "I need {type}. It should be {features}.",
    "show me something {features}, {type}",
    "Can you find me {type}: {features}?",
    "have you got {type} in {features}?",
    "{type}, {features}, do you have that?",
    "smth {features}, {type} pls",
    "My neighbour wants {type}, {features}. What would you recommend?",
    "I would like to buy {type}. Preferably {features}.",
]

YES_NO = [
    "Check for me: is the {key} of the {name} {value}?",
    "{name}: {key} is {value}, right?",
    "does the {name} come with {value} as its {key}",
    "So the {key} of the {name} would be {value}?",
    "somebody said the {name} has the {key} {value}, true?",
    "Is {value} what the {name} has for its {key}?",
    "Is the {key} of the {name} {value}?",
    "The {name}: is its {key} {value}?",
    "is {value} the {key} of the {name}",
    "Hi, is the {key} of the {name} {value} or not?",
    "Can you confirm that the {key} of the {name} is {value}?",
    "{name}, {key} {value}?",
    "Does the {name} have the {key} {value}?",
    "I was told that the {key} of the {name} is {value}. Is that right?",
    "Would you say the {key} of the {name} is {value}?",
    "the {name} - {key} is {value}, yes?",
    "Is it true that the {name} has {value} as its {key}?",
    "{key} of {name} = {value}, correct?",
]

FOLLOW_UP = [
    "And the {key}?",
    "And what {key} does it have?",
    "What about its {key}?",
    "ok, and the {key}",
    "Thanks. Which {key} does it have?",
    "and {key}?",
    "What is its {key}?",
    "I see. Can you tell me the {key}, too?",
    "what {key} has it got",
    "Also, the {key} please.",
    "Good. I need to know the {key} as well.",
    "And its {key}, what is that?",
    "the {key} of it would be?",
    "One more thing: the {key}?",
    "Do you know the {key} of that one?",
]

COMPARISON = [
    "How does the {key} of the {name} compare with that of the {other}?",
    "I look at two, the {name} and the {other}. Their {key}?",
    "{key}: {name} versus {other}",
    "is it the same {key} for the {name} and the {other}",
    "Between the {name} and the {other}, what about the {key}?",
    "tell me how the {name} and the {other} compare in {key}",
    "What sets the {name} apart from the {other} in {key}?",
    "difference in {key} between the {name} and the {other}",
    "{name} against {other}: what {key} do they have?",
    "I am torn between the {name} and the {other}. Their {key}?",
    "What is the {key} of the {name}, and of the {other}?",
    "Compare the {key} of the {name} and the {other}.",
    "{name} or {other}: which {key} do they have?",
    "whats the {key} of the {name} and the {other}",
    "Hi, how do the {name} and the {other} differ in {key}?",
    "I cannot choose between the {name} and the {other}. Which {key} do they have?",
    "the {name} vs the {other}, {key}?",
    "Do the {name} and the {other} have the same {key}?",
    "Tell me the {key} of both: the {name} and the {other}.",
    "{key} of {name} compared to {other}?",
    "Please compare the {name} with the {other} by {key}.",
    "which {key} has the {name}, and which the {other}?",
    "Is the {key} of the {name} another than that of the {other}?",
    "{name} / {other}, {key} of each pls",
    "Put the {name} and the {other} side by side: what {key} do they have?",
    "By {key}, how do the {name} and the {other} differ?",
    "{name}, {other}: the {key} please, of both",
]

BUDGET = [
    "Do you have {thing} under {limit}?",
    "I am looking for {thing} below {limit}.",
    "Show me {thing} for less than {limit}.",
    "{thing} under {limit}",
    "any {thing} up to {limit}",
    "Hi, I need {thing}, my budget is {limit}.",
    "I want {thing}. It should cost at most {limit}.",
    "looking for {thing} within {limit}",
    "Can you find me {thing}, no more than {limit}?",
    "What {thing} do you have below {limit}?",
    "{thing}, max {limit}, do you have that?",
    "My neighbour wants {thing} and has a budget of {limit}.",
    "smth like {thing} cheaper than {limit}",
    "I can spend up to {limit} on {thing}. What would you recommend?",
    "need {thing} pls, maximum {limit}",
]

GREETING = [  # and what no catalogue says
    "hi there",
    "Good day!",
    "hello bot",
    "thx",
    "Thanks for that.",
    "Who are you?",
    "hi",
    "Hello!",
    "hey there",
    "Good morning!",
    "Hi, are you a bot?",
    "Thank you very much!",
    "thanks a lot",
    "Can you help me?",
    "Do you deliver to my city?",
    "What is your return policy?",
    "how can i pay",
    "where is my order",
    "Can I pay with a credit card?",
    "do u have free shipping",
    "hello, is anybody there?",
    "Good evening.",
    "hiya",
    "Many thanks for your help!",
    "Hey, who am I talking to?",
    "Good afternoon!",
    "bye, thanks",
    "How long does delivery take?",
    "Can I talk to a real person?",
    "what payment do you take",
]

# Before and after any question.
BEFORE = ["Hi! ", "Hello, ", "Hey, ", "Quick question: ", "Sorry to bother you. ", "ok, "]
AFTER = [" please", " pls", " thx", " Thanks!", " Thank you.", " asap"]

# For a thing that the shop may have or not.
WISH = [
    "{thing} please",
    "What {thing} do you have?",
    "Do you have {thing}?",
    "I am looking for {thing}. What do you suggest?",
    "Do you sell {thing}?",
    "do u have {thing}",
    "Hi, I need {thing}.",
    "Can you show me {thing}?",
    "Where do I find {thing}?",
    "i want to buy {thing}",
    "Any {thing} in your shop?",
    "Please suggest {thing}.",
    "got any {thing}?",
    "My neighbour wants {thing}. What would you recommend?",
    "{thing}, do you have that?",
    "need {thing} pls",
    "Could I order {thing} from you?",
]

# What few shops sell together. Goods whose last word is in the catalogue are not asked for.
THINGS = (
    "a mountain "
    "bike; a car battery; a coffee machine; fresh strawberries; a guitar; an aquarium; a tent; a "
    "novel; headphones; printer paper; a drill; a hammock; cat litter; a microwave oven; a chess set; "
    "lawn seeds; a smartphone; a ladder; olive oil; a piano; toothpaste; a bookshelf; a lawn mower; "
    "paint brushes; a telescope; baby milk; a fridge; fishing rods; a violin; light bulbs; a "
    "wheelbarrow; a vacuum cleaner; a sofa; roller skates; a camera; a chainsaw; honey; a router; a "
    "trampoline; cement; a keyboard; tomato plants; a surfboard; car tyres; a plane ticket; a "
    "drone; a washing machine; a grill; a skateboard; cough syrup; a snow shovel; a kettle; bird "
    "seed; a rocking chair"
).split("; ")
