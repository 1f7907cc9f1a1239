"""The attributes that a question asks for, with what the rows of the products that it names say of them."""

from collections import Counter
from typing import Any

import polars as pl
import pytest

from data.questions.asked_keys import KeyMatcher, said_under
from data.questions.attribute_words import ANYTHING, ATTRIBUTES
from data.questions.filling import PAIRS, for_training
from data.questions.grounding import NOTHING, Grounding
from data.questions.key_wordings import KEY_WORDINGS
from data.questions.words import Spelling, words_of
from tests.data.questions import test_grounding
from tests.data.questions.test_grounding import CONTEXT

products = test_grounding.products  # a fixture

NAME = "Zarvo Long Sleeve Printed Men's Shirt"
ROW = {
    "name": NAME,
    "type": "Casual Shirt",
    "shelf": "Shirts",
    "brand": "Zarvo",
    "keywords": [],
    "facts": [
        {"key": "Fabric", "value": "Cotton"},
        {"key": "Sleeve", "value": "Full Sleeve"},
        {"key": "Sleeve Length", "value": "60 cm"},
        {"key": "Neck", "value": "Round"},
        {"key": "Price", "value": "Rs. 500"},
        {"key": "Pattern", "value": "Printed"},
    ],
}


@pytest.mark.parametrize(
    ("question", "keys"),
    [
        ("what is the fabric of the {name}?", ["fabric"]),
        ("{name}: which sleeve length and price", ["sleeve length", "price"]),
        ("sleeve style of {name} = half sleeve, correct?", ["sleeve"]),
        ("is the afbric of the {name} silk", ["fabric"]),
        ("and the neclkine of the {name}?", ["neck"]),
        ("which material is the {name}", ["fabric"]),
        ("how expensive is the {name}", ["price"]),
        ("whats the discount on the {name}", ["discount"]),  # that no catalogue has
        ("is there a warrnaty for the {name}?", ["warranty"]),
        ("do you like the {name}?", []),
        ("how long is the {name}", ["length"]),
        ("how long are the sleeves of the {name}", ["sleeve"]),
        ("is the {name} waterproof", ["water resistance"]),
        ("is the {name} dishwasher-safe", [ANYTHING]),
        ("what shape is the neck of the {name}", ["neck"]),  # and no misspelt shade
        ("what do yuo have like the {name}", []),  # a short word whose letters are swapped is not unknown
        ("{name}", []),
    ],
)
def test_attributes_are_found_beside_the_name(question: str, keys: list[str]) -> None:
    asked = question.format(name=NAME.lower())
    assert asked_keys(asked, ROW) == keys


def asked_keys(question: str, row: dict[str, Any]) -> list[str]:
    """The attributes that a question, in lower case, asks for or hints at."""
    matcher = KeyMatcher([row], Spelling(words_of(str(row))))
    return matcher.asked_for(question, [row]) or matcher.hinted_at(question, [row])


@pytest.mark.parametrize("key", KEY_WORDINGS)
def test_wordings_that_are_trained_ask_for_their_attribute(key: str) -> None:
    """Else a model would learn that the mark is wrong."""
    for text in for_training(KEY_WORDINGS[key]):
        found = asked_keys(text.format(name=NAME).lower(), ROW | {"facts": []})
        assert found == [key] or "cotton" in text, text  # a value, which tells its attribute by itself


def test_no_word_asks_for_two_attributes() -> None:
    phrases = [phrase for attribute in ATTRIBUTES for phrase in (*attribute.cues, *attribute.hints)]
    repeated = [phrase for phrase, count in Counter(phrases).items() if count > 1]
    assert repeated == []


@pytest.mark.parametrize(
    ("key", "question", "keys"),
    [
        ("Material", "which fabric is the {name}", ["material"]),
        ("Color", "do you have the {name} in green", ["color"]),
        ("Gender", "can my husband wear the {name}", ["gender"]),
        ("Care Instructions", "may i tumble dry the {name}", ["care instructions"]),
        ("Material", "what type of material is the {name}", ["material"]),
        ("Type", "what type is the {name}", ["type"]),
    ],
)
def test_an_attribute_is_asked_for_as_the_catalogue_calls_it(
    key: str, question: str, keys: list[str]
) -> None:
    row = ROW | {"facts": [{"key": key, "value": "x"}]}
    assert asked_keys(question.format(name=NAME.lower()), row) == keys


