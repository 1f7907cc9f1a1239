"""Recall of retrieval: for how many questions the prompt holds a row that answers them."""

import polars as pl

from data.questions.phrases import ABSENT, GREETING
from data.scoring.verdicts import judge


def recall(questions: pl.DataFrame, names: list[list[str]], products: pl.DataFrame) -> dict[str, int]:
    """``answered``: questions that a product answers; ``found``: those of them for which one of the rows in
    their prompt is a right product, as verdicts see it.

    Args:
        questions: as `judge` takes them, without answers. names: of the rows in each question's prompt.
        products: what `data.questions.products.products_for_questions` gives.
    """
    rows = questions.with_columns(
        place=pl.int_range(pl.len()), row_name=pl.Series(names, dtype=pl.List(pl.String))
    )
    answered = rows.filter(~pl.col("kind").is_in([ABSENT, GREETING]))
    each = answered.explode("row_name").with_columns(prediction=pl.format(" Product Name: {}", "row_name"))
    judged = judge(each, products)
    found = judged.filter("fits")["place"].n_unique()
    return {"found": found, "answered": answered.height}
