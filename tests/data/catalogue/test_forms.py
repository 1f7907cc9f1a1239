"""Cells as people write them: missing values, numbers, category trees, specifications and image lists."""

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from config.schema.data import MISSING_WORDS
from data.catalogue.cells import cell_text, clean_text, first_number
from data.catalogue.cleaning import CatalogueFilter, CellRules
from data.catalogue.forms import category_levels, image_addresses, read_pairs
from tests.catalogues import clean

NO_FILTER = CatalogueFilter("", (), 0, False)
RULES = CellRules(tuple(MISSING_WORDS))


def each(values: list[Any], expression: pl.Expr) -> list[Any]:
    return pl.DataFrame({"x": values}).select(expression).to_series().to_list()


@pytest.mark.parametrize(
    "word", ["", " ", "nan", "NaN", "None", "NULL", "N/A", "na", "-", "--", "—", "\t-\n"]
)
def test_words_for_a_missing_value_are_missing(word: str) -> None:
    assert each([word, "red"], clean_text(pl.col("x"), MISSING_WORDS)) == [None, "red"]


def test_white_space_and_control_characters_become_one_space() -> None:
    messy = [" red\nmatt ", "a\t\tb\u00a0c", "a\x00b", "a\u2028b"]
    assert each(messy, clean_text(pl.col("x"), ())) == ["red matt", "a b c", "a b", "a b"]


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("4.9 out of 5 stars", 4.9),
        ("4,9", 4.9),
        ("4.9/5", 4.9),
        ("5", 5.0),
        ("Rs. 1,299.00", 1299.0),
        ("1.299,00 EUR", 1299.0),
        ("1,299", 1299.0),
        ("1 299,50", 1299.5),
        ("12,345,678.9", 12345678.9),
        ("0.125", 0.125),
        ("No rating", None),
        ("", None),
    ],
)
def test_numbers_are_read_from_text(text: str, number: float | None) -> None:
    assert each([text], first_number(pl.col("x"))) == [number]


def test_cells_of_every_type_become_text() -> None:
    frame = pl.DataFrame(
        {
            "list": [["a", 'b"c']],
            "object": [{"x": 1, "y": "é"}],
            "whole": [40.0],
            "part": [40.5],
            "none": [float("nan")],
            "flag": [True],
            "time": [timedelta(days=1)],
        }
    )
    texts = frame.select(cell_text(name, kind) for name, kind in frame.schema.items()).row(0)
    assert texts == ('["a","b\\"c"]', '{"x":1,"y":"é"}', "40", "40.5", None, "true", "1d")
    with pytest.raises(ValueError, match="the column 'raw' holds Binary, which is no text"):
        cell_text("raw", pl.Binary())


@pytest.mark.parametrize(
    ("cell", "separator", "levels"),
    [
        ("A >> B >> C", "", ["A", "B", "C"]),
        ("A>>B", "", ["A", "B"]),
        ("A > B", "", ["A", "B"]),
        ("A › B", "", ["A", "B"]),
        ('["A >> B"]', "", ["A", "B"]),
        ('["Home >> Lamps", "Sale >> All"]', "", ["Home", "Lamps"]),
        ('["Home", "Lamps"]', "", ["Home", "Lamps"]),
        ("['Home', 'Lamps']", "", ["Home", "Lamps"]),
        ("[Home, Lamps]", "", ["Home", "Lamps"]),
        ('["Caf\\u00e9", "Th\\u00e9"]', "", ["Café", "Thé"]),
        ("A/B", "", ["A/B"]),
        ("A/B", "/", ["A", "B"]),
        ("A|B | C", "|", ["A", "B", "C"]),
        ("Home >> nan", "", ["Home"]),
        ("None", "", []),
    ],
)
def test_category_trees(cell: str, separator: str, levels: list[str]) -> None:
    assert each([cell], category_levels(pl.col("x"), separator, MISSING_WORDS)) == [levels]


@pytest.mark.parametrize(
    ("cell", "pairs"),
    [
        ('{"Fit": "Slim", "Waist": 32, "Lined": true}', [("Fit", "Slim"), ("Waist", "32"), ("Lined", "yes")]),
        ('[{"key": "Fit", "value": "Slim"}]', [("Fit", "Slim")]),
        ('[{"name": "Fit", "value": "Slim"}]', [("Fit", "Slim")]),
        ('[{"Fit": "Slim"}, {"Waist": 32.0}]', [("Fit", "Slim"), ("Waist", "32")]),
        ("{'Fit': 'Slim', 'Sizes': ['S', 'M']}", [("Fit", "Slim"), ("Sizes", "S, M")]),
        ('{"Size": {"Width": "3 cm"}}', [("Size Width", "3 cm")]),
        ('{"Fit"=>"Slim", "Lining"=>nil}', [("Fit", "Slim")]),
        ("Fit:Slim;Waist:32", [("Fit", "Slim"), ("Waist", "32")]),
        ("Fit: Slim | Waist = 32", [("Fit", "Slim"), ("Waist", "32")]),
        (
            '{"product_specification": [{"key": "Mati\\u00e8re", "value": "Cr\\u00eape"}]}',
            [("Matière", "Crêpe")],
        ),
        ('{"product_specification": [{"value": "loose"}]}', [("", "loose")]),
        ("{}", []),
        ("some words", None),
        ('{"Fit": "Sl', None),
        ("__import__('os')", None),
    ],
)
def test_specifications_of_every_form(cell: str, pairs: list[tuple[str, str]] | None) -> None:
    assert read_pairs(cell) == pairs


