"""The goods, the limits of a price and the choices between values that a question names."""

import polars as pl
import pytest

from data.questions.grounding import NOTHING, Grounding
from data.questions.intents import either_of, without_budget
from data.questions.matches import ValueMatcher, has_all
from data.questions.names import Product
from data.questions.shelves import own_parts_of_shelf
from tests.data.questions import test_wishes
from tests.data.questions.test_wishes import MEN, WOMEN, found, row

ground = test_wishes.ground  # a fixture
WOMENS = [
    ("k", "Sura Women's Kurti", WOMEN, "Kurti", "Cotton", 450, ["woman"]),
    ("d", "Sura Long Women's Dress", WOMEN, "Layered Dress", "Silk", 1600, ["woman"]),
    ("p", "Pello Women's Shorts", WOMEN, "Cycling Shorts", "Cotton", 300, ["woman"]),
    ("t", "Zarvo Men's T-Shirt", MEN, "Polo T-Shirt", "Cotton", 250, ["man"]),
]
SHELVES = {"k": "Kurtas & Kurtis", "d": "Dresses & Skirts", "p": "Shorts", "t": "T-Shirts, Polos and Tees"}


@pytest.fixture(scope="module")
def shop() -> Grounding:
    """Rows on shelves that are named after several goods, three in a prompt."""
    rows = []
    for values in WOMENS:
        kinds = {values[3]: "top"}
        partners = ["bottom"] if values[0] != "p" else ["top"]
        made = test_wishes.row(*values[:3], "Casual Shirt", *values[4:])
        made |= {"type": values[3], "shelf": SHELVES[values[0]], "partners": partners}
        rows.append(made | {"product_kind": "bottom" if values[0] == "p" else kinds[values[3]]})
    return Grounding(pl.DataFrame(rows), 3)


def names(shop: Grounding, question: str, *earlier: tuple[str, str]) -> str:
    """The ids of the rows in a prompt, in order; '-' where it says that nothing fits."""
    context = shop.context("", question, earlier=earlier)
    by_name = {values[1]: values[0] for values in WOMENS}
    lines = [line.split(" |")[0].removeprefix("- ") for line in context.split("\n") if " |" in line]
    return "-" if context.endswith(NOTHING) else "".join(by_name[line] for line in lines)


@pytest.mark.parametrize(
    ("question", "ids"),
    [
        ("show me kurtas", "k"),  # a kurti is one, by its shelf
        ("kurtis?", "k"),
        ("dresses please", "d"),
        ("a dress", "d"),
        ("skirts?", "-"),  # on whose shelf all are dresses
        ("what would look good with a denim skirt?", "-"),  # which is no shirt
        ("which t-shirts are silk?", "-"),
        ("do you have t shirts", "t"),
        ("shorts", "p"),
        ("I need a suit for an interview", "-"),
        ("who does the Sura Women's Kurti suit", "k"),
        ("got any shoes", "-"),
    ],
)
def test_goods_are_called_by_their_nouns(shop: Grounding, question: str, ids: str) -> None:
    assert names(shop, question) == ids


def test_each_row_of_a_search_is_marked_with_its_goods(shop: Grounding) -> None:
    assert shop.context("", "show me kurtas").endswith("; kurtas: yes")
    assert shop.context("", "dresses with pockets?").endswith("; dress: yes")
    assert shop.context("", "anything over 1500").endswith("; over 1500: yes")


def test_what_goes_with_a_kind_is_no_product_of_that_kind(shop: Grounding) -> None:
    context = shop.context("", "what can I wear with shorts?")
    assert "Cycling" not in context
    assert context.count("; goes with shorts: yes") == 2


@pytest.mark.parametrize(
    ("question", "ids"),
    [
        ("silk or linen?", "d"),  # none is of linen
        ("kurtis or shorts", "kp"),
        ("something in silk or cotton under 400", "pt"),
        ("I hate cotton, show me something else", "d"),
        ("a dress, but not black", "d"),
        ("a black dress", "-"),
        ("anything between 260 and 500?", "kp"),
        ("260 - 500 rupees", "kp"),
        ("something around 300", "pt"),
        ("a kurti for a girl under 5 years", "-"),
        ("how much is it?", "-"),
        ("are you a robot?", ""),
        ("so who are you", ""),
    ],
)
def test_limits_choices_and_refusals(shop: Grounding, question: str, ids: str) -> None:
    found_ids = names(shop, question)
    assert "".join(sorted(found_ids)) == ids


