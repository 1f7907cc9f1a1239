"""How shoppers ask for an attribute without its name: "how much is the ...?" for a price.

As in `data.questions.wordings`, the last third of each list never occurs in training. {name}: a product.
"""

# Attribute -> questions, for a share of the questions about that attribute.
KEY_WORDINGS = {
    "fabric": [
        "What is the {name} made of?",
        "what material is the {name}",
        "whats the {name} made out of",
        "Can you tell me what the {name} consists of?",
        "the {name}: what cloth is it?",
        "which material did you use for the {name}",
        "Hi, what stuff is the {name} sewn from?",
        "is the {name} cotton or what is it",
        "What do I wear on my skin with the {name}?",
    ],
    "price": [
        "How much is the {name}?",
        "what does the {name} cost",
        "{name}, how much?",
        "What is the {name} priced at?",
        "what do i pay for the {name}",
        "Hi, how expensive is the {name}?",
        "Whats the damage for the {name}?",
        "What would the {name} cost me?",
        "the {name} costs what",
    ],
    "length": [
        "How long is the {name}?",
        "how long would the {name} be on me",
        "Where does the {name} end?",
        "Down to where is the {name}?",
        "Does the {name} go over the knee?",
        "how far down does the {name} go",
    ],
    "closure": [
        "How does the {name} close?",
        "how do i close the {name}",
        "What kind of fastening has the {name}?",
        "Does the {name} have a zip or buttons?",
        "How do you do up the {name}?",
        "what holds the {name} together",
    ],
    "fit": [
        "How does the {name} fit?",
        "is the {name} tight or loose",
        "How is the {name} cut?",
        "Is the {name} narrow or wide?",
        "how close does the {name} sit",
        "What cut does the {name} have?",
    ],
    "pattern": [
        "What is printed on the {name}?",
        "which print is on the {name}",
        "What does the {name} look like?",
        "what design does the {name} have",
        "Is there a print on the {name}, and which?",
        "What can I see on the {name}?",
    ],
    "occasion": [
        "When would I wear the {name}?",
        "what do people wear the {name} for",
        "What is the {name} good for?",
        "To what could I wear the {name}?",
        "on what days does one wear the {name}",
        "Where can I go in the {name}?",
    ],
    "sleeve": [
        "How long are the sleeves of the {name}?",
        "what are the sleeves of the {name} like",
        "sleeves on the {name}?",
        "Which kind of sleeves does the {name} have?",
        "does the {name} have long or short sleeves",
        "How far do the arms of the {name} go?",
    ],
    "neck": [
        "What kind of neck does the {name} have?",
        "what does the {name} look like at the neck",
        "How is the collar of the {name}?",
        "neck of the {name}: round or what",
        "What shape is the neck of the {name}?",
        "which collar has the {name} got",
    ],
}
