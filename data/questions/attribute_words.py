"""With which words shoppers ask for an attribute: a small thesaurus of what goods have, for any catalogue.

It is written without regard to the wordings of `data.questions.wordings`, so that it serves those who use
other ones.
"""

from collections.abc import Container
from typing import NamedTuple

BETWEEN = "*"  # stands for any words within a phrase


class AttributeWords(NamedTuple):
    """How an attribute is asked for.

    names: as catalogues call it, the first in answers where a catalogue does not have it. cues: words or
    phrases that ask for it; "where * made" may have words between. hints: those that ask for it where nothing
    else in the question asks for an attribute. A plural's s and spelling mistakes do not matter.
    """

    names: tuple[str, ...]
    cues: tuple[str, ...]
    hints: tuple[str, ...] = ()

    def meant(self, keys: Container[str]) -> str:
        """The attribute of a catalogue, in lower case, that is meant; the first name where it has none."""
        return next((name for name in self.names if name in keys), self.names[0])


def _listed(text: str) -> tuple[str, ...]:
    """'made of, cloth' -> ('made of', 'cloth')"""
    return tuple(part.strip() for part in text.split(",") if part.strip())


def _words(names: str, cues: str, hints: str = "") -> AttributeWords:
    """The words of an attribute, from texts with commas."""
    return AttributeWords(_listed(names), _listed(cues), _listed(hints))


