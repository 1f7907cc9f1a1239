"""Questions in shoppers' words: kinds, wordings kept for the test, declines, typing errors."""

from typing import Any

import polars as pl
import pytest

from data.catalogue.pairing import read_pairing
from data.questions import further_kinds, shoppers, wordings
from data.questions.choice_wordings import ALTERNATIVE, CHEAPEST, CHOICE, NAMED, OUTFIT, TOGETHER
from data.questions.grounding import Grounding
from data.questions.key_wordings import KEY_WORDINGS
from data.questions.phrases import DECLINE
from data.questions.retrieval import Retriever
from data.questions.splits import leakage
from data.questions.suggestions import SHELVES, top_products
from data.questions.templates import attribute_questions, make_questions
from data.sample.vocabulary import VALUES
from data.scoring.verdicts import RIGHT_VERDICTS, judge
from tests.data.sample_questions import sample_questions

PUBLISHED = {"attribute", "search", "alternative", "outfit"}
KINDS = PUBLISHED | {"yes_no", "unsaid", "absent", "comparison", "follow_up", "greeting", "open"}
LISTS = "ATTRIBUTE AUDIENCE SHELF SEARCH YES_NO WISH COMPARISON BUDGET FOLLOW_UP".split()
CHOOSING = [ALTERNATIVE, CHEAPEST, CHOICE, NAMED, OUTFIT, TOGETHER]


@pytest.fixture(scope="module")
def sample() -> tuple[pl.DataFrame, pl.DataFrame, pl.Series]:
    return sample_questions(2)


def test_every_answer_is_judged_right(sample: Any) -> None:
    products, questions, _ = sample
    judged = judge(questions.with_columns(prediction="answer"), products)
    assert judged.filter(~pl.col("verdict").is_in(RIGHT_VERDICTS)).is_empty()
    declined = judged.filter(pl.col("verdict") == "right_decline")
    assert set(declined["kind"]) == {"absent", "unsaid"}


def test_kinds_and_splits(sample: Any) -> None:
    questions = sample[1]
    assert set(questions["kind"]) == KINDS
    assert set(questions["split"]) == {"train", "validation", "test", "unseen", "wordings"}
    assert set(questions.filter(pl.col("split") == "wordings")["kind"]) == KINDS
    shared = {row["split"]: row["same_question"] for row in leakage(questions.lazy()).to_dicts()}
    assert set(shared.values()) == {0}


@pytest.mark.parametrize("options", [*(getattr(wordings, name) for name in (*LISTS, "GREETING")), *CHOOSING])
def test_there_are_twelve_wordings_of_each_kind_and_all_differ(options: list[str]) -> None:
    assert len(options) >= 12
    assert len(set(options)) == len(options)


def test_a_wording_of_the_test_is_in_no_other_split(sample: Any) -> None:
    """Found by the words before the placeholder, of wordings whose beginning no other wording shares."""
    questions = sample[1].with_columns(low=pl.col("question").str.to_lowercase())
    for start, kind in [("sth similar to the", "alternative"), ("help me pair it with", "outfit")]:
        rows = questions.filter(pl.col("kind") == kind, pl.col("low").str.starts_with(start))
        assert rows.height
        assert set(rows["split"]) == {"wordings"}
    about = questions.filter(pl.col("split") == "wordings")["product_id"]
    assert not about.is_in(sample[2].implode()).any()  # known products


def test_absent_questions_name_nothing_of_the_catalogue(sample: Any) -> None:
    products, questions, _ = sample
    absent = questions.filter(pl.col("kind") == "absent")
    assert set(absent["answer"]) == {DECLINE}
    assert absent["answer_id"].is_null().all()
    brand, kind_of = (pl.col(name).str.to_lowercase() for name in ("brand", "type"))
    sold = set(products.select(brand, kind_of).drop_nulls().rows())
    kinds = {kind for _, kind in sold}
    asked = (
        absent["question"]
        .str.to_lowercase()
        .str.extract_groups(r"(?<before>.*) by (?<brand>.*)")
        .struct.unnest()
    )
    named = 0
    for before, brand in asked.drop_nulls().rows():
        kind = max((kind for kind in kinds if f" {before}".endswith(f" {kind}")), key=len, default="")
        found = [one for one, _ in sold if brand.startswith(one)]
        named += bool(kind and found)
        assert not any((one, kind) in sold for one in found), (kind, brand)
    assert named > 20


