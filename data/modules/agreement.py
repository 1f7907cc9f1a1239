"""Training and scoring agree: the answers that a model learns, judged as predictions, are all right.

Checked on a sample when data are prepared, as they are and through the tokenizer; what breaks it is set aside
and counted.
"""

import logging
from pathlib import Path

import polars as pl

from data.catalogue.normalisation import normalise
from data.scoring import lookups, verdicts
from data.tokens.prompts import Renderer
from data.values import JsonObject

log = logging.getLogger(__name__)

SAMPLE = 1000  # answers that are judged
PART = 50_000  # questions that are judged at a time where the sample is not all right
MOST_CHANGED = 0.05  # share of the answers that a tokenizer may spoil
SET_ASIDE = "questions_disagreeing.parquet"


def judged_wrong(questions: pl.DataFrame, answers: pl.Series, products: pl.DataFrame) -> pl.DataFrame:
    """The questions whose ``answers`` are not right by the catalogue, with ``prediction`` and ``verdict``."""
    answered = questions.with_columns(prediction=answers)
    return verdicts.judge(answered, products).filter(~pl.col("verdict").is_in(verdicts.RIGHT_VERDICTS))


def set_aside_disagreeing(folder: Path) -> list[tuple[str, int]]:
    """Take the questions out of questions.parquet whose own answers are not judged right, if a sample has
    any. Gives (verdict, questions). Reads a part of the tables at a time.
    """
    questions = pl.scan_parquet(folder / "questions.parquet")
    count = questions.select(pl.len()).collect().item()
    sample = questions.gather_every(max(1, count // SAMPLE)).collect()
    if _wrong_answers(sample, folder).is_empty():
        return []
    parts = (questions.slice(start, PART).collect() for start in range(0, count, PART))
    wrong = pl.concat([_wrong_answers(part, folder) for part in parts])
    wrong.write_parquet(folder / SET_ASIDE)
    key = ["product_id", "question"]
    sound = questions.join(wrong.lazy().select(key), on=key, how="anti", maintain_order="left")
    sound.sink_parquet(folder / "sound.parquet")
    (folder / "sound.parquet").replace(folder / "questions.parquet")
    return wrong.group_by("verdict").len().sort("verdict").rows()


def _wrong_answers(questions: pl.DataFrame, folder: Path) -> pl.DataFrame:
    """`judged_wrong` of the questions' own answers, with the products that these are about or name."""
    ids = pl.concat([questions["product_id"], questions["answer_id"]]).unique()
    products = pl.scan_parquet(folder / "products.parquet")
    names = products.filter(pl.col("id").is_in(ids.implode())).select(normalise(pl.col("name"))).collect()
    is_named = normalise(pl.col("name")).is_in(names.to_series().implode())
    return judged_wrong(questions, questions["answer"], products.filter(is_named).collect())


def check_tokenizer(renderer: Renderer, questions: pl.DataFrame, products: pl.DataFrame) -> JsonObject:
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
            f"the tokenizer of model.base={renderer.base} does not reproduce {wrong.height} of"
            f" {sample.height} answers, so even a perfect model is judged wrong; the first becomes"
            f" {counts['changed_answer']!r}: choose another base"
        )
    return counts


def log_changed(counts: JsonObject) -> None:
    """Warn of answers that the tokenizer does not give back."""
    if counts["changed"]:
        log.warning(
            "the tokenizer does not reproduce %d of %d answers, so a model that learns them is judged wrong;"
            " the first becomes %r",
            counts["changed"], counts["checked"], counts["changed_answer"],
        )  # fmt: skip