COLOURS = (
    "red, blue, green, black, white, yellow, pink, grey, gray, brown, purple, orange, navy, beige, maroon,"
    " turquoise, violet, khaki, golden, silver"
)
MATERIALS = (
    "leather, suede, linen, silk, wool, woolen, woollen, cotton, denim, velvet, satin, nylon, polyester, fur,"
    " cashmere, lace, rayon, viscose, fleece, chiffon, wood, wooden, steel, metal, glass, ceramic, bamboo,"
    " plastic"
)
PROPERTIES = frozenset(_listed(f"{COLOURS}, {MATERIALS}"))  # words that say what is looked for is like
PEOPLE = frozenset(
    _listed(
        "boy, boys, son, sons, nephew, grandson, girl, girls, daughter, daughters, niece, granddaughter, man,"
        " men, gents, husband, boyfriend, father, dad, brother, uncle, grandpa, woman, women, ladies, wife,"
        " girlfriend, mother, mom, mum, sister, aunt, grandma, kid, kids, child, children, toddler, baby"
    )
)
OFTEN_SAID = (  # by rows of catalogues
    _words(
        "fabric, material, fabric type, material type, outer material, upper material, cloth",
        "material, cloth, textile, made of, made out of, made from, consist of, consists of, woven, knitted,"
        " sewn, stitched from, composition, stuff, on my skin",
        "made",
    ),
    _words(
        "price, selling price, mrp, cost",
        "cost, costs, priced, expensive, pricey, costly, charge, pay, the damage, cheaper, cheapest,"
        " set me back, how much money",
        "how much, cheap, afford, rupees, dollars, euros",
    ),
    _words(
        "length, dress length",
        "how far down, knee, ankle, calf, hem, hemline, mini or maxi",
        "how long, long, short, shorter, longer, reach, go down, down to, end",
    ),
    _words(
        "closure, closure type, fastening",
        "close, closes, fasten, fastening, fastener, zip, zipper, zipped, buttons, buttoned, do up, done up,"
        " laces, velcro, holds * together, hook or",
        "open, opens, shut",
    ),
    _words(
        "fit, fit type",
        "tight, loose, snug, baggy, narrow, wide, cut, slim or, fitted, close does",
        "sit",
    ),
    _words(
        "pattern, print, design, print or pattern type",
        "print, printed, design, motif, plain or, printed on, artwork",
        "look like, looks like, see on, drawn",
    ),
    _words(
        "occasion, suitable for occasion, event",
        "people wear, when would i, when can i, when could i, when should i, when do i wear, event,"
        " what days, wear for, wear it for, wear to, wear it to, where can i go, ok for, okay for, right for,"
        " where could i go, good for, suitable occasion",
        "party, wedding, office, work, interview, gym, holiday, beach, ceremony, school, wear",
    ),
    _words("height", "how tall, how high, tall"),
    _words("sleeve, sleeve type, sleeve style, sleeve length", "sleeve, sleeved, arms"),
    _words("neck, neckline, neck type, collar", "neckline, collar, neck"),
    _words(
        "ideal for, gender, target audience, suitable for, audience, age group",
        "who, whom, which people, group of people, audience, gender, unisex, men or women,"
        " women or men, boys or girls, girls or boys, women or for men,"
        " men or for women, grown ups, adults, age, year old, for ladies or",
        "husband, wife, son, daughter, kid, kids, child, children, teenager, mother, father, brother, sister,"
        " grandmother, grandfather, baby, men, women, ladies, girls, boys",
    ),
    _words("brand", "which brand, whose brand, maker, who makes, who made, label"),
    _words(
        "shelf",
        "shelf, aisle, department, section, where in the shop, part of the shop, where do i find,"
        " where can i find, where do you keep",
    ),
    _words("type, product type, item type", "type of, kind of product, sort of product"),
    _words(
        "style code, model number, sku, item code, model",
        "style code, style number, code, sku, reference",
    ),
    _words("rating, customer rating", "rating, stars, rated, reviews"),
    _words("belt included", "belt"),
    _words("hooded, hood", "hood, hooded"),
    _words("reversible", "reversible, both sides, inside out"),
)
SELDOM_SAID = (
    _words(
        "colour, color, colour family, shade",
        "color, colour, colors, colours, shade, hue, tint",
        COLOURS,
    ),
    _words(
        "size, available sizes, dimensions",
        "size, sizes, sizing, in s, in m, in l, in small, in medium, in large, xs,"
        " xl, xxl, xxxl, plus size, measurements, dimension, dimensions, inches, cm",
    ),
    _words(
        "wash care, care instructions, care, fabric care",
        "wash, washed, washing, washable, washing machine, iron, ironed, ironing, dryer, tumble, bleach,"
        " laundry, dry clean, dry cleaned, detergent, clean it, care for, look after",
    ),
    _words(
        "water resistance, waterproof, water resistant",
        "waterproof, rainproof, water, rain, rainy, shower proof, get wet, dry in, splash, wet",
    ),
    _words(
        "country of origin, origin, country",
        "country, origin, imported, import, made in, where * made, where * manufactured,"
        " produced, manufactured, come from, comes from",
    ),
    _words("number of pockets, pockets, pocket type", "pocket, pockets"),
    _words("lining, lining material", "lining, lined, unlined, inside layer"),
    _words("warranty, guarantee, warranty summary", "warranty, guarantee, guaranteed"),
    _words("weight, item weight, net weight", "weigh, weighs, heavy, kilo, kilos, grams, kg"),
    _words(
        "delivery time, delivery, shipping time",
        "deliver, delivered, delivery, ship, shipped, shipping, arrive, arrives, courier, dispatch",
    ),
    _words(
        "return policy, returns, refund policy",
        "return, returned, returns, refund, money back, exchange, exchanged, send back, send it back",
    ),
    _words(
        "discount",
        "discount, special offer, on offer, an offer, any offer, on sale, coupon, voucher, promo,"
        " deal, reduced",
    ),
    _words("stock, availability", "in stock, available, availability, how many left, sold out"),
    _words("stretch, stretchability, stretchable", "stretch, stretchy, stretchable, give in it"),
    _words("transparency, opacity", "transparent, see through, sheer, opaque"),
    _words("durability", "durable, durability, how long will last, last me, lasts, hard wearing"),
    _words("shrinkage", "shrink, shrinks, shrunk, shrinkage"),
    _words("packaging, package", "packaging, packed, gift wrap, gift wrapped, gift box"),
    _words("certificate, certification", "certificate, certified, organic, fair trade"),
    _words("thread count", "threads"),
    _words("manufacturer", "who manufactures, which factory"),
    _words("importer", "who imports"),
)  # fmt: skip

ATTRIBUTES = OFTEN_SAID + SELDOM_SAID
ANYTHING = "that"  # stands for an attribute that has no name here: "does not say that of the shirt"
