"""Questions and answers: format, grammar, fitting suggestions, splits without leaks."""

from typing import Any

import polars as pl
import pytest

from data.catalogue.cleaning import CatalogueFilter, CellRules
from data.catalogue.pairing import read_pairing
from data.questions.products import products_for_questions
from data.questions.splits import leakage, question_order, split_limits, split_questions
from data.scoring.verdicts import judge
from tests.catalogues import clean, questions_of
from tests.conftest import ROOT, real
from tests.data.catalogue.test_cleaning import DEPARTMENTS, FULL, SHORT


@pytest.fixture(scope="module")
def sample() -> tuple[pl.DataFrame, pl.DataFrame, pl.Series]:
    cleaned = clean(
        ROOT / "data/sample/catalogue.csv", FULL, [], CatalogueFilter("Clothing", DEPARTMENTS, 10, False)
    )
    return questions_of(cleaned.products)


def product(**changes: Any) -> pl.DataFrame:
    """A catalogue of one product."""
    row = {"id": "1", "name": "Kai Solid Women's Jeans", "brand": "Kai", "rating": None, "attributes": []} | {
        f"level_{i + 1}": name
        for i, name in enumerate(["Clothing", "Women's Clothing", "Western Wear", "Jeans"])
    }
    pairs = pl.List(pl.Struct({"key": pl.String, "value": pl.String}))
    return pl.DataFrame(
        [row | changes], schema_overrides={"attributes": pairs, "rating": pl.String, "brand": pl.String}
    )


def test_answers_are_in_the_published_format(sample: Any) -> None:
    pattern = r"^[^\n]+\.\n Product Name: [^\n]+\nProduct Category: [^\n]+\nProduct Details:\n(- [^\n]+: [^\n]+\n?)+$"  # noqa: E501
    assert sample[1]["answer"].str.contains(pattern).all()
    assert sample[1]["question"].str.contains(r"^[A-Z][^{}]*[?.]$").all()


def test_at_least_three_questions_a_product(sample: Any) -> None:
    assert sample[1].group_by("product_id").len()["len"].min() >= 3
    assert set(sample[1]["kind"]) == {"attribute", "search", "alternative", "outfit"}
    bare = questions_of(product(brand=None), unseen=0)[1]
    assert bare.height == 3
    assert bare["question"].n_unique() == 3


def test_at_least_three_questions_a_product_on_real_rows() -> None:
    cleaned = clean(
        real("flipkart/flipkart_core_20000.csv"),
        SHORT,
        [],
        CatalogueFilter("Clothing", DEPARTMENTS, 10, False),
    )
    counts = questions_of(cleaned.products)[1].group_by("product_id").len()
    assert counts.height == 5721
    assert counts["len"].min() >= 3


def test_attribute_answers_hold_the_fact(sample: Any) -> None:
    _table, questions, _ = sample
    rows = questions.filter(pl.col("kind") == "attribute")
    assert (rows["product_id"] == rows["answer_id"]).all()
    assert (
        rows.select(
            pl.col("answer")
            .str.to_lowercase()
            .str.contains(pl.col("expected").str.to_lowercase(), literal=True)
        )
        .to_series()
        .all()
    )


def test_suggestions_exist_and_fit(sample: Any) -> None:
    table, questions, _ = sample
    columns = ["id", "name", "category", "shelf", "product_kind"]
    rows = questions.join(table.select(columns), left_on="product_id", right_on="id").join(
        table.select(columns), left_on="answer_id", right_on="id", suffix="_other"
    )
    assert rows.height == questions.height
    other = rows.filter(pl.col("kind") == "alternative")
    assert ((other["shelf"] == other["shelf_other"]) & (other["category"] == other["category_other"])).all()
    assert (other["name"] != other["name_other"]).all()
    outfit = rows.filter(pl.col("kind") == "outfit")
    assert (outfit["category"] == outfit["category_other"]).all()
    goes_with = read_pairing("clothing").goes_with
    assert all(b in goes_with[a] for a, b in outfit.select("product_kind", "product_kind_other").iter_rows())


def test_grammar_agrees_with_the_name() -> None:
    facts = [{"key": "Fabric", "value": "Denim"}, {"key": "Belt Included", "value": "No"}]
    jeans = (
        questions_of(product(attributes=facts), unseen=0)[1]["answer"].str.split("\n").list.first().to_list()
    )
    assert "The Kai Solid Women's Jeans are made of denim." in jeans
    dress = (
        questions_of(product(name="Kai Dress", attributes=facts), unseen=0)[1]["answer"]
        .str.split("\n")
        .list.first()
        .to_list()
    )
    assert "The Kai Dress is made of denim." in dress
    who = questions_of(product(attributes=[{"key": "Ideal For", "value": "Girl's, Boy's"}]), unseen=0)[1]
    assert any("ideal for girls, boys." in answer for answer in who["answer"])


