"""What shoppers look for beside a name: the cheapest, what no row has, others that are cheaper or cotton."""

import re

import polars as pl
import pytest

from data.questions.choices import cheapest_questions
from data.questions.grounding import NOTHING, Grounding
from data.questions.intents import only_greets, price_order, without_budget
from data.questions.names import Product
from data.tokens.chat_templates import Turns

MEN, WOMEN = "Men's Clothing", "Women's Clothing"
ROWS = [
    ("a", "Zarvo Striped Men's Shirt", MEN, "Casual Shirt", "Cotton", 500, ["man", "husband"]),
    ("b", "Kabra Plain Men's Shirt", MEN, "Casual Shirt", "Linen", 300, ["man", "husband"]),
    ("c", "Lumo Printed Men's Shirt", MEN, "Casual Shirt", "Cotton", 900, ["man", "husband"]),
    ("d", "Pello Men's Jeans", MEN, "Skinny Jeans", "Denim", 700, ["man", "husband"]),
    ("e", "Pello Women's Dress", WOMEN, "Layered Dress", "Cotton", 800, ["woman", "wife"]),
    ("f", "Sura Women's Dress", WOMEN, "Layered Dress", "Silk", 200, ["woman", "wife"]),
]
LENGTHS = {"e": "Midi/Knee Length", "f": "Maxi"}
KINDS = {"Casual Shirt": "top", "Skinny Jeans": "bottom", "Layered Dress": "dress"}


def row(
    name: str, title: str, category: str, kind: str, fabric: str, price: int, people: list[str]
) -> Product:
    """A row of the catalogue."""
    facts = [{"key": "Fabric", "value": fabric}, {"key": "Price", "value": f"Rs. {price}"}]
    if name in LENGTHS:
        facts.append({"key": "Length", "value": LENGTHS[name]})
    made = {"id": name, "name": title, "category": category, "shelf": f"All of {category}", "type": kind}
    made |= {"product_kind": KINDS[kind], "facts": facts, "keywords": people, "brand": title.split(" ")[0]}
    partners = {"top": ["bottom"], "bottom": ["top"]}.get(KINDS[kind])
    return made | {"partners": partners, "rating": None, "plural": False, "block": ""}


@pytest.fixture(scope="module")
def ground() -> Grounding:
    """The rows above, three in a prompt."""
    return Grounding(pl.DataFrame([row(*values) for values in ROWS]), 3)


def found(ground: Grounding, question: str, earlier: Turns = ()) -> str:
    """The ids of the rows in a prompt, in order; '-' where it says that nothing fits."""
    context = ground.context("", question, earlier=earlier)
    if context.endswith(NOTHING):
        return "-"
    names = re.findall(r"^- ([^|]+) \|", context, re.MULTILINE)
    ids = {values[1]: values[0] for values in ROWS}
    return "".join(ids[name] for name in names)


@pytest.mark.parametrize(
    ("question", "ids"),
    [
        ("What is the cheapest shirt?", "bac"),
        ("chepaest cotton shirt pls", "ac"),
        ("which shirt has the lowest price", "bac"),
        ("the most expensive shirt", "cab"),
        ("a dress please", "fe"),
        ("a dress of knee length", "e"),
        ("Do you have a red shirt?", "-"),
        ("need leather jeans", "-"),
        ("a shirt for my son", "-"),  # nothing is for boys
        ("a shirt for my son or my husband", "abc"),
        ("something for my husband not more than 300", "b"),
        ("Anything like the Lumo shirt, but cheaper ones?", "abc"),
        ("Is there a cheaper alternative to the Kabra Plain Men's Shirt?", "-"),
        ("something like the Kabra Plain Men's Shirt but in cotton", "ac"),
        ("something like the Zarvo Striped Men's Shirt, in black", "-"),
        ("what goes with the Pello Men's Jeans", "abc"),
        ("What shoes go with the Pello Men's Jeans?", "-"),
        ("thanks, that's all", ""),
        ("ok thank you, bye", ""),
        ("Hello, do you have jeans?", "d"),
        ("What is your return policy?", ""),
        ("do you ship to Mumbai", ""),
        ("how can I pay?", ""),
        ("can I return it?", ""),
        ("what is the cheapest thing you have", "fba"),
        ("the most expensive product", "ced"),
        ("do you deliver jeans?", "d"),
        ("a shirt that is not cotton", "b"),
        ("shirt, no linen", "ac"),
        ("a shirt for not more than 500", "ab"),
    ],
)
def test_what_is_looked_for_is_found_or_nothing_is(ground: Grounding, question: str, ids: str) -> None:
    assert found(ground, question) == ids


