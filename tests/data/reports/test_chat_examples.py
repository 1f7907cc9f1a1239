"""Questions to click on an empty chat page."""

import polars as pl

from data.reports.chat_examples import example_questions
from tests.data.sample_questions import sample_questions


def test_examples_ask_about_products_that_are_there() -> None:
    products, _, _ = sample_questions(1)
    examples = example_questions(products)
    assert len(examples) == 4
    named = [name for name in products["name"] if any(name in example for example in examples)]
    assert len(named) >= 2
    assert example_questions(products) == examples
    assert any(example.startswith("Do you have ") for example in examples)
    assert any("instead of" in example for example in examples)
    assert any("goes well with" in example for example in examples)


def test_without_clothing_there_is_no_outfit_and_without_facts_no_example() -> None:
    products, _, _ = sample_questions(1)
    goods = products.with_columns(
        partners=pl.lit(None, pl.List(pl.String)), keywords=pl.lit([], pl.List(pl.String))
    )
    assert not any("goes well with" in example for example in example_questions(goods))
    assert example_questions(products.with_columns(facts=pl.col("facts").list.head(0))) == []
