"""Verdicts on answers to comparisons and budgets."""

import polars as pl
import pytest

from data.catalogue.pairing import Pairing
from data.questions.filling import PAIRS
from data.questions.phrases import BUDGET, COMPARED, COMPARISON, PRICE_LIMIT
from data.questions.products import products_for_questions
from data.scoring.verdicts import judge
from tests.data.questions.test_templates import product

KAI, ZOE = "Kai Solid Jeans", "Zoe Striped Jeans"
BOTH = COMPARED.format("fabric", "denim", KAI, "silk", ZOE)


@pytest.fixture
def products() -> pl.DataFrame:
    rows = []
    for name, fabric, price in [
        (KAI, "Denim", "Rs. 1,200"),
        (ZOE, "Silk", "Rs. 700"),
        ("Lia Jeans", "Silk", ""),
    ]:
        facts = {"Type": "Jeans", "Fabric": fabric, "Price": price}
        pairs = [{"key": key, "value": value} for key, value in facts.items() if value]
        rows.append(product(id=name[0], name=name, attributes=pairs))
    return products_for_questions(pl.concat(rows), 6, Pairing())


def verdict(products: pl.DataFrame, kind: str, wanted: dict[str, str], told: str | None, answer: str) -> str:
    pairs = [{"key": key, "value": value} for key, value in wanted.items()]
    question = {"product_id": "K", "kind": kind, "conditions": pairs, "expected": told, "prediction": answer}
    schema = {"conditions": PAIRS, "expected": pl.String, "prediction": pl.String}
    return str(judge(pl.DataFrame([question], schema_overrides=schema), products)["verdict"][0])


@pytest.mark.parametrize(
    ("sentence", "named", "expected"),
    [
        (BOTH, ZOE, "right_facts"),
        (BOTH, KAI, "right_facts"),
        (f"The {ZOE} is of silk, the {KAI} of denim.", KAI, "right_facts"),
        (COMPARED.format("fabric", "silk", ZOE, "denim", KAI), ZOE, "right_facts"),
        (f"The fabric of the {KAI} is denim. The fabric of the {ZOE} is silk.", ZOE, "right_facts"),
        (COMPARED.format("fabric", "silk", KAI, "denim", ZOE), ZOE, "wrong_fact"),
        (f"The fabric of the {KAI} is silk. The fabric of the {ZOE} is denim.", ZOE, "wrong_fact"),
        (COMPARED.format("fabric", "denim", KAI, "silk", KAI), KAI, "wrong_fact"),
        (COMPARED.format("fabric", "denim", KAI, "wool", ZOE), ZOE, "wrong_fact"),
        (f"The fabric of the {KAI} is denim.", KAI, "wrong_fact"),
        (BOTH, "Lia Jeans", "wrong_product"),
    ],
)
def test_a_comparison_states_both_values(
    products: pl.DataFrame, sentence: str, named: str, expected: str
) -> None:
    wanted = {"Fabric": "Denim", ZOE: "Silk"}
    answer = f"{sentence}\n Product Name: {named}"
    assert verdict(products, COMPARISON, wanted, "denim", answer) == expected


@pytest.mark.parametrize(
    ("named", "limit", "expected"),
    [
        (KAI, "1250", "right_facts"),
        (KAI, "1199", "wrong_product"),
        (ZOE, "1199", "right_facts"),
        ("Lia Jeans", "5000", "wrong_product"),  # it has no price
    ],
)
def test_a_budget_is_kept(products: pl.DataFrame, named: str, limit: str, expected: str) -> None:
    wanted = {"Type": "Jeans", PRICE_LIMIT: limit}
    assert verdict(products, BUDGET, wanted, None, f"Take this.\n Product Name: {named}") == expected
