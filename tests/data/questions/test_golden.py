"""A user's own questions: what a file must hold, each bad row named with its line; a proposal to start
from.
"""

from pathlib import Path

import polars as pl
import pytest

from data.questions import golden
from data.questions.filling import PAIRS

HEADER = "question,category,product,attribute,value,kind\n"


@pytest.fixture
def products() -> pl.DataFrame:
    """Three products of two categories, two of one name."""
    facts = [[{"key": "Fabric", "value": "Cotton"}], [{"key": "Fabric", "value": "Silk"}], []]
    return pl.DataFrame(
        {
            "id": ["p1", "p2", "p3"],
            "name": ["Red  Shirt", "Blue Scarf", "Blue scarf"],
            "category": ["Men's Clothing", "Women's Clothing", None],
            "facts": pl.Series(facts, dtype=PAIRS),
        }
    )


def test_rows_name_products_by_id_or_name(tmp_path: Path, products: pl.DataFrame) -> None:
    path = tmp_path / "own.csv"
    rows = 'smth red?,Men\'s Clothing,red shirt,Fabric,Cotton,attribute\n"any\nscarf?",,p2 ; Red Shirt,,,\n'
    path.write_text(HEADER + rows + "garden hose,,,,,absent\n", encoding="utf-8")
    found = golden.read_golden(path, products)
    assert found["line"].to_list() == [2, 3, 5]
    assert found["question"].to_list() == ["smth red?", "any scarf?", "garden hose"]
    assert found["context"].to_list() == ["Online shopping for Men's Clothing", "", ""]
    assert found["right"].to_list() == [["red shirt"], ["blue scarf", "red shirt"], []]
    assert found["kind"].to_list() == ["attribute", "question", "absent"]


def test_a_spreadsheets_semicolons_are_read(tmp_path: Path, products: pl.DataFrame) -> None:
    path = tmp_path / "own.csv"
    path.write_text("question;product\nwhat fabric;p1\nand this;p2\n", encoding="utf-8")
    assert golden.read_golden(path, products)["right"].to_list() == [["red shirt"], ["blue scarf"]]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("q,,Red Shrt,,,", "line 2: no product is called 'Red Shrt'; did you mean 'red shirt'?"),
        (",,p1,,,", "line 2: the question is empty"),
        (f"{'q' * 300_000},,p1,,,", "line 2: the question has 300,000 characters; at most 4,000 are read"),
        ("q,Kids,p1,,,", "line 2: no category is called 'Kids'; there are Men's Clothing, Women's Clothing"),
        ("q,,p1,,,unsaid", "line 2: kind unsaid needs the attribute"),
        ("q,,p1,,Cotton,", "line 2: value needs an attribute; Price for a price"),
        ("q,,p1,Fabric,,", "line 2: attribute needs a value, or the kind unsaid"),
        ("q,,,Fabric,Cotton,", "line 2: attribute needs a product"),
    ],
)
def test_a_bad_row_is_named_with_its_line(
    tmp_path: Path, products: pl.DataFrame, row: str, message: str
) -> None:
    (tmp_path / "own.csv").write_text(f"{HEADER}{row}\nfine,,p1,,,\n", encoding="utf-8")
    with pytest.raises(ValueError, match="1 problems") as error:
        golden.read_golden(tmp_path / "own.csv", products)
    assert message in str(error.value)


def test_files_that_are_no_questions(tmp_path: Path, products: pl.DataFrame) -> None:
    with pytest.raises(ValueError, match=r"there is no such file; make golden writes one"):
        golden.read_golden(tmp_path / "none.csv", products)
    (tmp_path / "own.csv").write_text("text,label\na,b\n")
    with pytest.raises(
        ValueError, match="has no column question, product; the columns are question, category"
    ):
        golden.read_golden(tmp_path / "own.csv", products)
    (tmp_path / "own.csv").write_text(HEADER)
    with pytest.raises(ValueError, match="it has no rows"):
        golden.read_golden(tmp_path / "own.csv", products)


def test_a_proposal_is_a_file_that_is_read(tmp_path: Path, products: pl.DataFrame) -> None:
    golden.proposal(products, 0).write_csv(tmp_path / "own.csv")
    found = golden.read_golden(tmp_path / "own.csv", products)
    assert set(found["kind"]) >= {"attribute", "unsaid", "absent"}
    assert golden.proposal(products, 0).equals(golden.proposal(products, 0))
