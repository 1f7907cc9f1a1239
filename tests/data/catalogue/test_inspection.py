"""The look at an unknown table: what it proposes can be typed, and works."""

import shlex
from pathlib import Path

import polars as pl
import pytest

from config import command_line
from data.catalogue import inspection
from tests.conftest import real


def shop(folder: Path, **changes: str) -> Path:
    frame = pl.DataFrame(
        {
            "sku": [f"M{i}" for i in range(90)],
            "title": [f"Shelf number {i}" for i in range(90)],
            "department": ["Home > Shelves", "Home > Tables", "Garden > Benches"] * 30,
            "colour": ["red", "blue"] * 45,
            "frame material": ["steel", "wood", "oak"] * 30,
            "price": [str(i / 7) for i in range(90)],
            "added on (date)": ["2026-01-01", "2026-01-02"] * 45,
        }
    ).rename(changes)
    frame.write_csv(folder / "my shop.csv")
    return folder / "my shop.csv"


def test_the_proposed_command_works_as_it_is_printed(tmp_path: Path) -> None:
    import train
    from config import schema

    text = inspection.inspect_table(shop(tmp_path))
    words = shlex.split(text.splitlines()[-1].removeprefix("try:"))
    assert words[:2] == ["python", "train.py"]
    sweep, (config,) = command_line.check([*words[2:], f"outputs={tmp_path}"])
    assert not sweep
    assert isinstance(config, schema.TrainConfig)
    assert {k: v for k, v in config.data.columns.items() if v} == {
        "id": "sku",
        "name": "title",
        "category": "department",
        "price": "price",
    }
    assert config.data.attributes == ["colour", "frame material"]
    questions = train.prepare(config).questions("train")["question"]
    assert questions.str.contains("frame material").any()


def test_a_table_that_names_nothing_plainly(tmp_path: Path) -> None:
    text = inspection.inspect_table(shop(tmp_path, title="bezeichnung", department="x"))
    assert "data.columns.name=bezeichnung" in text
    assert "No column looks like category, which is needed" in text


def test_the_real_catalogue_is_understood() -> None:
    text = inspection.inspect_table(real("flipkart/flipkart_raw15_first999.csv"))
    expected = {
        "id": "uniq_id",
        "name": "product_name",
        "category": "product_category_tree",
        "description": "description",
    }
    expected |= {
        "specifications": "product_specifications",
        "image": "image",
        "brand": "brand",
        "rating": "product_rating",
    }
    assert all(f"data.columns.{role}={column}" in text for role, column in expected.items())


@pytest.mark.parametrize("content", ["", "a,b\n"])
def test_an_empty_table_is_told(content: str, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text(content)
    with pytest.raises(ValueError, match=r"is empty|holds no rows"):
        inspection.inspect_table(tmp_path / "t.csv")


def test_odd_tables_are_shown(tmp_path: Path) -> None:
    """Columns of nothing, of lists, of one huge cell, with bars and quotes in their names."""
    frame = pl.DataFrame(
        {"name": ["x" * 3_000_000, "y"], "none": [None, None], 'a|b"c': ["1", "2"], "tags": [["a"], ["b"]]}
    )
    frame.write_parquet(tmp_path / "t.parquet")
    text = inspection.inspect_table(tmp_path / "t.parquet")
    assert len(text) < 3000
    assert "a\\|b" in text


def test_columns_of_one_tree_are_proposed_as_its_levels(tmp_path: Path) -> None:
    rows = [
        ("Home", "Kitchen", "Mugs"),
        ("Home", "Kitchen", "Jugs"),
        ("Home", "Bath", "Towels"),
        ("Wear", "Tops", "Tees"),
    ]
    frame = pl.DataFrame(
        {
            "title": [f"Thing {i} of the shop" for i in range(40)],
            "articleType": [rows[i % 4][2] for i in range(40)],
            "masterCategory": [rows[i % 4][0] for i in range(40)],
            "subCategory": [rows[i % 4][1] for i in range(40)],
            "colour": ["red", "blue"] * 20,
        }
    )
    frame.write_csv(tmp_path / "t.csv")
    text = inspection.inspect_table(tmp_path / "t.csv")
    assert "'data.columns.category=[masterCategory,subCategory,articleType]'" in text
    assert "data.attributes=[colour]" in text.replace("'", "")
    assert "category, level 2" in text


def test_whom_products_are_for_is_proposed_as_their_group(tmp_path: Path) -> None:
    rows = [f"Shirt {i},Clothing,{'Men' if i % 2 else 'Women'},red" for i in range(40)]
    (tmp_path / "shop.csv").write_text("title,department,gender,colour\n" + "\n".join(rows))
    assert "data.columns.group=gender" in inspection.inspect_table(tmp_path / "shop.csv")


def test_clothing_is_known_by_its_words_and_laptops_are_none(tmp_path: Path) -> None:
    names = {
        "wear": ["Kai Jeans", "Blue T-Shirt", "Red dresses"],
        "desk": ["Ola Laptop", "Desktop 3", "Stopwatch"],
    }
    for name, goods in names.items():
        frame = pl.DataFrame(
            {"title": [f"{good} {i}" for i, good in enumerate(goods * 30)], "kind": ["A", "B", "C"] * 30}
        )
        frame.write_csv(tmp_path / f"{name}.csv")
        text = inspection.inspect_table(tmp_path / f"{name}.csv")
        assert ("data.pairing=clothing" in text) is (name == "wear")
