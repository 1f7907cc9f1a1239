"""Reading, parsing, cleaning and filtering: on real rows where they are at hand, and on every oddity by
itself.
"""

import gzip
from pathlib import Path

import polars as pl
import pytest

from data.catalogue.cleaning import CatalogueFilter
from data.catalogue.reading import read_table
from tests.catalogues import Catalogue, clean
from tests.conftest import ROOT, real

SHORT = {"id": "uniq_id", "name": "product_name", "category": "product_category_tree", "brand": "brand"}
FULL = SHORT | {"description": "description", "specifications": "product_specifications", "image": "image"}
DEPARTMENTS = ("Women's Clothing", "Men's Clothing", "Kids' Clothing")
NO_FILTER = CatalogueFilter("", (), 0, False)


def one(tmp_path: Path, specifications: str = "", category: str = "A >> B", image: str = "") -> Catalogue:
    """Clean a table of a single row."""
    columns = {"name": "n", "category": "c", "specifications": "s", "image": "i"}
    path = tmp_path / "one.csv"
    pl.DataFrame({"n": ["x"], "c": [category], "s": [specifications], "i": [image]}).write_csv(path)
    return clean(path, columns, [], NO_FILTER)


@pytest.mark.parametrize(("drop", "last"), [(False, 5721), (True, 5689)])
def test_filter_on_all_twenty_thousand_rows(drop: bool, last: int) -> None:
    table = real("flipkart/flipkart_core_20000.csv")
    cleaned = clean(table, SHORT, [], CatalogueFilter("Clothing", DEPARTMENTS, 10, drop))
    assert [count for _, count in cleaned.counts][-4:] == [6198, 6194, 6177, last]
    assert cleaned.products.height == last


def test_every_real_specification_parses() -> None:
    table = real("flipkart/flipkart_raw15_first999.csv")
    cleaned = clean(table, FULL, [], NO_FILTER)
    given = pl.read_csv(table, infer_schema=False)["product_specifications"].drop_nulls()
    entries = cleaned.products["attributes"].list.len() + cleaned.products["notes"].list.len()
    assert given.len() == 998
    assert cleaned.quarantine.is_empty()
    assert (entries > 0).sum() == 998
    assert cleaned.products["notes"].list.len().sum() == 715
    assert (cleaned.products["notes"].list.len() > 0).sum() == 485
    quoted = (
        cleaned.products.explode("attributes").unnest("attributes").filter(pl.col("value").str.contains('"'))
    )
    assert quoted.filter(pl.col("value").str.contains('Dia 3", Height 4.8"')).height > 0
    assert cleaned.products["levels"].list.len().max() == cleaned.products.select(pl.col("^level_.*$")).width


@pytest.mark.parametrize(
    ("text", "attributes", "notes"),
    [
        ('{"product_specification"=>[{"key"=>"Fit", "value"=>"Slim"}]}', [("Fit", "Slim")], []),
        ('{"product_specification"=>{"key"=>"Fit", "value"=>"Slim"}}', [("Fit", "Slim")], []),
        ('{"product_specification"=>[{"value"=>"3 shorts"}]}', [], ["3 shorts"]),
        ('{"product_specification"=>nil}', [], []),
        ('{"product_specification"=>[{"key"=>"Fit", "value"=>nil}]}', [], []),
        (
            '{"product_specification"=>[{"key"=>"Size", "value"=>"32\\" waist, \\"M\\""}]}',
            [("Size", '32" waist, "M"')],
            [],
        ),
        (
            '{"product_specification"=>[{"key"=>"A=>B", "value"=>"x, \\"key\\"=>\\"y\\"}"}]}',
            [("A=>B", 'x, "key"=>"y"}')],
            [],
        ),
        ('{"product_specification":[{"key":"Fit","value":"Slim"}]}', [("Fit", "Slim")], []),
    ],
)
def test_specification_syntax(
    tmp_path: Path, text: str, attributes: list[tuple[str, str]], notes: list[str]
) -> None:
    row = one(tmp_path, specifications=text).products.row(0, named=True)
    assert [(a["key"], a["value"]) for a in row["attributes"]] == attributes
    assert row["notes"] == notes


def test_damaged_specifications_are_set_aside_with_a_reason(tmp_path: Path) -> None:
    path = tmp_path / "two.csv"
    sound = '{"product_specification"=>[{"key"=>"Fit", "value"=>"Slim"}]}'
    pl.DataFrame({"n": ["x", "y", ""], "c": ["A"] * 3, "s": [sound, sound[:-20], sound]}).write_csv(path)
    cleaned = clean(path, {"name": "n", "category": "c", "specifications": "s"}, [], NO_FILTER)
    assert cleaned.products["name"].to_list() == ["x"]
    assert sorted(cleaned.quarantine.select("row", "reason").rows()) == [
        (2, "specifications cannot be parsed"),
        (3, "no name or no category"),
    ]


def test_a_name_without_end_is_set_aside(tmp_path: Path) -> None:
    path = tmp_path / "long.csv"
    pl.DataFrame({"n": ["Mug", "word " * 300], "c": ["A"] * 2}).write_csv(path)
    cleaned = clean(path, {"name": "n", "category": "c"}, [], NO_FILTER)
    assert cleaned.products["name"].to_list() == ["Mug"]
    assert cleaned.quarantine["reason"].to_list() == ["a name of more than 1,000 characters"]


def test_category_tree(tmp_path: Path) -> None:
    assert one(tmp_path, category='["A >> B \\"x\\" >> C..."]').products["levels"].to_list() == [
        ["A", 'B "x"', "C..."]
    ]
    assert one(tmp_path, category="A > B > C > D > E > F > G > H").products["level_8"].to_list() == ["H"]