@pytest.mark.parametrize(
    ("question", "ids"),
    [
        ("and what does it cost?", "d"),
        ("and the fabric?", "d"),
        ("what jeans are these?", "d"),
        ("silk dresses?", "f"),
        ("a red dress please", "-"),
        ("the cheapest shirt", "bac"),
        ("does it go with a shirt?", "abc"),
    ],
)
def test_a_second_turn_goes_on_unless_it_names_other_goods(
    ground: Grounding, question: str, ids: str
) -> None:
    turn = (
        "How long are the Pello Men's Jeans?",
        "The catalogue does not say the length of the Pello Men's Jeans.",
    )
    assert found(ground, question, [turn]) == ids


@pytest.mark.parametrize(
    ("question", "ids"),
    [
        ("a linen shirt please", "b"),
        ("another shirt, in cotton", "ac"),
        ("do you have any linen shirts?", "b"),
        ("and is it a cotton shirt?", "a"),
        ("and what about the fabric?", "a"),
        ("Tell me about the Pello jeans", "d"),
        ("something cheaper?", "b"),
        ("thats too expensive", "b"),
        ("ok show me something else", "bcd"),
        ("do you deliver to Delhi?", ""),
        ("and when is it delivered?", "a"),
    ],
)
def test_a_second_turn_for_any_goods_of_the_kind_is_a_new_search(
    ground: Grounding, question: str, ids: str
) -> None:
    turn = ("What is the price of the Zarvo Striped Men's Shirt?", "The price is Rs. 500.")
    assert found(ground, question, [turn]) == ids


def test_the_best_rated_come_first() -> None:
    ratings = {"b": "3", "c": "4.5"}
    rows = [row(*values) | {"rating": ratings.get(values[0])} for values in ROWS]
    shop = Grounding(pl.DataFrame(rows, schema_overrides={"rating": pl.String}), 3)
    assert found(shop, "the best rated shirt") == "cba"
    assert found(shop, "which cotton shirt has the best reviews?") == "ca"
    assert found(shop, "top rated shirts") == "cba"


def test_people_matter_only_where_rows_say_whom_they_are_for() -> None:
    rows = [row(*values[:-1], []) for values in ROWS]
    shop = Grounding(pl.DataFrame(rows, schema_overrides={"keywords": pl.List(pl.String)}), 3)
    assert set(found(shop, "a shirt for my son")) == set("abc")


def test_two_products_are_compared_by_price_where_the_question_names_no_attribute(ground: Grounding) -> None:
    for question in (
        "Zarvo Striped Men's Shirt or Pello Men's Jeans?",
        "compare the zarvo shirt and the pello jeans",
    ):
        context = ground.context("", question)
        assert "compared by price: Rs. 500 for the Zarvo Striped Men's Shirt" in context
        assert "compared by price: Rs. 700 for the Pello Men's Jeans" in context


def test_questions_for_the_cheapest_are_answered_by_it() -> None:
    products = pl.DataFrame([row(*values) for values in ROWS])
    asked = cheapest_questions(products, seed=0)
    price = {values[0]: values[5] for values in ROWS}
    of_shirts = asked.filter(pl.col("question").str.contains("Shirt"))
    for one in of_shirts.iter_rows(named=True):
        fabric = next((pair["value"] for pair in one["conditions"] if pair["key"] == "Fabric"), None)
        fitting = [values for values in ROWS if values[3] == "Casual Shirt" and fabric in (None, values[4])]
        assert price[one["answer_id"]] == min(values[5] for values in fitting)
        assert one["conditions"][-1] == {"key": "Price, at most", "value": str(price[one["answer_id"]])}
    assert of_shirts.height >= 1


@pytest.mark.parametrize("words", ["not more than", "no more than", "upto", "not over", "lower than", "max"])
def test_a_limit_has_many_words(words: str) -> None:
    assert without_budget(f"a shirt {words} rs. 1,500")[1] == (None, 1500)


def test_what_asks_for_an_order_of_prices_or_only_greets() -> None:
    assert [price_order(text) for text in ("cheapest one", "the most expensive", "a cheap one")] == [1, -1, 0]
    assert only_greets("perfect, thanks a lot")
    assert not only_greets("hi, looking for jeans")
