"""The products that a question names, told apart from others whose names share its words."""

import polars as pl
import pytest

from data.questions.names import Product
from data.questions.retrieval import Retriever

NAMES = [
    "Giamkra Half Sleeve Striped Women's Kurti",
    "Giamkra Half Sleeve Animal Print Women's Kurti",
    "Giamkra Half Sleeve Solid Women's Top",
    "Prelpat Full Sleeve Animal Print Women's Kurti",
    "Prelpat Full Sleeve Solid Women's Top",
    "Zarvo Regular Fit Striped Men's Jeans",
    "Zarvo Slim Fit Solid Men's Jeans",
    "Kabra Loose Fit Striped Men's Jeans",
]


def row(place: int, name: str) -> Product:
    """A row of the catalogue with little beside its name."""
    plain = {"brand": None, "category": None, "shelf": None, "type": None, "keywords": [], "facts": []}
    return plain | {"id": str(place), "name": name, "product_kind": None, "partners": None, "rating": None}


@pytest.fixture(scope="module")
def retriever() -> Retriever:
    """A catalogue of names that share most of their words."""
    return Retriever(pl.DataFrame([row(place, name) for place, name in enumerate(NAMES)]))


@pytest.mark.parametrize(
    ("question", "named"),
    [
        ("compare the fit of the {5} and the {6}", [5, 6]),
        ("compare the fit of the {6} and the {5}", [6, 5]),
        ("fabric of {0} versus {3}", [0, 3]),  # together they hold all words of the second name, too
        ("is it the same fabric for the {1} and the {4}", [1, 4]),
        ("fabric of giamkra half sleeve striped women's kutri and {4}", [0, 4]),
        ("{4} vs giamkra half slevee striped women's kurti, fabric?", [4, 0]),
        ("the kabra loose striped men's jeans vs the {6}, price?", [7, 6]),
        ("the fit of the {5} is slim fit, right?", [5]),
        ("is the {2} an animal print kurti?", [2]),
    ],
)
def test_named_products_stand_in_the_order_of_the_question(
    retriever: Retriever, question: str, named: list[int]
) -> None:
    asked = question.format(*(name.lower() for name in NAMES))
    _, subjects = retriever.relevant("", asked, 3)
    assert [subject["name"] for subject in subjects] == [NAMES[place] for place in named]


@pytest.mark.parametrize(
    ("question", "named"),
    [
        ("fabric of the giamkra top", [2]),  # its brand and its kind are less than half of its name
        ("need the price of the kabra jeans pls", [7]),  # no search, though it has a word of one
        ("where can i get the kabra jeans", [7]),
        ("show me jeans by kabra", []),  # a search
        ("do you have something striped, loose fit, by kabra, jeans", []),
        ("i want a kurti", []),
        ("where do i find tops by prelpat", []),
    ],
)
def test_a_brand_and_a_kind_in_their_order_name_a_product(
    retriever: Retriever, question: str, named: list[int]
) -> None:
    _, subjects = retriever.relevant("", question, 3)
    assert [subject["name"] for subject in subjects] == [NAMES[place] for place in named]