def test_an_awkward_attribute_is_asked_by_its_label() -> None:
    questions = questions_of(product(attributes=[{"key": "Top Hem", "value": "Yes"}]), unseen=0)[1]
    assert any("under Top Hem" in question for question in questions["question"])


def test_braces_in_a_table_are_text() -> None:
    questions = questions_of(product(name="Kai {value} $1 Top"), unseen=0)[1]
    assert questions["question"].str.contains("Kai {value} $1 Top", literal=True).all()


def test_questions_are_seeded(sample: Any) -> None:
    cleaned = clean(
        ROOT / "data/sample/catalogue.csv", FULL, [], CatalogueFilter("Clothing", DEPARTMENTS, 10, False)
    )
    assert questions_of(cleaned.products)[1].equals(sample[1])
    assert not questions_of(cleaned.products, seed=2)[1].equals(sample[1])


def test_splits_have_their_shares_and_unseen_products_stay_unseen(sample: Any) -> None:
    table, questions, apart = sample
    sizes = dict(questions.group_by("split").len().iter_rows())
    seen = questions.height - sizes["unseen"]
    assert sizes["validation"] == round(seen * 0.1)
    assert sizes["test"] == round(seen * 0.2) - round(seen * 0.1)
    assert len(apart) == 50
    training = questions.filter(pl.col("split") != "unseen")
    assert not set(training["product_id"]) & set(apart)
    assert not set(training["answer_id"]) & set(apart)
    names = table.filter(pl.col("id").is_in(apart.implode()))["name"]
    assert not any(name in answer for name in names for answer in training["answer"])


