"""Questions that go on about the product of the turn before: ``follow_up`` ("and what does it cost?").

The column ``earlier`` of questions holds the turns before a question, null where there are none.
"""

import polars as pl

from data.questions import wordings
from data.questions.filling import PAIRS, fill, for_training, in_sentence, pick
from data.questions.further_kinds import facts_of
from data.questions.phrases import FOLLOW_UP, VALUE_SENTENCE

TURNS = pl.List(pl.Struct({"question": pl.String, "answer": pl.String}))


def noun(key: pl.Expr) -> pl.Expr:
    """What shoppers call an attribute."""
    return key.str.to_lowercase().replace(wordings.NOUNS)


def follow_up_questions(products: pl.DataFrame, seed: int) -> pl.DataFrame:
    """One question about half of the products for an attribute, after one for another of its attributes."""
    low = pl.col("key").str.to_lowercase()
    plain = facts_of(products).filter(low != "ideal for", ~low.is_in(wordings.NO_NOUNS))
    some = plain.filter(pl.col("id").hash(seed + 13) % 2 == 0).sort("id", pl.struct("id", "key").hash(seed))
    two = some.group_by("id", "name", maintain_order=True).agg(pl.col("key", "value").head(2))
    rows = two.filter(pl.col("key").list.len() == 2).join(
        products.select("id", "block"), on="id", maintain_order="left"
    )
    sentences, nouns = [], []
    for place in range(2):
        key, value = pl.col("key").list.get(place), pl.col("value").list.get(place)
        sentences.append(pl.format(VALUE_SENTENCE, key.str.to_lowercase(), "name", in_sentence(key, value)))
        nouns.append(noun(key))
    rows = rows.with_columns(draw=pl.concat_str("id", pl.lit(FOLLOW_UP)))
    first_question = fill(pick(for_training(wordings.ATTRIBUTE), seed), key=nouns[0], name=pl.col("name"))
    first_turn = pl.struct(question=first_question, answer=pl.format("{}\n{}", sentences[0], "block"))
    asked = pl.struct(key=pl.col("key").list.get(1), value=pl.col("value").list.get(1))
    return rows.select(
        product_id="id",
        kind=pl.lit(FOLLOW_UP),
        question=pl.lit(""),
        sentence=sentences[1],
        answer_id="id",
        conditions=pl.concat_list(asked).cast(PAIRS),
        expected=in_sentence(pl.col("key").list.get(1), pl.col("value").list.get(1)),
        earlier=pl.concat_list(first_turn).cast(TURNS),
    )


def whole_question(questions: pl.DataFrame) -> pl.Series:
    """Each question with those of the turns before it, as one text to look for."""
    if "earlier" not in questions.columns:
        return questions["question"]
    before = pl.col("earlier").list.eval(pl.element().struct.field("question")).list.join(" ")
    return questions.select(pl.concat_str(before, "question", separator=" ", ignore_nulls=True)).to_series()


def earlier_turns(questions: pl.DataFrame) -> list[list[tuple[str, str]]]:
    """The turns before each question; [] for questions without them."""
    if "earlier" not in questions.columns:
        return [[] for _ in range(questions.height)]
    found = []
    for turns in questions["earlier"].to_list():
        found.append([(turn["question"], turn["answer"]) for turn in turns or []])
    return found
