"""The prompts of a model that was trained with rows of the catalogue, for evaluation, chat and serving."""

from collections.abc import Callable
from pathlib import Path

import polars as pl

from data.questions.grounding import NOTHING, ROWS, Grounding
from data.questions.intents import price_order, wish_for_others
from data.questions.products import read_question_products
from data.questions.shoppers import SHOPPERS
from data.tokens.chat_templates import Turns
from data.tokens.escaping import escape_frame
from data.tokens.prompts import Renderer, asked_messages
from data.values import Settings


class _GroundedRenderer(Renderer):
    """Renders the prompts of a model that was trained with rows, for chat and serving."""

    def __init__(self, base: str, thinking: bool, grounding: Grounding, reads_turns: bool) -> None:
        super().__init__(base, thinking)
        self.grounding, self.reads_turns = grounding, reads_turns

    def in_prompt(self, context: str, question: str, earlier: Turns) -> str:
        """The context with the rows that the question finds."""
        return self.grounding.context(context, question, earlier=earlier)

    def conversation(self, context: str, earlier: list[tuple[str, str]], question: str) -> list[int]:
        """The prompt of a question, with earlier ones only where it goes on about them, as in training, and
        finds something. One for others ("something cheaper?", "the cheapest one") names what it goes on
        about, as there.
        """
        whole = self.grounding.retriever.with_subject(context, question, earlier)
        inside = self.in_prompt(context, question, earlier)
        if whole != question and (wish_for_others(whole.lower()) or price_order(whole.lower())):
            return self.encoded(self.prompt_text(asked_messages(inside, whole, [])))
        turns = earlier if whole != question and not inside.endswith(NOTHING) else []
        return self.encoded(self.prompt_text(asked_messages(inside, question, turns)))


def renderer_of(base: str, origin: Settings, find_products: Callable[[], Path]) -> Renderer:
    """The renderer of a trained model: with rows of the catalogue if it was trained with them.

    Args:
        base: the model's folder or Hub name. origin: what the model was made of. find_products: gives
        products.parquet, where rows are needed.

    Raises ValueError if rows are needed and the file is not there, or is another one.
    """
    plain = Renderer.of(base, origin)
    if origin["data"].get("grounding") != ROWS:
        return plain
    products = find_products()
    try:
        rows = read_question_products(products)
    except (OSError, pl.exceptions.PolarsError) as error:
        reason = str(error).splitlines()[0]
        raise ValueError(
            f"this model answers from rows of the catalogue, and {products} cannot be read ({reason}): give"
            f" products.parquet of prepared data"
        ) from None
    escaped = escape_frame(rows, plain.special)
    grounding = Grounding(escaped, origin["data"]["grounding_rows"])
    return _GroundedRenderer(base, plain.thinking, grounding, origin["data"].get("wording") == SHOPPERS)
