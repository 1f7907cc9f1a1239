"""Words of an invented clothing shop: garments, attribute values, and fresh brand names drawn by a seeded
generator.
"""

import random
from dataclasses import dataclass

GENDERS = {"Women's Clothing": "Women's", "Men's Clothing": "Men's", "Kids' Clothing": "Girl's"}

PATTERNS = [
    "Solid",
    "Printed",
    "Striped",
    "Checkered",
    "Self Design",
    "Embroidered",
    "Floral Print",
    "Polka Print",
]
PATTERNS += ["Graphic Print", "Embellished", "Geometric Print", "Animal Print"]
FABRICS = [
    "Cotton",
    "Polyester",
    "Viscose",
    "Georgette",
    "Crepe",
    "Rayon",
    "Denim",
    "Linen",
    "Cotton Lycra",
    "Cotton Blend",
]
FABRICS += ["Silk", "Chiffon", "Net", "Wool", "Fleece", "Acrylic", "Satin", "Nylon", "Polycotton", "Velvet"]
OCCASIONS = ["Casual", "Formal", "Party", "Festive", "Sports", "Lounge Wear", "Beach Wear", "Casual, Party"]
SLEEVES = [
    "Full Sleeve",
    "Half Sleeve",
    "Sleeveless",
    "3/4 Sleeve",
    "Short Sleeve",
    "Cap Sleeve",
    "Roll-up Sleeve",
]
NECKS = [
    "Round Neck",
    "V-neck",
    "Boat Neck",
    "High Neck",
    "Square Neck",
    "Turtle Neck",
    "Mandarin Collar",
    "Scoop Neck",
]
FITS = ["Regular Fit", "Slim Fit", "Skinny Fit", "Relaxed Fit", "Loose Fit"]
RISES = ["Mid Rise", "High Rise", "Low Rise"]
LENGTHS = ["Mini/Short", "Midi/Knee Length", "Maxi/Full Length", "Above Knee"]
CLOSURES = ["Zipper", "Button", "Elastic", "Drawstring", "Buckle", "Hook"]
COLOURS = [
    "Red",
    "Blue",
    "Black",
    "White",
    "Green",
    "Yellow",
    "Pink",
    "Grey",
    "Navy",
    "Maroon",
    "Beige",
    "Purple",
]
CARES = [
    "Hand Wash",
    "Machine Wash",
    "Gentle Machine Wash",
    "Dry Clean Only",
    "Do Not Bleach",
    "Wash with Similar Colors",
]

TOP = ("Pattern", "Sleeve", "Fabric", "Neck", "Occasion")
BOTTOM = ("Pattern", "Fabric", "Fit", "Closure", "Occasion")
DRESS = ("Pattern", "Length", "Sleeve", "Fabric", "Occasion")
LAYER = ("Pattern", "Sleeve", "Fabric", "Closure", "Occasion")

VALUES = {
    "Pattern": PATTERNS,
    "Fabric": FABRICS,
    "Occasion": OCCASIONS,
    "Sleeve": SLEEVES,
    "Neck": NECKS,
    "Fit": FITS,
    "Rise": RISES,
    "Length": LENGTHS,
    "Closure": CLOSURES,
    "Color": COLOURS,
}


@dataclass(frozen=True)
class Garment:
    """A type of garment: the word for it, its category below the gender's, and the attributes that
    describe it.
    """

    type: str
    level_3: str
    level_4: str
    attributes: tuple[str, ...]