def test_absent_values_are_those_of_no_product_of_the_kind(sample: Any) -> None:
    products, questions, _ = sample
    has = pl.col("facts").list.eval(pl.element().struct.field("value")).list.join(" ").str.to_lowercase()
    texts = products.group_by(kind=pl.col("type").str.to_lowercase()).agg(text=has.str.join(" | ")).rows()
    values = [value.lower() for key in ("Fabric", "Neck", "Sleeve", "Fit") for value in VALUES[key]]
    asked = questions.filter(pl.col("kind") == "absent")["question"].str.to_lowercase().to_list()
    named = 0
    for value in values:
        for kind, text in texts:
            if any(f" {value} {kind}" in f" {question}" for question in asked):
                named += 1
                assert value not in text, (value, kind)
    assert named >= 3  # the sample lacks few


@pytest.mark.parametrize("key", ["", *KEY_WORDINGS])
def test_what_is_asked_about_a_product_finds_its_row(sample: Any, key: str) -> None:
    """No wording for an attribute is taken for a search, an outfit or an alternative."""
    products = sample[0]
    retriever = Retriever(products)
    names = shoppers.short_names(products).drop_nulls("short").head(3)
    about = [*wordings.ATTRIBUTE, *wordings.SHELF, *wordings.AUDIENCE, *wordings.YES_NO]
    for wording in KEY_WORDINGS[key] if key else about:
        for product_id, name, short in names.select("product_id", "name", "short").rows():
            for said in (name, short):
                question = wording.format(name=said, key="fabric", value="silk")
                rows, subjects = retriever.relevant("", question, 3)
                assert [row["id"] for row in subjects] == [product_id], question
                assert rows[0]["id"] == product_id


def test_a_product_that_is_named_alone_has_its_row_alone(sample: Any) -> None:
    products, questions, _ = sample
    ground = Grounding(products, 3)
    asked = questions.filter(pl.col("kind") == "open")
    names = dict(products.select("id", "name").rows())
    assert asked.height > 20
    for one, rows in zip(asked.iter_rows(named=True), ground.names(asked), strict=True):
        assert rows == [names[one["product_id"]]], one["question"]
        assert one["answer"].startswith(f"We have the {names[one['product_id']]}.\n")


def test_unsaid_attributes_are_not_in_the_row(sample: Any) -> None:
    products, questions, _ = sample
    keys = pl.col("facts").list.eval(pl.element().struct.field("key").str.to_lowercase())
    asked = questions.filter(pl.col("kind") == "unsaid").select(
        "product_id", key=pl.col("conditions").list.first().struct.field("key")
    )
    rows = asked.join(products.select(product_id="id", own=keys), on="product_id")
    assert rows.height == asked.height
    assert not rows["own"].list.contains(rows["key"]).any()


def test_yes_and_no_are_both_asked_and_true(sample: Any) -> None:
    questions = sample[1].filter(pl.col("kind") == "yes_no")
    shares = questions["expected"].value_counts(normalize=True)
    assert set(shares["expected"]) == {"Yes", "No"}
    assert shares["proportion"].min() > 0.25
    value = pl.col("conditions").list.first().struct.field("value").str.to_lowercase()
    yes = questions.filter(pl.col("expected") == "Yes")
    exact = yes.filter(pl.col("question").str.to_lowercase().str.contains(value, literal=True))
    assert exact.height > 0.9 * yes.height  # the others have a typing error in the value


def test_a_share_of_the_questions_is_asked_in_no_category(sample: Any) -> None:
    alone = sample[1].filter(context="").group_by("kind").len()
    every = sample[1].group_by("kind").len()
    shares = every.join(alone, on="kind", how="left", suffix="_alone").filter(pl.col("len") > 100)
    assert shares.select((pl.col("len_alone") / pl.col("len")).is_between(0.15, 0.35).all()).item()