def test_images_are_validated(tmp_path: Path) -> None:
    row = one(tmp_path, image='["http://a.b/c.jpeg", "ftp://a.b/c", "https://a.b/d.jpeg"]').products.row(
        0, named=True
    )
    assert (row["images"], row["invalid_images"]) == (["http://a.b/c.jpeg", "https://a.b/d.jpeg"], 1)


def test_least_rows_count_over_the_whole_table(tmp_path: Path) -> None:
    """Twelve rows of one category, far apart: counting inside parts of the table would lose them."""
    rows = [
        ("R >> D >> far >> apart", i) if i % 100 == 0 else (f"R >> D >> other >> {i % 3}", i)
        for i in range(1200)
    ]
    path = tmp_path / "apart.csv"
    pl.DataFrame({"c": [c for c, _ in rows], "n": [f"p{i}" for _, i in rows]}).write_csv(path)
    cleaned = clean(path, {"name": "n", "category": "c"}, [], CatalogueFilter("R", ("D",), 12, False))
    assert cleaned.products.filter(pl.col("level_3") == "far").height == 12


def test_description_keeps_its_words_and_the_original(tmp_path: Path) -> None:
    path = tmp_path / "d.csv"
    text = "The shirt, it's a\n\tsoft-cotton shirt!"
    pl.DataFrame({"n": ["x"], "c": ["A"], "d": [text]}).write_csv(path)
    row = clean(path, {"name": "n", "category": "c", "description": "d"}, [], NO_FILTER).products.row(
        0, named=True
    )
    assert row["description"] == text
    assert row["description_words"] == "shirt softcotton shirt"


@pytest.mark.parametrize("kind", ["csv.gz", "parquet", "jsonl"])
def test_other_kinds_of_table(tmp_path: Path, kind: str) -> None:
    frame = pl.read_csv(ROOT / "data/sample/catalogue.csv", infer_schema=False)
    path = tmp_path / f"table.{kind}"
    if kind == "csv.gz":
        path.write_bytes(gzip.compress(frame.write_csv().encode()))
    elif kind == "parquet":
        frame.write_parquet(path)
    else:
        frame.write_ndjson(path)
    there = clean(path, FULL, [], CatalogueFilter("Clothing", DEPARTMENTS, 10, False)).products
    here = clean(
        ROOT / "data/sample/catalogue.csv", FULL, [], CatalogueFilter("Clothing", DEPARTMENTS, 10, False)
    ).products
    assert there.equals(here)
    assert here.height == 1000


def test_attribute_columns_instead_of_specifications(tmp_path: Path) -> None:
    path = tmp_path / "plain.csv"
    path.write_text("title,department,colour,size\nMug,Kitchen,Red,\nJug,Kitchen,,L\n")
    products = clean(
        path, {"name": "title", "category": "department"}, ["colour", "size"], NO_FILTER
    ).products
    assert products["attributes"].to_list() == [
        [{"key": "colour", "value": "Red"}],
        [{"key": "size", "value": "L"}],
    ]
    assert products["id"].n_unique() == 2


def test_records_of_the_wrong_width_are_set_aside(tmp_path: Path) -> None:
    path = tmp_path / "ragged.csv"
    path.write_text('a,b\n1,"x\ny"\n2,y,too,many\n3,z\n')
    rows, bad = read_table(path)
    assert rows["a"].to_list() == ["1", "3"]
    assert rows["b"].to_list() == ["x\ny", "z"]
    assert bad["reason"].to_list() == ["4 fields where the header has 2"]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("missing.csv", None, "no table at"),
        ("empty.csv", b"", "is empty"),
        ("empty.jsonl", b"", "is empty"),
        ("blank.json", b" \n\n", "is empty"),
        ("table.xlsx", b"PK", "cannot be read as .xlsx"),
        ("table.doc", b"PK", "unknown kind of table '.doc'"),
        ("broken.parquet", b"not parquet", "cannot be read as .parquet"),
        (
            "cut.csv.gz",
            gzip.compress(b"".join(b"%d,mug %d\n" % (i, i * i) for i in range(5000)))[:9000],
            "cannot be read as .csv",
        ),
        ("table.csv", b"title,department\nMug,Kitchen\n", "has no column 'uniq_id', 'product_name'"),
    ],
)
def test_a_table_that_cannot_be_used(tmp_path: Path, name: str, content: bytes | None, message: str) -> None:
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ValueError, match=message):
        clean(path, SHORT, [], NO_FILTER)


def test_a_filter_that_leaves_nothing_says_where_the_rows_went() -> None:
    with pytest.raises(ValueError, match=r"level 1 is Nothing: 0.*relax data.root"):
        clean(ROOT / "data/sample/catalogue.csv", FULL, [], CatalogueFilter("Nothing", (), 10, False))


def test_repeats_go_by_id_or_else_by_content(tmp_path: Path) -> None:
    path = tmp_path / "repeats.csv"
    path.write_text("id,t,c\n1,Mug,A\n1,Mug,A\n2,Mug,A\n,Mug,B\n,Mug,B\n")
    by_id = clean(path, {"id": "id", "name": "t", "category": "c"}, [], NO_FILTER).products
    assert by_id["id"].to_list() == ["1", "2", "row-4", "row-5"]
    by_content = clean(path, {"name": "t", "category": "c"}, [], NO_FILTER).products
    assert by_content["id"].to_list() == ["row-1", "row-4"]


def test_text_that_is_not_utf8_is_read_in_its_encoding(tmp_path: Path) -> None:
    path = tmp_path / "latin.csv"
    path.write_bytes("t,c\nCaf\xe9,A\n".encode("latin-1"))
    products = clean(path, {"name": "t", "category": "c"}, [], NO_FILTER).products
    assert products["name"].to_list() == ["Caf\xe9"]
