"""Questions to click on an empty chat page, about products that the catalogue has."""

import polars as pl

from data.questions.phrases import ALTERNATIVES, OUTFITS
from data.questions.suggestions import SHELVES, top_products

LONGEST_VALUE = 40  # characters of a value that is named


def example_questions(products: pl.DataFrame) -> list[str]:
    """A question for an attribute, one for a kind of product, one for an alternative and, where something
    goes with a product, one for an outfit.

    Args:
        products: with the columns that `data.reports.product_cards.read_products` gives.
    """
    best = top_products(products, SHELVES["alternative"], 1)
    rows = products.join(best.select("id"), on="id", how="semi", maintain_order="left")
    described = rows.filter(pl.col("facts").list.len() > 0).head(3).to_dicts()
    if not described:
        return []
    first, *others = described
    second, third = described[min(1, len(others))], described[-1]
    key = first["facts"][-1]["key"].lower()
    examples = [f"What is the {key} of the {first['name']}?"]
    values = [fact["value"] for fact in second["facts"] if len(fact["value"]) <= LONGEST_VALUE]
    kind = second["type"] or second["shelf"]
    if values and kind:
        examples.append(f"Do you have {kind}: {values[-1].lower()}?")
    examples.append(ALTERNATIVES[0].replace("{name}", third["name"]))
    sold = set(products.select("category", "product_kind").rows())
    dressed = []
    for row in described:
        if sold & {(row["category"], kind) for kind in row["partners"] or []}:
            dressed.append(row)
    return examples + [OUTFITS[0].replace("{name}", row["name"]) for row in dressed[:1]]