def test_the_words_of_a_partial_name_are_no_attributes() -> None:
    assert asked_keys("what is the zarvo long sleeve shirt made of", ROW) == ["fabric"]
    assert asked_keys("sleeves on the zarvo printed shirt?", ROW) == ["sleeve"]
    other = ROW | {"name": "Kabra Short Sleeve Striped Men's Shirt"}
    both = f"pattern of the {NAME} and the {other['name']}".lower()
    assert KeyMatcher([ROW, other], Spelling([])).asked_for(both, [ROW, other]) == ["pattern"]


def test_what_the_row_lacks_is_not_said() -> None:
    assert said_under(ROW, ["fabric", "waist"], of_several=False) == ["fabric? cotton", "waist? not said"]


def test_the_rows_of_named_products_end_with_it_and_others_do_not(products: pl.DataFrame) -> None:
    ground = Grounding(products, 3)
    asked = "Compare the fabric of the Zarvo Striped Men's Shirt and the Pello Men's Jeans. Is it cotton?"
    one, two = ground.context(CONTEXT, asked).splitlines()[1:]
    assert one.endswith("; compared by fabric: cotton for the Zarvo Striped Men's Shirt; cotton: yes")
    assert two.endswith("; compared by fabric: denim for the Pello Men's Jeans; cotton: no")
    (alone,) = ground.context(CONTEXT, "Fabric of the Zarvo Striped Men's Shirt?").splitlines()[1:]
    assert alone.endswith("; fabric? cotton")
    for line in ground.context(CONTEXT, "Do you have anything in the fabric linen?").splitlines()[1:]:
        assert "fabric?" not in line
    bare = products.with_columns(facts=pl.lit([], PAIRS))
    with_one = pl.concat([products.head(1), bare.slice(1, 1)])
    (line,) = (
        Grounding(with_one, 1).context(CONTEXT, "fabric of the Kabra Plain Men's Shirt?").splitlines()[1:]
    )
    assert line.endswith("| fabric? not said")


def test_a_value_is_looked_for_under_the_attribute_that_is_asked_for(products: pl.DataFrame) -> None:
    """A shelf for casual and party wear makes no shirt one for parties."""
    occasion = pl.when(pl.col("id") == "b").then(pl.lit("Party")).otherwise(pl.lit("Casual"))
    fact = pl.concat_list(pl.struct(key=pl.lit("Occasion"), value=occasion)).cast(PAIRS)
    shop = products.with_columns(facts=fact, shelf=pl.lit("Casual & Party Wear Shirts"))
    ground = Grounding(shop, 3)
    for question in ("Is the occasion of the {} party?", "is the {} a party thing"):
        asked = question.format("Zarvo Striped Men's Shirt")
        (line,) = ground.context(CONTEXT, asked).splitlines()[1:]
        assert line.endswith("; occasion? casual; party: no")
    assert "party: yes" in ground.context(CONTEXT, "a party shirt please")


@pytest.mark.parametrize(
    ("question", "has_rows"),
    [
        ("silk curtains please", False),  # silk alone is no curtain
        ("do you sell garden gnomes for men", False),
        ("something in silk for my neighbour", True),
        ("a silk shirt for sailing", True),
        ("silk jeans please", False),
        ("comfy jeans for travelling", True),
        ("looking for a guitar", False),
        ("a plain shirt with anchors", True),
    ],
)
def test_goods_that_no_row_names_get_no_rows(products: pl.DataFrame, question: str, has_rows: bool) -> None:
    kinds = products.with_columns(type=pl.col("shelf").str.strip_suffix("s"))
    found = Grounding(kinds, 3).context("", question)
    assert (found != f"\n{NOTHING}") == has_rows
