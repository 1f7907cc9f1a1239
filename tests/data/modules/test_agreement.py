"""Training and scoring agree: whatever names, attributes and values a table has, the answers that are trained
are judged right, as they are and through the tokenizer.
"""

import logging
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from data.catalogue.cleaning import CatalogueFilter, CellRules
from data.catalogue.normalisation import padded_words, stands_beside
from data.modules import agreement
from data.scoring import verdicts
from data.tokens.escaping import escape_frame
from data.tokens.prompts import Renderer
from tests.catalogues import clean, questions_of
from tests.conftest import POCKET

NO_FILTER = CatalogueFilter("", (), 0, False)
RENDERER = Renderer(str(POCKET))

WORDS = [
    "Tea",
    "Green Tea",
    "★",
    "100%",
    "a",
    "is",
    "The",
    "<end_of_turn>",
    "<eos>",
    "x: y",
    "- b",
    "Über",
    "ß",
]
WORDS += [
    "ΟΔΟΣ",
    "İ",
    "赤い",
    "العربية",
    "हिंदी",
    "🙂",
    "a\nb",
    "t-shirt",
    "Product",
    '"q"',
    "\\",
    "{name}",
    "$1",
]
TEXT = st.one_of(
    st.lists(st.sampled_from(WORDS), min_size=1, max_size=3).map(" ".join),
    st.text(min_size=1, max_size=12),
)
ROW = st.tuples(TEXT, TEXT, TEXT)


def disagreeing(table: Path, attributes: list[str]) -> tuple[pl.DataFrame, pl.DataFrame]:
    """(questions whose own answer is judged wrong as it is, and through the tokenizer), with the ``name``."""
    catalogue = clean(table, {"name": "name", "category": "category"}, attributes, NO_FILTER, CellRules())
    products, questions, _ = questions_of(catalogue.products)
    products, questions = (escape_frame(frame, RENDERER.special) for frame in (products, questions))
    decoded = [RENDERER.decode(ids) for ids in RENDERER.encode(questions["answer"].to_list())]
    names = products.select("name", product_id="id")
    questions = questions.join(names, on="product_id", maintain_order="left")
    raw = agreement.judged_wrong(questions, questions["answer"], products)
    return raw, agreement.judged_wrong(questions, pl.Series(decoded, dtype=pl.String), products)


def check_answers(rows: list[tuple[str, str, str]], key: str, folder: Path) -> None:
    """Every answer about a table of such rows is judged right."""
    names = {"name", "category", "colour"}
    attribute = key if key.strip() and key not in names else "size"
    frame = pl.DataFrame(
        {
            "name": [name for name, _, _ in rows],
            "category": ["Things"] * len(rows),
            attribute: [value for _, value, _ in rows],
            "colour": [value for _, _, value in rows],
        }
    )
    frame.write_parquet(folder / "table.parquet")
    try:
        raw, decoded = disagreeing(folder / "table.parquet", [attribute, "colour"])
    except ValueError as error:
        assert "no product is left" in str(error)
        return
    # "The colour of the is red is red.": the name may stand there twice. Such rows are set aside.
    ambiguous = padded_words(pl.col("name")).str.contains(padded_words(pl.col("value")), literal=True)
    for wrong in (raw, decoded):
        unexplained = wrong.filter(~ambiguous.fill_null(False))
        assert unexplained.is_empty(), unexplained.select("answer", "value", "verdict").rows()[:2]


TABLES = given(rows=st.lists(ROW, min_size=1, max_size=8), key=TEXT)
WITH_FOLDER = [HealthCheck.function_scoped_fixture]


@settings(max_examples=12, deadline=None, suppress_health_check=WITH_FOLDER)
@TABLES
def test_every_answer_that_is_trained_is_judged_right(
    rows: list[tuple[str, str, str]], key: str, tmp_path: Path
) -> None:
    check_answers(rows, key, tmp_path)


@pytest.mark.slow
@settings(max_examples=300, deadline=None, suppress_health_check=WITH_FOLDER)
@TABLES
def test_every_answer_is_judged_right_in_many_tables(
    rows: list[tuple[str, str, str]], key: str, tmp_path: Path
) -> None:
    check_answers(rows, key, tmp_path)