@pytest.mark.parametrize(
    ("cell", "images"),
    [
        ("http://a.example.com/1.jpg|http://a.example.com/2.jpg", 2),
        ("['http://a.example.com/1.jpg', 'http://a.example.com/2.jpg']", 2),
        ('["http:\\/\\/a.example.com\\/1.jpg"]', 1),
        ("http://a.example.com/w_200,h_300/1.jpg", 1),
        ("http://a.example.com/1.jpg, http://a.example.com/2.jpg", 2),
        ("http://a.example.com/1.jpg http://a.example.com/2.jpg", 2),
        ("none", 0),
    ],
)
def test_image_lists(cell: str, images: int) -> None:
    frame = pl.DataFrame({"image": [cell]}).select(image_addresses())
    found = frame["images"].to_list()[0]
    assert len(found) == images
    assert all(address.startswith("http://a.example.com/") and address.endswith(".jpg") for address in found)
    if "w_200" in cell:
        assert found == [cell]


def test_a_table_of_many_forms_becomes_one_catalogue(tmp_path: Path) -> None:
    """Nested columns, missing words, a brand called NA, columns that nothing reads, a colon in a name."""
    frame = pl.DataFrame(
        {
            "sku": ["1", "2", "3"],
            "title": ["Red\nmug", "NA Ale", "nan"],
            "department": [["Home", "Mugs"], ["Home", "Ales"], ["Home", "None"]],
            "brand": ["N/A", "NA", "x"],
            "Custom: colour": [" red\nmatt", "-", "blue"],
            "specs": [[{"name": "Fit", "value": "Slim"}], [], []],
            "embedding": pl.Series([[1.0, 2.0]] * 3, dtype=pl.Array(pl.Float32, 2)),
            "wait": [timedelta(days=1)] * 3,
            "raw": [b"\xff"] * 3,
            "stars": [4.0, float("nan"), 3.5],
        },
        strict=False,
    )
    frame.write_parquet(tmp_path / "table.parquet")
    columns = {"id": "sku", "name": "title", "category": "department", "brand": "brand", "rating": "stars"}
    columns |= {"specifications": "specs"}
    made = clean(tmp_path / "table.parquet", columns, ["Custom: colour"], NO_FILTER, RULES)
    assert made.products["name"].to_list() == ["Red mug", "NA Ale"]
    assert made.products["levels"].to_list() == [["Home", "Mugs"], ["Home", "Ales"]]
    assert made.products["brand"].to_list() == [None, "NA"]
    assert made.products["rating"].to_list() == [4.0, None]
    pairs = [{"key": "Fit", "value": "Slim"}, {"key": "Custom - colour", "value": "red matt"}]
    assert made.products["attributes"].to_list() == [pairs, []]
    assert made.quarantine["reason"].to_list() == ["no name or no category"]


def test_levels_come_from_several_columns(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    path.write_text("n,master,sub,article\nMug,Home,Kitchen,Mugs\nJug,Home,,Jugs\nCap,,x,y\n")
    made = clean(path, {"name": "n", "category": ["master", "sub", "article"]}, [], NO_FILTER)
    assert made.products["levels"].to_list() == [["Home", "Kitchen", "Mugs"], ["Home"]]
    assert made.quarantine["row"].to_list() == [3]


def test_what_is_noted_is_counted(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    pl.DataFrame(
        {"n": ["a", "b"], "c": [json.dumps(["A >> B", "C >> D"]), "A >> B"], "r": ["good", "4"]}
    ).write_csv(path)
    made = clean(path, {"name": "n", "category": "c", "rating": "r"}, [], NO_FILTER)
    counts = dict(made.counts)
    assert counts["rows with several category trees, of which the first counts"] == 1
    assert counts["rows with a rating that is no number"] == 1


def test_a_table_of_which_nothing_can_be_read_shows_the_first_value(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    pl.DataFrame({"n": ["a"], "c": ["A"], "s": ["no form at all"]}).write_csv(path)
    with pytest.raises(ValueError, match=r"row 1: specifications cannot be parsed: .*no form at all"):
        clean(path, {"name": "n", "category": "c", "specifications": "s"}, [], NO_FILTER)