def test_short_names_mean_one_product(sample: Any) -> None:
    names = shoppers.short_names(sample[0])
    short = names.drop_nulls("short")
    assert short.height > 0.5 * names.height
    for name, cut in short.select("name", "short").head(50).rows():
        left = list(name.split(" "))
        for word in cut.split(" "):
            left.remove(word)
        assert left
        assert (cut.split(" ")[0], cut.split(" ")[-1]) == (name.split(" ")[0], name.split(" ")[-1])
    full = set(sample[0]["name"])
    assert not full & set(short["short"])


def test_a_short_name_is_not_said_of_another_product() -> None:
    """Not of one whose name has two more words, nor of one that is called so."""
    names = ["Zarvo Striped Women's Kurti", "Zarvo Self Design Women's Kurti", "Kabra Printed Long Shirt"]
    products = pl.DataFrame({"id": ["a", "b", "c", "d"], "name": [*names, "Kabra Long Shirt"]})
    short = dict(shoppers.short_names(products).select("product_id", "short").rows())
    assert short["a"] == "Zarvo Striped Kurti"  # without "Striped" it would be b as well
    assert short["c"] == "Kabra Printed Shirt"


def test_names_of_one_or_two_words_have_no_short_name() -> None:
    names = ["Tea", "", "Green Tea", "Zarvo Fine Green Tea"]
    products = pl.DataFrame({"id": ["a", "b", "c", "d"], "name": names})
    short = dict(shoppers.short_names(products).select("product_id", "short").rows())
    assert [short[one] for one in "abc"] == [None] * 3
    assert short["d"] in ("Zarvo Green Tea", "Zarvo Fine Tea", "Zarvo Tea")


def test_some_questions_are_typed_carelessly(sample: Any) -> None:
    questions = sample[1]
    lower = questions.filter(pl.col("question") == pl.col("question").str.to_lowercase())
    assert 0.15 < lower.height / questions.height < 0.45
    assert typed_again(sample).equals(typed_again(sample))


def typed_again(sample: Any) -> pl.DataFrame:
    """The typing errors once more, for the same seed."""
    frame = sample[1].head(200).with_columns(draw="product_id")
    return shoppers.with_noise(frame, 1)


def test_what_the_shop_sells_is_never_absent(sample: Any) -> None:
    names = ["Prestige Electric Kettles 1.5 l", "Roma Chess Sets for Two"]
    kitchen = sample[0].head(2).with_columns(name=pl.Series(names), type=pl.lit(None, pl.String))
    absent = further_kinds.things_absent(further_kinds.things_named(kitchen))
    assert set(wordings.THINGS) - set(absent) >= {"a kettle", "a chess set"}
    assert "a drone" in absent


def test_written_questions_stay_as_they_are(sample: Any) -> None:
    products = sample[0].head(30)
    best = {name: top_products(products, shelf, 4) for name, shelf in SHELVES.items()}
    written = attribute_questions(products, 1, 1).with_columns(
        question=pl.format("Written about {}?", "product_id"),
        kind=pl.lit("open"),
        expected=pl.lit(None, pl.String),
    )
    shop = further_kinds.Shop(further_kinds.words_sold(products)["pair"], ["a kettle"])
    made = make_questions(products, best, 1, 3, 1, read_pairing("clothing"), written, shop)
    assert set(written["question"]) <= set(made["question"])
    assert made.filter(pl.col("question").is_in(written["question"].implode())).height == 30
    assert "attribute" not in set(made["kind"])


def test_values_of_one_kind_stay_few_however_many_products_there_are(sample: Any) -> None:
    """A code that every product has its own of must not be joined with all the others."""
    codes = sample[0].select("id", facts=pl.concat_list(pl.struct(key=pl.lit("Code"), value=pl.col("id"))))
    many = sample[0].drop("facts").join(codes, on="id")
    asked = further_kinds.yes_no_questions(many, 1)
    assert asked.height == many.height
    assert asked.filter(pl.col("expected") == "No")["question"].n_unique() <= further_kinds.OTHER_VALUES
