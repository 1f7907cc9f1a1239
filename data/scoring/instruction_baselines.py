"""What a model trained on instructions must beat: the answer to the training question most like each, and
the untuned base, alone or with training conversations before the question.
"""

import polars as pl

from data.scoring.lookups import AskBase, Nearest
from data.values import Settings

NEAREST = "nearest-answer"
UNTUNED, SHOTS = "untuned", "untuned-shots"
BASELINES = (NEAREST, UNTUNED, SHOTS)


def with_shots(questions: pl.DataFrame, training: pl.DataFrame, shots: int, seed: int) -> pl.DataFrame:
    """The questions with ``shots`` training conversations of one turn before them, the same before each; of
    those whose text is not longer than the median, drawn by the seed.
    """
    length = pl.col("question").str.len_chars() + pl.col("reference").str.len_chars()
    single = training.filter(pl.col("messages").list.len() == 1)
    short = single.filter(length <= length.median())
    drawn = short.sort(pl.struct("question", "reference").hash(seed)).head(shots)
    turns: list[dict[str, str]] = []
    for question, reference in drawn.select("question", "reference").rows():
        turns += [{"role": "user", "content": question}, {"role": "assistant", "content": reference}]
    shown = [_after_system(messages, turns) for messages in questions["messages"].to_list()]
    return questions.with_columns(messages=pl.Series(shown, dtype=questions.schema["messages"]))


def _after_system(messages: list[dict[str, str]], turns: list[dict[str, str]]) -> list[dict[str, str]]:
    """The messages with turns before the first of a user."""
    systems = [message for message in messages if message["role"] == "system"]
    return [*systems, *turns, *(message for message in messages if message["role"] != "system")]


def baseline_answers(
    names: list[str],
    questions: pl.DataFrame,
    training: pl.DataFrame,
    settings: Settings,
    nearest: Nearest,
    ask_base: AskBase | None,
) -> dict[str, list[str | None]]:
    """Baseline -> its answers; names of baselines for catalogues alone are passed over.

    Args:
        training: conversations. settings: shots, seed. ask_base: as for
        `data.scoring.lookups.baseline_answers`.
    """
    answers: dict[str, list[str | None]] = {}
    for name in names:
        if name == NEAREST:
            places = nearest(training["question"].to_list(), questions["question"].to_list())
            answers[name] = training["reference"].gather(places).to_list()
        elif name in BASELINES and ask_base is not None:
            shots, seed = settings["shots"], settings["seed"]
            asked = questions if name == UNTUNED else with_shots(questions, training, shots, seed)
            answers[name] = ask_base(asked, name)
    return answers
