"""Prompts of second turns, as the chat page and the server render them."""

from pathlib import Path
from typing import Any

import pytest

from data.questions import grounded_prompts
from data.questions.grounding import NOTHING
from data.tokens.prompts import Renderer
from tests.conftest import POCKET
from tests.data.questions.test_grounding import CONTEXT, shop

EARLIER = [("fabric of the Lumo Printed Men's Shirt?", "Silk.")]


def renderer_of(folder: Path, **data: str) -> Renderer:
    """The renderer of a model that was trained with rows."""
    shop().write_parquet(folder / "products.parquet")
    origin: dict[str, Any] = {"data": {"grounding": "rows", "grounding_rows": 2, **data}}
    return grounded_prompts.renderer_of(str(POCKET), origin, lambda: folder / "products.parquet")


@pytest.fixture
def renderer(tmp_path: Path) -> Renderer:
    """Of a model that was trained in shoppers' words."""
    return renderer_of(tmp_path, wording="shoppers")


def test_the_chat_hands_its_earlier_turns_to_retrieval(tmp_path: Path) -> None:
    ids = renderer_of(tmp_path).conversation(CONTEXT, EARLIER, "And who is it for?")
    assert "- Lumo Printed" in renderer_of(tmp_path).tokenizer.decode(ids)


def test_the_model_sees_earlier_turns_where_a_question_goes_on_about_them(renderer: Renderer) -> None:
    assert renderer.reads_turns
    assert "Silk." in renderer.tokenizer.decode(renderer.conversation("", EARLIER, "And who is it for?"))
    for question in ("do you have linen shirts?", "fabric of the Zarvo Striped Men's Shirt?"):
        assert renderer.conversation("", EARLIER, question) == renderer.conversation("", [], question)


def test_a_second_turn_for_other_products_is_asked_as_in_training(renderer: Renderer) -> None:
    """By itself, with the product that it goes on about; one that finds nothing is asked alone."""
    whole = "something else? Lumo Printed Men's Shirt"
    assert renderer.conversation("", EARLIER, "something else?") == renderer.conversation("", [], whole)
    prompt = renderer.tokenizer.decode(renderer.conversation("", EARLIER, "anything like it in red?"))
    assert NOTHING in prompt
    assert "Silk." not in prompt