@pytest.mark.parametrize(
    ("question", "ids"),
    [
        ("only cotton ones", "b"),
        ("the cheapest one", "bac"),
        ("got any jeans that are denim?", "d"),
        ("does that come in linen", "a"),
    ],
)
def test_second_turns_refine_or_leave_a_search(ground: Grounding, question: str, ids: str) -> None:
    turn = ("show me shirts", "I suggest the Zarvo Striped Men's Shirt.")
    expected = "c" if question == "only cotton ones" else ids
    assert found(ground, question, [turn]) == expected


@pytest.mark.parametrize(
    ("text", "limits"),
    [
        ("jeans between 300 and rs. 600", (300, 600)),
        ("jeans from 600 to 300", (300, 600)),
        ("300-600 rupees", (300, 600)),
        ("under 2k", (None, 2000)),
        ("above 1,500", (1500, None)),
        ("no more than 90", (None, 90)),
        ("not over 90", (None, 90)),
        ("betwene 10 and 20", (10, 20)),
        ("around 500", (400, 600)),
        ("for a girl under 5 years", (None, None)),
        ("a waist of 30 to 32", (None, None)),
    ],
)
def test_limits_of_a_price(text: str, limits: tuple[float | None, float | None]) -> None:
    assert without_budget(text)[1] == limits


def test_values_joined_by_or_are_a_choice() -> None:
    assert either_of(["silk", "satin", "dress"], "in silk or satin, a dress") == [
        ["silk", "satin"],
        ["dress"],
    ]
    assert either_of(["blazer", "jacket"], "blazers or a jacket") == [["blazer", "jacket"]]


@pytest.mark.parametrize(
    ("shelf", "kind", "parts"),
    [
        ("Kurtas & Kurtis", "Kurti", ("kurtas", "kurtis", "kurtas & kurtis")),
        ("Shirts, Tops & Tunics", "Top", ("tops",)),
        ("Winter Wear", "Sweater", ("winter wear",)),
        ("Pots and Pans", None, ("pots",)),
    ],
)
def test_a_product_is_some_of_what_its_shelf_is_named_after(
    shelf: str, kind: str | None, parts: tuple[str, ...]
) -> None:
    product: Product = row(*WOMENS[0][:3], "Casual Shirt", *WOMENS[0][4:]) | {"shelf": shelf, "type": kind}
    product["name"] = "Roma Steel Pot with Lid" if kind is None else product["name"]
    assert own_parts_of_shelf(product) == parts


@pytest.mark.parametrize("question", ["knives?", "a steel knife", "got any bread knifes"])
def test_without_types_the_last_word_of_a_name_is_the_goods(question: str) -> None:
    made = []
    for number, name in enumerate(["Roma Steel Bread Knife 12", "Roma Steel Frying Pan 28 cm", "Roma Lamp"]):
        product = test_wishes.row(str(number), name, "Kitchen", "Casual Shirt", "Steel", 100, [])
        made.append(product | {"type": None, "shelf": "Kitchen"})
    kitchen = Grounding(pl.DataFrame(made, schema_overrides={"type": pl.String}), 3)
    found_rows = [line for line in kitchen.context("", question).split("\n") if " |" in line]
    assert [line.split(" |")[0] for line in found_rows] == ["- Roma Steel Bread Knife 12"]
    assert "; knife: yes" in found_rows[0]


@pytest.mark.parametrize(
    ("name", "fabric", "is_blue"),
    [
        ("Blue Saint Sky Blue Shirt", "Cotton", True),
        ("Blue Saint Plain Shirt", "Cotton", False),  # that is its brand
        ("Blue Saint Plain Shirt", "Blue and white cotton", True),
    ],
)
def test_a_colour_is_looked_for_in_names_and_longer_values_and_not_in_brands(
    name: str, fabric: str, is_blue: bool
) -> None:
    product = test_wishes.row("a", name, MEN, "Casual Shirt", fabric, 100, []) | {"brand": "Blue Saint"}
    assert has_all(product, ["blue"]) == is_blue
    matcher = ValueMatcher([product])
    assert matcher.properties("a blue shirt", ["shirt"]) == ["blue"]
    assert matcher.properties("shirts by blue saint", ["shirt", "blue saint"]) == []
