"""Makes catalogue.csv, the sample that a default run trains on: `python -m data.sample.generate`.

About 1,100 raw rows of an invented shop in the 15 columns of Flipkart's crawl, with that table's oddities,
counted below: Ruby-hash specifications (one hash in place of the list, nil, entries without a key, escaped
quotes), category trees cut off with "...", one-level trees that hold the product's name, repeated rows,
missing prices, line breaks inside descriptions. After cleaning and filtering about 1,000 clothing products
remain.
"""

import csv
import hashlib
import json
import random
import re
from pathlib import Path

from data.sample import vocabulary
from data.sample.vocabulary import CARES, COLOURS, GARMENTS, GENDERS, Garment

PATH = Path(__file__).with_name("catalogue.csv")
SEED = 7
PRODUCTS = 1000
OTHER_ROOTS = ["Footwear", "Jewellery", "Automotive", "Home Decor & Festive Needs", "Pens & Stationery"]
COLUMNS = [
    "uniq_id",
    "crawl_timestamp",
    "product_url",
    "product_name",
    "product_category_tree",
    "pid",
    "retail_price",
]
COLUMNS += [
    "discounted_price",
    "image",
    "is_FK_Advantage_product",
    "description",
    "product_rating",
    "overall_rating",
]
COLUMNS += ["brand", "product_specifications"]


def _ruby_hash(entries: list[tuple[str | None, str]]) -> str:
    """Specifications in the crawl's syntax; an entry without a key is written as the crawl writes it."""
    items = []
    for key, value in entries:
        named = f'"key"=>{json.dumps(key)}, ' if key else ""
        items.append(f'{{{named}"value"=>{json.dumps(value)}}}')
    return '{"product_specification"=>[' + ", ".join(items) + "]}"


def description(rng: random.Random, name: str, garment: Garment, facts: dict[str, str], price: int) -> str:
    """Shop prose of two or three sentences; every third has the crawl's line breaks, tabs and boilerplate."""
    colour = rng.choice(COLOURS)
    body = (
        f"{name} in {colour.lower()}. Made of {facts['Fabric'].lower()}, good for"
        f" {facts['Occasion'].lower()} days."
    )
    if rng.random() < 0.35:
        return f"{name}\n                         Price: Rs. {price}\n\t\t\t\t\n\t\t\t{body}\n{body}"
    if rng.random() < 0.4:
        return f"{name} - Buy {colour} {name} For Only Rs. {price} Online in India. Shop Online For Apparels."
    return (
        f"Key Features of {name} {facts['Fabric']} {facts['Pattern']},{body} Pair this"
        f" {garment.type.lower()} with ease."
    )


