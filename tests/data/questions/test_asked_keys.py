"""The attributes that a question asks for, with what the rows of the products that it names say of them."""

import polars as pl
import pytest

from data.questions.asked_keys import KeyMatcher, said_under
from data.questions.filling import PAIRS, for_training
from data.questions.grounding import Grounding
from data.questions.key_wordings import KEY_WORDINGS
from tests.data.questions import test_grounding
from tests.data.questions.test_grounding import CONTEXT

products = test_grounding.products  # a fixture

NAME = "Zarvo Long Sleeve Printed Men's Shirt"
ROW = {
    "name": NAME,
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
        ("do you like the {name}?", []),
        ("{name}", []),
    ],
)
def test_attributes_are_found_beside_the_name(question: str, keys: list[str]) -> None:
    asked = question.format(name=NAME.lower())
    assert KeyMatcher([ROW]).asked_for(asked, [ROW]) == keys


def test_wordings_that_are_kept_for_tests_tell_nothing_of_themselves() -> None:
    """A wording of the test is found by the attribute's name or by a word that a trained wording has, too."""
    matcher = KeyMatcher([{"facts": [{"key": key.title(), "value": "x"} for key in KEY_WORDINGS]}])
    for key, texts in KEY_WORDINGS.items():
        trained = " ".join(for_training(texts)).lower()
        for text in texts[len(for_training(texts)) :]:
            if matcher.asked_for(text.lower(), []) == [key]:
                words = set(text.lower().replace("?", "").split())
                assert words & {key, f"{key}s", *trained.replace("?", "").split()}


def test_what_the_row_lacks_is_not_said() -> None:
    assert said_under(ROW, ["fabric", "waist"]) == ["fabric? Cotton", "waist? not said"]


def test_the_rows_of_named_products_end_with_it_and_others_do_not(products: pl.DataFrame) -> None:
    ground = Grounding(products, 3)
    asked = "Compare the fabric of the Zarvo Striped Men's Shirt and the Pello Men's Jeans. Is it cotton?"
    one, two = ground.context(CONTEXT, asked).splitlines()[1:]
    assert one.endswith("; fabric? Cotton; cotton: yes")
    assert two.endswith("; fabric? Denim; cotton: no")
    for line in ground.context(CONTEXT, "Do you have anything in the fabric linen?").splitlines()[1:]:
        assert "fabric?" not in line
    bare = products.with_columns(facts=pl.lit([], PAIRS))
    with_one = pl.concat([products.head(1), bare.slice(1, 1)])
    (line,) = (
        Grounding(with_one, 1).context(CONTEXT, "fabric of the Kabra Plain Men's Shirt?").splitlines()[1:]
    )
    assert line.endswith("| fabric? not said")
