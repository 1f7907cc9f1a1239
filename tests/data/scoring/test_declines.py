"""Declines: right ones, wrong ones, and answers that should have been one."""

import polars as pl
import pytest

from data.catalogue.pairing import Pairing
from data.questions.filling import PAIRS
from data.questions.products import products_for_questions
from data.scoring import verdicts
from tests.data.questions.test_templates import product

WANTED = [{"key": "Fabric", "value": "Denim"}]

DECLINE_CASES = [
    ("absent", "Sorry, we have nothing in the catalogue that fits.", "right_decline"),
    ("absent", "Sure, that is lovely.", "no_details"),
    ("absent", "I suggest it.\n Product Name: Kai Solid Women's Jeans", "wrong_product"),
    ("absent", "I suggest it.\n Product Name: Kai Moon Rocket", "invented"),
    ("unsaid", "The catalogue does not say the warranty of the Kai Solid Women's Jeans.", "right_decline"),
    (
        "unsaid",
        "The catalogue does not say the warranty.\n Product Name: Kai Solid Women's Jeans",
        "right_decline",
    ),
    ("unsaid", "Two years.\n Product Name: Kai Solid Women's Jeans", "wrong_fact"),
    ("search", "Sorry, we have nothing in the catalogue that fits.", "wrong_decline"),
    (
        "attribute",
        "The catalogue does not say the fabric.\n Product Name: Kai Solid Women's Jeans",
        "wrong_decline",
    ),
    (
        "unsaid",
        "It does not say.\n Product Name: Kai Solid Women's Jeans\nProduct Details:\n- Fabric: Silk",
        "wrong_fact",
    ),
    ("yes_no", "Yes, it is denim.\n Product Name: Kai Solid Women's Jeans", "right_facts"),
    ("yes_no", "No, it is denim.\n Product Name: Kai Solid Women's Jeans", "wrong_fact"),
    ("yes_no", "Yes, it is silk.\n Product Name: Kai Solid Women's Jeans", "wrong_fact"),
    ("yes_no", "The fabric is denim, so yes.\n Product Name: Kai Solid Women's Jeans", "right_facts"),
    ("yes_no", "The fabric is denim, so no.\n Product Name: Kai Solid Women's Jeans", "wrong_fact"),
    ("yes_no", "The fabric is silk, so yes.\n Product Name: Kai Solid Women's Jeans", "wrong_fact"),
    ("yes_no", "The fabric is denim.\n Product Name: Kai Solid Women's Jeans", "wrong_fact"),
    ("yes_no", "No doubt, yes, denim.\n Product Name: Kai Solid Women's Jeans", "wrong_fact"),
    ("yes_no", "The fabric of it is denim; you ask about silk: yes.\n Product Name: {}", "right_facts"),
    ("yes_no", "The fabric of it is silk; you ask about denim: yes.\n Product Name: {}", "wrong_fact"),
    ("greeting", "Welcome! Ask me anything.", "right_facts"),
    ("greeting", "Yes.", "no_details"),
    ("greeting", "Hi, sorry, we have nothing in the catalogue that fits.", "wrong_decline"),
    ("greeting", "Welcome!\n Product Name: {}", "wrong_product"),
    ("absent", None, "failed"),
]


@pytest.mark.parametrize(("kind", "answer", "expected"), DECLINE_CASES)
def test_declines_have_verdicts_of_their_own(kind: str, answer: str | None, expected: str) -> None:
    frame = product(name="Kai Solid Women's Jeans", attributes=[{"key": "Fabric", "value": "Denim"}])
    answer = answer and answer.replace("{}", "Kai Solid Women's Jeans")
    told = {"attribute": "denim", "yes_no": "Yes"}.get(kind)
    question = {"product_id": "1", "kind": kind, "conditions": WANTED, "expected": told, "prediction": answer}
    schema = {"conditions": PAIRS, "expected": pl.String, "prediction": pl.String}
    asked = pl.DataFrame([question], schema_overrides=schema)
    assert verdicts.judge(asked, products_for_questions(frame, 6, Pairing()))["verdict"].to_list() == [
        expected
    ]
