"""One question of each kind with its answer, for people to read (`stage=show`)."""

import polars as pl

from data.questions.follow_ups import earlier_turns


def one_of_each_kind(questions: pl.DataFrame) -> str:
    """The first question of each kind, with its earlier turns and its answer.

    Args:
        questions: with kind, context, question and answer.
    """
    first = questions.unique("kind", keep="first", maintain_order=True).sort("kind")
    parts = []
    for row, turns in zip(first.to_dicts(), earlier_turns(first), strict=True):
        lines = []
        for question, answer in [*turns, (row["question"], row["answer"])]:
            lines += [f"? {question}", *answer.splitlines()]
        shown = "\n    ".join(lines)
        parts.append(f"{row['kind']} ({row['context']})\n    {shown}")
    return "\n\n".join(parts)
