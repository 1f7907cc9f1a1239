"""For how many questions the prompt holds a row that answers them."""

import polars as pl
import pytest

from data.questions.grounding import Grounding
from data.scoring.recall import recall
from tests.data.sample_questions import sample_questions


@pytest.fixture(scope="module")
def sample() -> tuple[pl.DataFrame, pl.DataFrame]:
    products, questions, _ = sample_questions(1)
    return products, questions.filter(pl.col("split") == "test")


def test_any_right_product_counts_and_absent_ones_do_not(sample: tuple[pl.DataFrame, pl.DataFrame]) -> None:
    products, questions = sample
    own = products.select(product_id="id", name="name")
    names = questions.join(own, on="product_id", maintain_order="left")["name"]
    by_name = pl.col("kind").is_in(
        ["attribute", "search", "yes_no", "unsaid", "comparison", "follow_up", "open"]
    )
    counts = recall(questions, [[name, "Unheard Of"] for name in names], products)
    assert counts["answered"] == questions.filter(~pl.col("kind").is_in(["absent", "greeting"])).height
    assert counts["found"] == questions.filter(by_name).height


def test_nothing_retrieved_is_nothing_found(sample: tuple[pl.DataFrame, pl.DataFrame]) -> None:
    products, questions = sample
    assert recall(questions, [[]] * questions.height, products)["found"] == 0


def test_retrieval_finds_a_right_row_for_nearly_every_question(
    sample: tuple[pl.DataFrame, pl.DataFrame],
) -> None:
    products, questions = sample
    counts = recall(questions, Grounding(products, 3).names(questions), products)
    assert counts["found"] >= 0.99 * counts["answered"]