def row(
    rng: random.Random, name: str, brand: str, tree: list[str], text: str, specifications: str
) -> dict[str, str]:
    """One raw record."""
    uniq_id = hashlib.md5(rng.randbytes(16), usedforsecurity=False).hexdigest()
    slug = "-".join(re.findall(r"[^\W_]+", name.lower()))
    pid = uniq_id[:12].upper()
    price = rng.randrange(299, 3999, 50)
    rated = rng.random() < 0.1
    images = [f"http://img.example.com/{slug}-{i}.jpeg" for i in range(rng.choice([1, 2, 3, 4]))]
    day = rng.randrange(1, 29)
    retail_price = "" if rng.random() < 0.004 else str(price)
    advantage = str(rng.random() < 0.05).upper()
    ratings = ["No rating available"] * 2
    if rated:
        ratings = [f"{rng.choice([3, 3.5, 4, 4.5, 5])}" for _ in ratings]
    return {
        "uniq_id": uniq_id,
        "crawl_timestamp": f"2016-03-{day:02d} 10:59:23 +0000",
        "product_url": f"http://shop.example.com/{slug}/p/{pid.lower()}",
        "product_name": name,
        "product_category_tree": json.dumps([" >> ".join(tree)], ensure_ascii=False),
        "pid": pid,
        "retail_price": retail_price,
        "discounted_price": str(price * 2 // 3),
        "image": json.dumps(images),
        "is_FK_Advantage_product": advantage,
        "description": text,
        "product_rating": ratings[0],
        "overall_rating": ratings[1],
        "brand": "" if rng.random() < 0.05 else brand,
        "product_specifications": specifications,
    }


def _garment_rows(rng: random.Random) -> list[dict[str, str]]:
    """The clothing of the shop: every fourth-level category gets at least ten products, names never
    repeat.
    """
    shelf = [
        (level_2, garment) for level_2, garments in GARMENTS.items() for garment in garments[::2]
    ]  # a shop of 16 shelves
    houses = {vocabulary.fresh_brand(rng): vocabulary.house_style(rng) for _ in range(160)}
    rows: list[dict[str, str]] = []
    names: set[str] = set()
    while len(rows) < PRODUCTS:
        level_2, garment = shelf[len(rows) % len(shelf)]
        brand, house = rng.choice(list(houses.items()))
        facts = vocabulary.describe(rng, garment, house)
        gender = GENDERS[level_2]
        name = vocabulary.product_name(brand, gender, garment, facts)
        if name in names:
            continue
        names.add(name)
        entries: list[tuple[str | None, str]] = [
            ("Ideal For", gender),
            *facts.items(),
            ("Type", garment.type),
        ]
        if rng.random() < 0.2:
            entries.append(("Style Code", f"{brand[:4].upper().strip()}_{rng.randrange(100, 999)}"))
        if rng.random() < 0.5:
            entries.append((None, rng.choice(CARES)))
        if rng.random() < 0.01:
            entries.append(("Other Details", f'Cut for a 32" waist, "{garment.type}" label'))
        tree = ["Clothing", level_2, garment.level_3, garment.level_4, f"{brand} {garment.level_4}", name]
        if len(name) > 55:
            tree[-1] = f"{name[:45]}..."
        rows.append(
            row(rng, name, brand, tree, description(rng, name, garment, facts, 999), _ruby_hash(entries))
        )
    return rows


def _odd_rows(rng: random.Random, rows: list[dict[str, str]]) -> list[dict[str, str]]:
    """What cleaning and filtering must meet: other shops' shelves, rare shelves, short trees, repeats, odd
    specifications.
    """
    odd = []
    for i in range(60):
        root, brand = OTHER_ROOTS[i % len(OTHER_ROOTS)], vocabulary.fresh_brand(rng)
        name = f"{brand} {root.split()[0]} Item {i}"
        single = '{"product_specification"=>{"key"=>"Material", "value"=>"Leather"}}'
        tree = [name] if i % 10 == 0 else [root, f"{brand} {root}", name]
        odd.append(
            row(
                rng,
                name,
                brand,
                tree,
                f"{name}, sturdy.",
                single if i % 2 else '{"product_specification"=>nil}',
            )
        )
    for i in range(8):
        name = f"{vocabulary.fresh_brand(rng)} Woven Scarf No {i}"
        tree = ["Clothing", "Women's Clothing", "Accessories", f"Scarves {i % 3}", name]
        odd.append(
            row(rng, name, "", tree, f"{name}.", _ruby_hash([("Fabric", "Silk"), ("Ideal For", "Women's")]))
        )
    odd += [dict(rng.choice(rows)) for _ in range(12)]  # exact repeats
    broken = dict(
        rng.choice(rows),
        uniq_id="0" * 32,
        product_specifications='{"product_specification"=>[{"key"=>"Fabric", "va',
    )
    nameless = dict(rng.choice(rows), uniq_id="1" * 32, product_name="")
    return [*odd, broken, nameless]


def generate(path: Path) -> None:
    """Write the sample catalogue to ``path``; the same bytes on every machine."""
    rng = random.Random(SEED)
    rows = _garment_rows(rng)
    rows += _odd_rows(rng, rows)
    rng.shuffle(rows)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


if __name__ == "__main__":
    generate(PATH)
