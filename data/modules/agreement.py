"""Training and scoring agree: the answers that a model learns, judged as predictions, are all right.

Checked on a sample when data are prepared, as they are and through the tokenizer; what breaks it is set aside
and counted.
"""

import logging
from pathlib import Path
from typing import Any

import polars as pl

from data.scoring import lookups, verdicts
from data.tokens.prompts import Renderer

log = logging.getLogger(__name__)

SAMPLE = 1000  # answers that are judged
MOST_CHANGED = 0.05  # share of the answers that a tokenizer may spoil
SET_ASIDE = "questions_disagreeing.parquet"


def judged_wrong(questions: pl.DataFrame, answers: pl.Series, products: pl.DataFrame) -> pl.DataFrame:
    """The questions whose ``answers`` are not right by the catalogue, with ``prediction`` and ``verdict``."""
    answered = questions.with_columns(prediction=answers)
    return verdicts.judge(answered, products).filter(pl.col("verdict") != "right_facts")


def set_aside_disagreeing(folder: Path) -> list[tuple[str, int]]:
    """Take the questions out of questions.parquet whose own answers are not judged right, if a sample has
    any. Gives (verdict, questions).
    """
    products = pl.read_parquet(folder / "products.parquet")
    questions = pl.read_parquet(folder / "questions.parquet")
    sample = lookups.spread(questions, SAMPLE)
    if judged_wrong(sample, sample["answer"], products).is_empty():
        return []
    wrong = judged_wrong(questions, questions["answer"], products)
    wrong.write_parquet(folder / SET_ASIDE)
    key = ["product_id", "question"]
    questions.join(wrong, on=key, how="anti", maintain_order="left").write_parquet(
        folder / "questions.parquet"
    )
    return wrong.group_by("verdict").len().sort("verdict").rows()


def check_tokenizer(renderer: Renderer, questions: pl.DataFrame, products: pl.DataFrame) -> dict[str, Any]:
    """How many of a sample of answers are no longer right once they were encoded and decoded, and one of
    them.

    Raises ValueError if the tokenizer spoils too many.
    """
    sample = lookups.spread(questions, SAMPLE)
    texts = [renderer.decode(ids) for ids in renderer.encode(sample["answer"].to_list())]
    wrong = judged_wrong(sample, pl.Series(texts, dtype=pl.String), products)
    counts = {"checked": sample.height, "changed": wrong.height, "changed_answer": ""}
    if wrong.height:
        counts["changed_answer"] = wrong["prediction"][0]
    if wrong.height > MOST_CHANGED * sample.height:
        raise ValueError(
            f"the tokenizer of model.base={renderer.base} does not give back {wrong.height} of"
            f" {sample.height} answers, so that even a perfect model would be judged wrong; the first becomes"
            f" {counts['changed_answer']!r}: use another base"
        )
    return counts


def log_changed(counts: dict[str, Any]) -> None:
    """Warn of answers that the tokenizer does not give back."""
    if counts["changed"]:
        log.warning(
            "%d of %d answers are not given back by the tokenizer, and a model that has learnt them is judged"
            " wrong; the first becomes %r",
            counts["changed"], counts["checked"], counts["changed_answer"],
        )  # fmt: skip