@pytest.mark.parametrize(
    ("name", "key", "value"),
    [
        ("Tea", "type", "Green Tea"),
        ("Lamp", "Metafield: custom.colour [text]", "red"),
        ("Lamp <end_of_turn> 3", "colour", "red"),
        ("Lamp", "*", "red"),
        ("Lamp", "^na.*$", "red"),
        ("Tea", "label", "The The Tea"),
        ("Lamp", "rating", "★★★"),
        ("Lamp", "colour", "red\nmatt"),
        ("Red", "colour", "red"),
        ("Green Tea Box", "type", "tea"),
    ],
)
def test_known_pitfalls_are_judged_right(name: str, key: str, value: str, tmp_path: Path) -> None:
    rows = {"name": [name, "Other"], "category": ["A", "A"], key: [value, "other"]}
    pl.DataFrame(rows).write_csv(tmp_path / "table.csv")
    raw, decoded = disagreeing(tmp_path / "table.csv", [key])
    assert raw.is_empty() and decoded.is_empty()


def test_a_value_left_out_is_judged_wrong() -> None:
    """The check can fail: a sentence without the value is no right answer."""
    rows = pl.DataFrame({"text": ["The type of the Tea is green tea.", "The type of the Tea is tea leaf."]})
    stated = rows.select(stands_beside(pl.col("text"), pl.lit("Green Tea"), pl.lit("tea"))).to_series()
    assert stated.to_list() == [True, False]


def prepared(folder: Path, answers: list[str]) -> None:
    """Products and questions as the preparation writes them; each question has one of the answers."""
    catalogue = folder / "table.csv"
    count = len(answers)
    frame = pl.DataFrame({"name": [f"Mug {i}" for i in range(count)], "category": ["A"] * count})
    frame.with_columns(colour=pl.Series(["red"] * count)).write_csv(catalogue)
    products = clean(catalogue, {"name": "name", "category": "category"}, ["colour"], NO_FILTER).products
    products, questions, _ = questions_of(products, attribute_questions=1)
    asked = questions.filter(pl.col("kind") == "attribute").unique("product_id", maintain_order=True)
    said = [answer or own for answer, own in zip(answers, asked["answer"], strict=True)]
    products.write_parquet(folder / "products.parquet")
    asked.with_columns(answer=pl.Series(said)).write_parquet(folder / "questions.parquet")


def test_questions_whose_answer_is_judged_wrong_are_set_aside(tmp_path: Path) -> None:
    prepared(tmp_path, ["", "", "a nice shirt"])
    assert agreement.set_aside_disagreeing(tmp_path) == [("no_details", 1)]
    assert pl.read_parquet(tmp_path / "questions.parquet").height == 2
    assert pl.read_parquet(tmp_path / agreement.SET_ASIDE)["answer"].to_list() == ["a nice shirt"]
    assert agreement.set_aside_disagreeing(tmp_path) == []


class Forgetful(Renderer):
    """A renderer whose tokenizer loses one letter."""

    def decode(self, ids: list[int]) -> str:
        return super().decode(ids).replace("7", "")


def test_a_tokenizer_that_loses_letters_is_told_or_refused(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    prepared(tmp_path, [""] * 30)
    read: dict[str, Any] = {
        name: pl.read_parquet(tmp_path / f"{name}.parquet") for name in ("questions", "products")
    }
    assert agreement.check_tokenizer(RENDERER, **read)["changed"] == 0
    with pytest.raises(ValueError, match="does not reproduce 3 of 30 answers"):
        agreement.check_tokenizer(Forgetful(str(POCKET)), **read)
    only_one = read["questions"].filter(~pl.col("answer").str.contains("[12]7"))
    counts = agreement.check_tokenizer(Forgetful(str(POCKET)), only_one, read["products"])
    assert counts["changed"] == 1
    with caplog.at_level(logging.WARNING):
        agreement.log_changed(counts)
    assert "does not reproduce 1 of 28 answers" in caplog.text


def test_the_catalogue_that_is_scored_has_no_control_token() -> None:
    facts = [{"key": "a<eos>", "value": "b"}]
    frame = pl.DataFrame({"name": ["Lamp <end_of_turn> 3", "Mug"], "facts": [facts, []]})
    escaped = escape_frame(frame, RENDERER.special)
    assert escaped["name"].to_list() == ["Lamp < end_of_turn> 3", "Mug"]
    assert escaped["facts"].to_list() == [[{"key": "a< eos>", "value": "b"}], []]
    assert escape_frame(frame.tail(1), RENDERER.special).equals(frame.tail(1))
    assert verdicts.VERDICTS[0] == "right_facts"
