"""Prompts of second turns, as the chat page and the server render them."""

from pathlib import Path
from typing import Any

import polars as pl
import pytest

from data.questions import grounding
from data.questions.grounding import NOTHING
from tests.conftest import POCKET
from tests.data.questions.test_grounding import CONTEXT, shop


@pytest.fixture
def products() -> pl.DataFrame:
    return shop()


def test_the_chat_hands_its_earlier_turns_to_retrieval(products: pl.DataFrame, tmp_path: Path) -> None:
    products.write_parquet(tmp_path / "products.parquet")
    origin: dict[str, Any] = {"data": {"grounding": "rows", "grounding_rows": 2}}
    renderer = grounding.renderer_of(str(POCKET), origin, lambda: tmp_path / "products.parquet")
    earlier = [("fabric of the Lumo Printed Men's Shirt?", "Silk.")]
    ids = renderer.conversation(CONTEXT, earlier, "And who is it for?")
    assert "- Lumo Printed" in renderer.tokenizer.decode(ids)


def test_the_model_sees_earlier_turns_where_a_question_goes_on_about_them(
    products: pl.DataFrame, tmp_path: Path
) -> None:
    products.write_parquet(tmp_path / "products.parquet")
    data = {"grounding": "rows", "grounding_rows": 2, "wording": "shoppers"}
    renderer = grounding.renderer_of(str(POCKET), {"data": data}, lambda: tmp_path / "products.parquet")
    earlier = [("fabric of the Lumo Printed Men's Shirt?", "Silk.")]
    assert renderer.reads_turns
    assert "Silk." in renderer.tokenizer.decode(renderer.conversation("", earlier, "And who is it for?"))
    for question in ("do you have linen shirts?", "fabric of the Zarvo Striped Men's Shirt?"):
        assert renderer.conversation("", earlier, question) == renderer.conversation("", [], question)


def test_a_second_turn_for_other_products_is_asked_as_in_training(
    products: pl.DataFrame, tmp_path: Path
) -> None:
    """By itself, with the product that it goes on about; one that finds nothing is asked alone."""
    products.write_parquet(tmp_path / "products.parquet")
    data = {"grounding": "rows", "grounding_rows": 2, "wording": "shoppers"}
    renderer = grounding.renderer_of(str(POCKET), {"data": data}, lambda: tmp_path / "products.parquet")
    earlier = [("fabric of the Lumo Printed Men's Shirt?", "Silk.")]
    whole = "something else? Lumo Printed Men's Shirt"
    assert renderer.conversation("", earlier, "something else?") == renderer.conversation("", [], whole)
    prompt = renderer.tokenizer.decode(renderer.conversation("", earlier, "anything like it in red?"))
    assert NOTHING in prompt
    assert "Silk." not in prompt
