"""Questions to click on a chat page, on an empty one and under an answer, about products of the catalogue."""

import polars as pl

from data.questions.names import Product
from data.questions.phrases import ALTERNATIVES, OUTFITS
from data.questions.retrieval import Retriever
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
    examples = [_attribute_question(first["facts"][-1]["key"], first["name"])]
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


def _attribute_question(key: str, name: str) -> str:
    """A question for an attribute of a product."""
    return f"What is the {key.lower()} of the {name}?"


def questions_to_go_on(row: Product, answer: str, retriever: Retriever) -> list[dict[str, str]]:
    """What a visitor may want to ask after an answer that names a product, as buttons: ``label`` and
    ``value``, the question.

    An attribute that the answer does not state, other products of its shelf, and what goes with it, as far as
    the catalogue has them.
    """
    name, low = row["name"], answer.lower()
    unstated = [fact["key"] for fact in row["facts"] if fact["value"].lower() not in low]
    asked = [(key, _attribute_question(key, name)) for key in unstated[:1]]
    if next(retriever.shelf_mates(row), None):
        asked.append(("Alternatives", ALTERNATIVES[0].replace("{name}", name)))
    if next(retriever.partners(row), None):
        asked.append(("What goes with it", OUTFITS[0].replace("{name}", name)))
    return [{"label": label, "value": question} for label, question in asked]
