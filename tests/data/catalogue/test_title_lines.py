"""Tables that begin with a title, and JSON files in which one object holds the table."""

import json
from pathlib import Path

import polars as pl
import pytest

from data.catalogue.cells import clean_text
from data.catalogue.inspection import inspect_table
from data.catalogue.reading import read_table
from data.catalogue.text_files import SEPARATORS, TextForm
from data.catalogue.title_lines import lines_above_header

ROWS = [{"id": f"A{place}", "name": f"Mug {place}", "category": "Küche"} for place in range(12)]
FORM = TextForm("", "")


def rows(path: Path) -> list[dict[str, object]]:
    """The rows of a file, none of which is unreadable."""
    frame, unread = read_table(path, FORM)
    assert unread.is_empty()
    return frame.to_dicts()


@pytest.mark.parametrize("separator", list(SEPARATORS))
@pytest.mark.parametrize("title", ["Products 2026\n\n", "Products 2026{s}{s}\n{s}{s}\n", "\n"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp1252"])
def test_a_title_is_left_out(tmp_path: Path, separator: str, title: str, encoding: str) -> None:
    lines = [separator.join(ROWS[0]), *(separator.join(row.values()) for row in ROWS)]
    text = title.replace("{s}", separator) + "\n".join(lines) + "\n"
    (tmp_path / "shop.csv").write_text(text, encoding=encoding)
    assert rows(tmp_path / "shop.csv") == ROWS


def test_a_title_of_a_sheet_is_left_out(tmp_path: Path) -> None:
    header = list(ROWS[0])
    cells = [["Products 2026", None, None], [None] * 3, header, *([*row.values()] for row in ROWS)]
    frame = pl.DataFrame(cells, orient="row", schema=["a", "b", "c"])
    frame.write_excel(tmp_path / "shop.xlsx", include_header=False)
    assert rows(tmp_path / "shop.xlsx") == ROWS


@pytest.mark.parametrize(
    "text",
    [
        "id,name,category\n1,Mug,Home\n2,Cup,Home\n",
        ",name,category\n0,Mug,Home\n1,Cup,Home\n",  # an index without a name, as pandas writes it
        "name,,\nMug,1,Home\nCup,2,Home\n",  # columns without names
        "text\nwell, so, fine\nyes, no\nperhaps, who, knows, it\n",  # one column with commas
        "name,price\nMug,3\n",
        "",
    ],
)
def test_a_header_is_no_title(text: str) -> None:
    assert lines_above_header(text, SEPARATORS) == 0


FORMS = {
    "columns": {name: [row[name] for row in ROWS] for name in ROWS[0]},
    "numbered": {name: {str(at): row[name] for at, row in enumerate(ROWS)} for name in ROWS[0]},
    "split": {
        "columns": list(ROWS[0]),
        "index": list(range(len(ROWS))),
        "data": [list(row.values()) for row in ROWS],
    },
    "by id": {row["id"]: {"name": row["name"], "category": row["category"]} for row in ROWS},
    "in a list": {"count": len(ROWS), "products": ROWS},
}


@pytest.mark.parametrize("form", FORMS)
def test_an_object_that_holds_a_table_is_read_in_its_order(tmp_path: Path, form: str) -> None:
    (tmp_path / "shop.json").write_text(json.dumps(FORMS[form]))
    assert rows(tmp_path / "shop.json") == ROWS


def test_columns_of_several_types_are_text_and_another_object_is_one_error(tmp_path: Path) -> None:
    path = tmp_path / "shop.json"
    path.write_text('{"name": ["Mug", 1, null], "sizes": [[1], "b", {"c": 2}]}')
    assert rows(path) == [
        {"name": "Mug", "sizes": "[1]"},
        {"name": "1", "sizes": "b"},
        {"name": None, "sizes": '{"c": 2}'},
    ]
    path.write_text('{"settings": {"a": [1, 2]}, "list": [1]}')
    with pytest.raises(
        ValueError,
        match=r"shop\.json cannot be read as \.json: the object in it holds no table",
    ):
        rows(path)


@pytest.mark.parametrize("cells", [["A1", "Mug", "Home", "more"], ["A1", "Mug"], "A1"])
def test_rows_apart_from_names_have_a_cell_for_each(tmp_path: Path, cells: object) -> None:
    (tmp_path / "shop.json").write_text(json.dumps({"columns": list(ROWS[0]), "data": [cells]}))
    with pytest.raises(ValueError, match=r"as \.json: row 1 of its data is not a list of 3 cells"):
        rows(tmp_path / "shop.json")


def test_names_of_letters_in_html_are_the_letters() -> None:
    cell = pl.lit("Caf&eacute; &amp; &quot;Bar&quot;&nbsp;&#8211; &#x20AC;5, R&D; AT&T")
    assert pl.select(clean_text(cell, ())).item() == 'Café & "Bar" – €5, R&D; AT&T'


def test_columns_in_other_languages_are_proposed(tmp_path: Path) -> None:
    path = tmp_path / "shop.csv"
    lines = [f"A{at};Tasse {at};Küche;{at + 1},50 €;Meier" for at in range(30)]
    path.write_text("\n".join(["Artikelnr;Bezeichnung;Warengruppe;Preis;Hersteller", *lines]))
    proposed = inspect_table(path, FORM)
    for role, column in {
        "name": "Bezeichnung",
        "category": "Warengruppe",
        "price": "Preis",
        "brand": "Hersteller",
    }.items():
        assert f"data.columns.{role}={column}" in proposed