def test_products_of_one_name_are_unseen_together() -> None:
    twins = pl.concat([product(id=str(i), name=f"Name {i // 2}") for i in range(40)])
    apart = questions_of(twins, seed=0, unseen=0.25)[2]
    assert sorted(int(i) // 2 for i in apart) == sorted(2 * sorted({int(i) // 2 for i in apart}))
    assert len(apart) == 10


def test_leakage_is_counted() -> None:
    columns = ["split", "context", "question", "answer", "product_id", "earlier"]
    rows = [
        ("train", "c", "q", "a", "1", None),
        ("train", "c", "r", "e", "1", "p"),
        ("test", "c", "q", "b", "1", None),
        ("test", "c", "r", "a", "2", None),
        ("unseen", "c", "s", "d", "3", None),
    ]
    found = {
        row.pop("split"): row for row in leakage(pl.LazyFrame(rows, schema=columns, orient="row")).to_dicts()
    }
    assert found["test"] == {"rows": 2, "same_question": 1, "same_answer": 1, "same_product": 1}
    assert found["unseen"] == {"rows": 1, "same_question": 0, "same_answer": 0, "same_product": 0}


def test_the_same_question_stands_on_one_side_alone(sample: Any) -> None:
    """Products that share a name share their questions; those of the test would stand in training."""
    questions = sample[1]
    twins = pl.concat([questions, questions.with_columns(product_id=pl.format("{}-twin", "product_id"))])
    ordered = twins.drop("split").with_columns(order=question_order(1), unseen=False, unseen_wording=False)
    split = split_questions(ordered, split_limits(ordered["order"], 0.1, 0.1), pl.Series([], dtype=pl.UInt64))
    sides = split.group_by("context", "question").agg(pl.col("split").n_unique())
    assert sides["split"].max() == 1
    assert {row["split"]: row["same_question"] for row in leakage(split.lazy()).iter_rows(named=True)} == {
        "validation": 0,
        "test": 0,
    }
    shares = {name: count / split.height for name, count in split.group_by("split").len().rows()}
    assert shares["test"] == pytest.approx(0.1, abs=0.01)
    assert shares["validation"] == pytest.approx(0.1, abs=0.01)


@pytest.mark.parametrize(
    ("name", "shelf", "type_", "garment"),
    [
        ("Beebay Girl's A-line Dress", "Dresses & Skirts", None, "dress"),
        ("Zarvo Men's Shirt", "Topwear", None, "top"),
        ("Zarvo Women's Shirt Dress", "Shirts", None, "dress"),
        ("Zarvo Jeans Jacket", "Jeans", None, "layer"),
        ("Zarvo Women's Skirt", "Dresses & Skirts", None, "bottom"),
        ("Zarvo Classic", "Clothing", "Polo T-Shirt", "top"),
        ("Zarvo Classic", "Jeans", None, "bottom"),
        ("Zarvo Classic", "Watches", None, None),
    ],
)
def test_a_products_own_name_tells_its_kind_before_its_shelf(
    name: str, shelf: str, type_: str | None, garment: str | None
) -> None:
    attributes = [{"key": "Type", "value": type_}] if type_ else []
    levels = {"level_3": "Wear", "level_4": shelf}
    row = products_for_questions(
        product(name=name, brand=None, attributes=attributes, **levels), 2, read_pairing("clothing")
    ).row(0, named=True)
    assert row["product_kind"] == garment


@pytest.mark.parametrize(
    ("levels", "shelf"),
    [
        (["Clothing", "Men's Clothing", "Navaksha Men's Clothing", None], "Men's Clothing"),
        (["Clothing", "Men's Clothing", "Ties", "Navaksha Ties"], "Ties"),
        (["Clothing", "Men's Clothing", "Accessories", "Neckties"], "Neckties"),
        (["Clothing", None, None, None], "Clothing"),
    ],
)
@pytest.mark.parametrize("brand", ["Navaksha", None])
def test_a_shelf_is_none_of_a_brands_own(levels: list[str | None], shelf: str, brand: str | None) -> None:
    columns = {f"level_{place}": level for place, level in enumerate(levels, 1)}
    frame = product(name="Navaksha Necktie Men's Combo", brand=brand).with_columns(
        pl.lit(level, pl.String).alias(name) for name, level in columns.items()
    )
    assert products_for_questions(frame, 2, read_pairing("clothing"))["shelf"].to_list() == [shelf]


def test_a_name_with_an_article_gets_no_second_one() -> None:
    questions = questions_of(product(name="The Vanca Solid Women's Jeans", brand=None), unseen=0)[1]
    texts = pl.concat([questions["question"], questions["answer"]])
    assert not texts.str.contains("(?i)the the").any()


def test_suggestions_stay_with_the_people_whom_a_column_names(tmp_path: Any) -> None:
    """A men's polo is never worn with women's trousers, where only a column tells whom they are for."""
    kinds = ["Polo", "Trousers", "Jacket"]
    rows = [(f"{brand} {kind}", gender) for brand in BRANDS for kind in kinds for gender in ("Men", "Women")]
    table = pl.DataFrame(rows, schema=["title", "gender"], orient="row").with_columns(
        title=pl.format("{} {}", "title", pl.int_range(pl.len())),
        department=pl.lit("Clothing"),
        colour=pl.lit("red"),
    )
    table.write_csv(tmp_path / "shop.csv")
    columns = {"name": "title", "category": "department", "group": "gender"}
    products = clean(tmp_path / "shop.csv", columns, ["colour"], CatalogueFilter("", (), 1, False)).products
    prepared, questions, _ = questions_of(products, unseen=0)
    groups = dict(prepared.select("id", "category").rows())
    assert set(groups.values()) == {"Clothing, Men", "Clothing, Women"}
    suggested = questions.filter(pl.col("kind").is_in(["outfit", "alternative"]))
    assert set(suggested["kind"]) == {"outfit", "alternative"}
    for asked, answered in suggested.select("product_id", "answer_id").rows():
        assert groups[asked] == groups[answered]


@pytest.mark.parametrize(
    ("currency", "cells", "values"),
    [
        ("Rs. ", ["1,299.00", "499", "Rs. 349.50", ""], ["Rs. 1299", "Rs. 499", "Rs. 349.5", None]),
        ("", ["1,299.00", "$499", "N/A", "free"], ["1,299.00", "$499", None, "free"]),
    ],
)
def test_prices_are_read_asked_for_and_judged(
    tmp_path: Any, currency: str, cells: list[str], values: list[str | None]
) -> None:
    rows = {
        "title": [f"{brand} Mug" for brand in BRANDS],
        "kind": ["Mugs"] * 4,
        "now": cells,
        "before": ["9"] * 4,
    }
    pl.DataFrame(rows).write_csv(tmp_path / "shop.csv")
    columns = {"name": "title", "category": "kind", "price": "now", "list_price": "before"}
    rules = CellRules(("n/a",), "", currency)
    cleaned = clean(tmp_path / "shop.csv", columns, [], CatalogueFilter("", (), 1, False), rules)
    products, questions, _ = questions_of(cleaned.products, unseen=0)
    facts = products.explode("facts").unnest("facts").filter(pl.col("key") == "Price")
    assert facts["value"].to_list() == [value for value in values if value]
    asked = questions.filter(pl.col("question").str.contains(r"(?:cost|price of the \w+ Mug)\?$"))
    assert asked.height == len(facts)
    judged = judge(asked.with_columns(prediction=pl.col("answer")), products)
    assert set(judged["verdict"]) == {"right_facts"}


BRANDS = ["Zarvo", "Kabra", "Lumo", "Pello"]
