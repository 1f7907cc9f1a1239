"""How shoppers ask for the cheapest product of a kind, for a choice between two, and about one that they
name; see `data.questions.wordings`.
"""

CHEAPEST = [
    "What is your cheapest {thing}?",
    "cheapest {thing} you have",
    "Which {thing} is the cheapest?",
    "Show me the cheapest {thing}.",
    "I want the least expensive {thing} you sell.",
    "whats the cheapest {thing}",
    "Hi, which is your cheapest {thing}?",
    "Find me the {thing} with the lowest price.",
    "I have little money. What is the cheapest {thing}?",
    "do u have a cheap {thing}, the cheapest?",
    "I need the cheapest {thing} you can find.",
    "{thing}, the cheapest one pls",
    "Which is the least expensive {thing} here?",
    "My neighbour asks for your cheapest {thing}.",
    "What {thing} has the lowest price?",
]

CHOICE = [
    "Compare the {name} and the {other}.",
    "{name} or {other}?",
    "How do the {name} and the {other} differ?",
    "what is the difference between the {name} and the {other}",
    "Should I buy the {name} or the {other}?",
    "Which is better, the {name} or the {other}?",
    "Which is cheaper, the {name} or the {other}?",
    "{name} vs {other}",
    "Is the {name} cheaper than the {other}?",
    "Hi, help me choose: the {name} or the {other}?",
    "I cannot decide between the {name} and the {other}.",
    "the {name} and the {other}, which one would you take?",
    "{name} against {other}",
    "Does the {name} cost less than the {other}?",
    "Which of the two is the cheaper one, the {name} or the {other}?",
]

NAMED = [
    "Tell me about the {name}.",
    "Do you have the {name}?",
    "Show me the {name}.",
    "what can you tell me about the {name}",
    "I would like to buy the {name}.",
    "the {name} please",
    "Hi, do you sell the {name}?",
    "tell me more about the {name}",
    "I am interested in the {name}.",
    "details of the {name} pls",
    "I want the {name}.",
    "Please describe the {name}.",
    "do u have the {name}",
    "looking for the {name}",
    "Have you got the {name}?",
    "Can I see the {name}?",
    "What do you know about the {name}?",
    "Give me all details of the {name}.",
]