GARMENTS = {
    "Women's Clothing": [
        Garment("Top", "Western Wear", "Shirts, Tops & Tunics", TOP),
        Garment("Tunic", "Western Wear", "Shirts, Tops & Tunics", TOP),
        Garment("A-line Dress", "Western Wear", "Dresses & Skirts", DRESS),
        Garment("Maxi Dress", "Western Wear", "Dresses & Skirts", DRESS),
        Garment("Skinny Jeans", "Western Wear", "Jeans", BOTTOM),
        Garment("Leggings", "Western Wear", "Leggings & Jeggings", BOTTOM),
        Garment("Kurti", "Ethnic Wear", "Kurtas & Kurtis", TOP),
        Garment("Anarkali Kurta", "Ethnic Wear", "Kurtas & Kurtis", TOP),
        Garment("Patiala Salwar", "Ethnic Wear", "Ethnic Bottoms", BOTTOM),
        Garment("Cardigan", "Winter & Seasonal Wear", "Sweaters & Pullovers", LAYER),
        Garment("Winter Jacket", "Winter & Seasonal Wear", "Jackets", LAYER),
        Garment("Track Pants", "Sports & Gym Wear", "Track Pants", BOTTOM),
        Garment("Cycling Shorts", "Sports & Gym Wear", "Shorts", BOTTOM),
        Garment("Formal Waistcoat", "Formal Wear", "Waistcoats", LAYER),
    ],
    "Men's Clothing": [
        Garment("Casual Shirt", "Shirts", "Casual & Party Wear Shirts", TOP),
        Garment("Formal Shirt", "Shirts", "Formal Shirts", TOP),
        Garment("Polo T-Shirt", "T-Shirts", "Polo T-Shirts", TOP),
        Garment("Graphic T-Shirt", "T-Shirts", "Round Neck T-Shirts", TOP),
        Garment("Jeans", "Jeans", "Slim Fit Jeans", BOTTOM),
        Garment("Chinos", "Trousers", "Casual Trousers", BOTTOM),
        Garment("Pleated Trousers", "Trousers", "Formal Trousers", BOTTOM),
        Garment("Cargo Shorts", "Cargos, Shorts & 3/4ths", "Shorts", BOTTOM),
        Garment("Bomber Jacket", "Winter & Seasonal Wear", "Jackets", LAYER),
        Garment("Sweatshirt", "Winter & Seasonal Wear", "Sweatshirts", LAYER),
        Garment("Blazer", "Suits & Blazers", "Blazers", LAYER),
    ],
    "Kids' Clothing": [
        Garment("Top", "Girls Wear", "T-Shirts & Tops", TOP),
        Garment("Frock", "Girls Wear", "Dresses & Skirts", DRESS),
        Garment("Layered Dress", "Girls Wear", "Dresses & Skirts", DRESS),
        Garment("Jeggings", "Girls Wear", "Leggings & Jeggings", BOTTOM),
        Garment("Sweater", "Girls Wear", "Winter & Seasonal Wear", LAYER),
    ],
}

ONSETS = [
    "b",
    "bh",
    "ch",
    "d",
    "dr",
    "f",
    "g",
    "gr",
    "h",
    "j",
    "k",
    "kr",
    "l",
    "m",
    "n",
    "p",
    "pr",
    "r",
    "s",
    "sh",
    "st",
]
ONSETS += ["t", "tr", "v", "w", "y", "z", "sk", "th", "cl"]
VOWELS = ["a", "e", "i", "o", "u", "aa", "ee", "oo", "ia", "ai", "ou"]
CODAS = ["", "", "", "n", "r", "l", "s", "m", "t", "k", "sh", "nd", "x"]
SUFFIXES = [
    "Fashion",
    "Clothing",
    "Street",
    "Wear",
    "Collection",
    "& Co",
    "Studio",
    "Life",
    "India",
    "Trends",
]


def fresh_word(rng: random.Random) -> str:
    """A pronounceable word that no dictionary holds, of one to three syllables, such as 'Shaikora'."""
    syllables = (
        rng.choice(ONSETS) + rng.choice(VOWELS) + rng.choice(CODAS)
        for _ in range(rng.choice([1, 2, 2, 2, 3]))
    )
    word = "".join(syllables)
    return word.upper() if rng.random() < 0.12 else word.capitalize()


def fresh_brand(rng: random.Random) -> str:
    """A brand of one or two words, such as 'Shaikora' or 'Tapyti Studio'."""
    word = fresh_word(rng)
    draw = rng.random()
    if draw < 0.2:
        return f"{word} {rng.choice(SUFFIXES)}"
    return f"{word} {fresh_word(rng)}" if draw < 0.35 else word


def house_style(rng: random.Random) -> dict[str, str]:
    """What a brand mostly makes: one value for every attribute."""
    return {key: rng.choice(values) for key, values in VALUES.items()}


def describe(rng: random.Random, garment: Garment, house: dict[str, str]) -> dict[str, str]:
    """Values for a garment's attributes in its own order; the brand's own choice in four cases of five,
    but for the pattern.
    """
    own = {key: key != "Pattern" and rng.random() < 0.8 for key in garment.attributes}
    facts = {}
    for key in garment.attributes:
        facts[key] = house[key] if own[key] else rng.choice(VALUES[key])
    return facts


def product_name(brand: str, gender: str, garment: Garment, facts: dict[str, str]) -> str:
    """A name as retailers write it: brand, sleeve or fit, pattern, for whom, type ('Shaikora Sleeveless
    Solid Women's Top').
    """
    style = [facts[key] for key in ("Sleeve", "Fit") if key in facts]
    return " ".join([brand, *style, facts["Pattern"], gender, garment.type])
