"""The baseline `rules`: product by fuzzy name, attribute by key, suggestions by shelf, and a decline."""

import polars as pl
import pytest

from data.catalogue.pairing import read_pairing
from data.questions.filling import PAIRS
from data.questions.phrases import DECLINE, WELCOME
from data.questions.products import answer_block, partners_of
from data.questions.retrieval import Retriever
from data.scoring.rules import rule_answers

ROWS = [
    ("a", "Zarvo Full Sleeve Striped Men's Shirt", "Zarvo", "Men's Clothing", "Shirts", "top", "Cotton"),
    ("b", "Kabra Half Sleeve Plain Men's Shirt", "Kabra", "Men's Clothing", "Shirts", "top", "Linen"),
    ("c", "Pello Men's Jeans", "Pello", "Men's Clothing", "Jeans", "bottom", "Denim"),
    ("d", "Pello Women's Jeans", "Pello", "Women's Clothing", "Jeans", "bottom", "Denim"),
]


@pytest.fixture
def products() -> pl.DataFrame:
    """A catalogue of two shelves, for two kinds of people."""
    columns = ["id", "name", "brand", "category", "shelf", "product_kind", "fabric"]
    table = pl.DataFrame(ROWS, schema=columns, orient="row").with_columns(type=pl.col("shelf"))
    pair = pl.struct(key=pl.lit("Fabric"), value=pl.col("fabric"))
    table = table.with_columns(rating=pl.lit(None, pl.String), facts=pl.concat_list(pair).cast(PAIRS))
    partners = partners_of(pl.col("product_kind"), read_pairing("clothing"))
    return table.with_columns(
        block=answer_block(2), partners=partners, keywords=pl.lit([], pl.List(pl.String))
    )


def answers(products: pl.DataFrame, *questions: str, context: str = "") -> list[str]:
    return rule_answers(
        pl.DataFrame({"context": [context] * len(questions), "question": questions}), products
    )


def test_an_attribute_is_read_in_the_row_that_a_misspelt_name_means(products: pl.DataFrame) -> None:
    found = answers(
        products,
        "what is the zarvo full sleve striped mens shirt made of",
        "material of kabra plain shirt half sleeve mens",
    )
    assert found[0].startswith(
        "The fabric of the Zarvo Full Sleeve Striped Men's Shirt is Cotton.\n Product Name: Zarvo"
    )
    shelf = answers(products, "On which shelf is the Pello Women's Jeans?")[0]
    assert shelf.startswith("The Pello Women's Jeans is in Jeans.")


def test_two_products_are_compared(products: pl.DataFrame) -> None:
    question = "fabric of the Zarvo Full Sleeve Striped Men's Shirt and of the Pello Men's Jeans?"
    sentence = answers(products, question)[0].splitlines()[0]
    assert sentence == (
        "Compared by fabric: Cotton for the Zarvo Full Sleeve Striped Men's Shirt, Denim for the Pello Men's"
        " Jeans."
    )


def test_a_greeting_is_no_search(products: pl.DataFrame) -> None:
    assert answers(products, "Hi, are you a bot?", "hi, i need a kettle") == [WELCOME, DECLINE]


def test_a_second_turn_is_about_the_first_ones_product(products: pl.DataFrame) -> None:
    turn = {"question": "Who is the Pello Men's Jeans for?", "answer": "Men."}
    frame = pl.DataFrame({"context": [""], "question": ["and its fabric?"], "earlier": [[turn]]})
    assert rule_answers(frame, products)[0].startswith("The fabric of the Pello Men's Jeans is Denim.")


def test_what_the_row_does_not_say_is_said(products: pl.DataFrame) -> None:
    found = answers(products, "What is the neckline of the Pello Men's Jeans?")[0]
    assert found == "The catalogue does not say that of the Pello Men's Jeans."


def test_suggestions_stay_on_the_shelf_and_with_the_people(products: pl.DataFrame) -> None:
    other = answers(products, "What could I buy instead of the Zarvo Full Sleeve Striped Men's Shirt?")[0]
    assert "Product Name: Kabra Half Sleeve Plain Men's Shirt" in other
    outfit = answers(products, "What goes well with the Zarvo Full Sleeve Striped Men's Shirt?")[0]
    assert "Product Name: Pello Men's Jeans" in outfit
    assert answers(products, "What goes well with the Pello Women's Jeans?") == [DECLINE]


def test_a_search_goes_by_values_and_declines_without_any(products: pl.DataFrame) -> None:
    context = "Online shopping for Men's Clothing"
    assert "Kabra Half" in answers(products, "something in linen please", context=context)[0]
    assert answers(products, "do you sell garden hoses", context=context) == [DECLINE]


def test_every_name_is_known(products: pl.DataFrame) -> None:
    catalogue = Retriever(products)
    for row in products.to_dicts():
        found = catalogue.names.named(row["name"].lower(), "")
        assert found is not None
        assert found["id"] == row["id"]


def test_yes_and_no(products: pl.DataFrame) -> None:
    found = answers(
        products,
        "Is the fabric of the Pello Men's Jeans denim?",
        "is silk the fabric of the pello men's jeans",
        "I was told that the fabric of the Pello Men's Jeans is Denim. Is that right?",
        "What is the fabric of the Pello Men's Jeans?",
    )
    assert [answer.split("The ")[0] for answer in found] == ["Yes. ", "No. ", "Yes. ", ""]
