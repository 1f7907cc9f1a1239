"""Prompts with the rows of the catalogue that a question is answered from, in training, evaluation and chat
alike.

    Context:Online shopping for Men's Clothing
    - Zarvo Striped Men's Shirt | Shirts | Fabric: Cotton; Sleeve: Full Sleeve
    - Kabra Plain Men's Shirt | Shirts | Fabric: Linen
    What is the Zarvo Striped Men's Shirt made of?

In training the answer's own row is always among them (RAFT: Zhang et al. 2024,
https://arxiv.org/abs/2403.10131). Their order is drawn by a hash of the question, so that it tells nothing.
"""

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from data.questions.products import QUESTION_COLUMNS
from data.questions.retrieval import Product, Retriever, same_name
from data.tokens.escaping import escape_frame
from data.tokens.prompts import Renderer

ROWS = "rows"  # the value of data.grounding with which prompts hold rows


class Grounding:
    """Adds rows to contexts.

    Args:
        products: what `data.questions.products.products_for_questions` gives. count: rows in a prompt.
    """

    def __init__(self, products: pl.DataFrame, count: int) -> None:
        self.retriever, self.count = Retriever(products), count
        self.by_id = {row["id"]: row for row in self.retriever.all}

    def context(
        self,
        context: str,
        question: str,
        answer_id: str | None = None,
        earlier: Sequence[tuple[str, str]] = (),
    ) -> str:
        """A question's context with its rows.

        Args:
            answer_id: of the row that must be among them, in training. earlier: questions and answers before
            this one, of which it may go on.
        """
        searched = self.retriever.with_subject(context, question, earlier)
        rows = self.retriever.relevant(context, searched, self.count)
        if answer_id is not None:
            rows = with_answer(rows, self.by_id[answer_id], self.count)
        shuffled = sorted(rows, key=lambda row: hashlib.sha256(f"{question}{row['id']}".encode()).digest())
        return "\n".join([context, *map(compact, shuffled)])

    def contexts(self, questions: pl.DataFrame, for_training: bool) -> list[str]:
        """The contexts of questions (columns context, question, and in training answer_id)."""
        columns = ["context", "question", *(["answer_id"] if for_training else [])]
        return [self.context(*row) for row in questions.select(columns).rows()]

    def names(self, questions: pl.DataFrame) -> list[list[str]]:
        """The names of the rows that questions find (columns context, question)."""
        found = []
        for context, question in questions.select("context", "question").rows():
            rows = self.retriever.relevant(context, question, self.count)
            found.append([row["name"] for row in rows])
        return found


def with_answer(rows: list[Product], answer: Product, count: int) -> list[Product]:
    """At most ``count`` rows with the answer's own among them, in place of a namesake or the last."""
    if any(row["id"] == answer["id"] for row in rows):
        return rows
    others = [row for row in rows if not same_name(row, answer)]
    return [*others[: count - 1], answer]


def compact(row: Product) -> str:
    """A row as it stands in a prompt."""
    facts = "; ".join(f"{fact['key']}: {fact['value']}" for fact in row["facts"])
    return f"- {row['name']} | {row['shelf']} | {facts}"


class GroundedRenderer(Renderer):
    """Renders the prompts of a model that was trained with rows, for chat and serving."""

    def __init__(self, base: str, thinking: bool, grounding: Grounding) -> None:
        super().__init__(base, thinking)
        self.grounding = grounding

    def prompts(self, contexts: Sequence[str], questions: Sequence[str]) -> list[list[int]]:
        """As `Renderer.prompts`, with the rows that each question finds."""
        pairs = zip(contexts, questions, strict=True)
        return super().prompts([self.grounding.context(*pair) for pair in pairs], questions)

    def conversation(self, context: str, earlier: list[tuple[str, str]], question: str) -> list[int]:
        """As `Renderer.conversation`, with the rows that the last question finds."""
        grounded = self.grounding.context(context, question, earlier=earlier)
        return super().conversation(grounded, earlier, question)


def renderer_of(base: str, origin: dict[str, Any], find_products: Callable[[], Path]) -> Renderer:
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
        rows = pl.read_parquet(products, columns=QUESTION_COLUMNS)
    except (OSError, pl.exceptions.PolarsError) as error:
        reason = str(error).splitlines()[0]
        raise ValueError(
            f"this model answers from rows of the catalogue, and {products} cannot be read ({reason}): give"
            f" products.parquet of prepared data"
        ) from None
    escaped = escape_frame(rows, plain.special)
    return GroundedRenderer(base, plain.thinking, Grounding(escaped, origin["data"]["grounding_rows"]))
