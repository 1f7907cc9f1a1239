"""What goes with what: the file that says it, and shops that sell no clothing."""

from pathlib import Path

import polars as pl
import pytest

from data.catalogue.pairing import Pairing, read_pairing
from data.questions import choice_wordings
from data.questions.products import products_for_questions, read_question_products
from data.scoring.verdicts import RIGHT_VERDICTS, judge
from tests.catalogues import questions_of
from tests.data.questions.test_templates import product

FURNITURE = """
kinds: {sofa: sofa|couch, table: table, lamp: lamp}
goes_with: {sofa: [table, lamp], table: [lamp]}
attributes: [Material]
"""


@pytest.fixture
def rooms() -> pl.DataFrame:
    """A catalogue of furniture, as it is after cleaning."""
    rows = []
    for number in range(60):
        kind = ["Sofa", "Coffee Table", "Floor Lamp", "Top Shelf"][number % 4]
        facts = [{"key": "Material", "value": "Oak"}, {"key": "Height", "value": f"{number} cm"}]
        rows.append(product(id=f"r{number}", name=f"Model {number} {kind}", brand=None, attributes=facts))
    return pl.concat(rows)


def test_no_pairing_is_no_outfit(rooms: pl.DataFrame) -> None:
    for wording in ("published", "shoppers"):
        products, questions, _ = questions_of(rooms, pairing="none", wording=wording)
        assert products["product_kind"].null_count() == products.height
        assert "outfit" not in set(questions["kind"])
        assert "alternative" in set(questions["kind"])


@pytest.mark.parametrize("wording", ["published", "shoppers"])
def test_a_shop_says_what_goes_with_what(rooms: pl.DataFrame, tmp_path: Path, wording: str) -> None:
    path = tmp_path / "furniture.yaml"
    path.write_text(FURNITURE)
    products, questions, _ = questions_of(rooms, pairing=str(path), wording=wording)
    kinds = dict(products.select("id", "product_kind").rows())
    pairs = questions.filter(pl.col("kind") == "outfit").select("product_id", "answer_id").rows()
    assert {(kinds[one], kinds[other]) for one, other in pairs} == {("sofa", "table"), ("table", "lamp")}
    asked = questions.filter(pl.col("kind") == "outfit")["question"].str.to_lowercase()
    assert not asked.str.contains(r"\bwear|outfit").any()  # nobody wears a table
    about = questions.filter(pl.col("kind").is_in(["attribute", "yes_no", "comparison", "follow_up"]))
    keys = set(about["conditions"].list.first().struct.field("key"))
    assert keys <= {"Material", "Shelf"}
    judged = judge(questions.with_columns(prediction="answer"), products)
    assert judged.filter(~pl.col("verdict").is_in(RIGHT_VERDICTS)).is_empty()


def test_the_wordings_without_clothing_name_none() -> None:
    assert len(choice_wordings.TOGETHER) >= 12
    assert not any("wear" in text or "outfit" in text for text in choice_wordings.TOGETHER)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "there is no such file; give none, clothing, or the path of a YAML file"),
        ("kinds: [", "cannot be read as YAML"),
        ("- a", "expected the keys kinds, goes_with"),
        ("sorts: {}", "sorts: no such key; there are kinds"),
        ("kinds: {sofa: '('}", "kinds.sofa: '\\(' is no regular expression"),
        ("kinds: {sofa: sofa}\ngoes_with: {sofa: [lamp]}", "goes_with.sofa: 'lamp' is none of the kinds"),
        ("kinds: {sofa: sofa}\ngoes_with: {sofa: sofa}", "goes_with.sofa: expected a list of kinds"),
        ("kinds: sofa", "kinds: expected a mapping"),
        ("kinds: {sofa: 'sofa(?!s)'}", r"is no regular expression \(look-around"),  # for Python it is one
        ("kinds: {sofa: '(a{900}){900}'}", r"is no regular expression \(Compiled regex exceeds size limit"),
        ("kinds: {sofa: 3}", "kinds.sofa: expected a name, and a regular expression"),
        ("kinds: {sofa: }", "kinds.sofa: expected a name"),
        ("kinds: {sofa: sofa}\ngoes_with: {sofa: [[sofa]]}", r"goes_with.sofa: \['sofa'\] is none"),
        ("attributes: Material", "attributes: expected a list"),
        ("worn: 'no'", "worn: expected true or false, not 'no'"),
        ("words: [warm]", "words: expected a mapping"),
        ("words: {'wool(': [warm]}", r"words: 'wool\(' is no regular expression"),
        ("words: {3: [three]}", "words.3: expected a regular expression for what a row says"),
        ("words: {'': [all]}", "words.: expected a regular expression for what a row says"),
        ("words: {wool: warm}", "words.wool: expected a list of words"),
        ("words: {wool: [nice and warm]}", "words.wool: 'nice and warm' is not one word"),
    ],
)
def test_a_wrong_file_is_one_clear_error(tmp_path: Path, content: str | None, message: str) -> None:
    path = tmp_path / "pairs.yaml"
    if content is not None:
        path.write_text(content)
    with pytest.raises(ValueError, match=message) as raised:
        read_pairing(str(path))
    assert str(raised.value).startswith(f"data.pairing={path}: ")


def test_none_and_an_empty_file_pair_nothing(tmp_path: Path) -> None:
    (tmp_path / "empty.yaml").write_text("kinds:\n")
    assert read_pairing("none") == read_pairing(str(tmp_path / "empty.yaml")) == Pairing()


def test_products_of_an_earlier_version_are_clothing(tmp_path: Path) -> None:
    products = products_for_questions(product(name="Kai Solid Women's Jeans"), 2, read_pairing("clothing"))
    assert products["partners"].to_list() == [["top", "layer"]]
    products.drop("partners", "keywords").write_parquet(tmp_path / "products.parquet")
    read = read_question_products(tmp_path / "products.parquet")
    assert read.drop("keywords").equals(products.drop("keywords"))
    assert read["keywords"].to_list() == [[]]


@pytest.mark.parametrize(
    ("name", "fabric", "has", "lacks"),
    [
        ("Kai Solid Women's Jeans", "Denim", {"wife", "ladies", "plain", "pants"}, {"guys", "warm", "kids"}),
        ("Kai Striped Men's Sweater", "Wool", {"guys", "husband", "warm", "stripes"}, {"wife", "daughter"}),
        ("Kai Printed Girl's Top", "Fleece", {"daughter", "kids", "warm"}, {"son", "wife", "guys"}),
    ],
)
def test_a_product_has_the_words_with_which_shoppers_ask_for_it(
    name: str, fabric: str, has: set[str], lacks: set[str]
) -> None:
    place = {"level_2": "Clothing", "level_3": "Clothing", "level_4": "Clothing"}
    made_of = product(name=name, attributes=[{"key": "Fabric", "value": fabric}], **place)
    (keywords,) = products_for_questions(made_of, 2, read_pairing("clothing"))["keywords"].to_list()
    assert has <= set(keywords)
    assert not lacks & set(keywords)
