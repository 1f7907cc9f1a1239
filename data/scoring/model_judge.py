"""A language model as judge: which of two answers to an instruction is better (Zheng et al. 2023,
https://arxiv.org/abs/2306.05685).

Each pair is shown in both orders, since judges prefer one place. How often the judge agrees with people is
measured on pairs that people have labelled, before its scores are used.
"""

import json
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from data.scoring.statistics import wilson
from data.values import Json, JsonObject

log = logging.getLogger(__name__)

Message = dict[str, str]
Chat = Callable[[list[list[Message]], JsonObject], list[str | None]]  # (requests, JSON schema) -> replies

METRIC = "judge"  # as evaluation.metrics names it
CHOICES = ("answer", "reference", "neither")  # what people say is better
CHOICE_OF: dict[float | None, str] = {
    1.0: "answer",
    0.0: "reference",
    0.5: "neither",
}  # score -> the judge's choice
FIELDS = ("question", "answer", "reference", "better")  # of a file with their labels
MIN_LABELS = 10
SCHEMA = {
    "type": "object",
    "properties": {"better": {"enum": ["A", "B", "neither"]}},
    "required": ["better"],
    "additionalProperties": False,
}
INSTRUCTION = (
    "You compare two answers, A and B, to a question. The better one is right, does what was asked, and says"
    " no more than that. Length and style do not count. Reply with JSON alone:"
    ' {"better": "A"}, {"better": "B"}, or {"better": "neither"} where they are equally good.'
)


@dataclass(frozen=True)
class Agreement:
    """How often the judge says what people say: ``agreed`` of ``n`` pairs, and Cohen's kappa."""

    n: int
    agreed: int
    kappa: float

    def __str__(self) -> str:
        low, high = wilson(self.agreed, self.n)
        share = f"{100 * self.agreed / self.n:.1f}% [{100 * low:.1f}, {100 * high:.1f}]"
        return f"the judge agrees with people on {share} of {self.n} pairs (Cohen's kappa {self.kappa:.2f})"


def compare(
    chat: Chat, questions: Sequence[str], answers: Sequence[str | None], references: Sequence[str | None]
) -> list[float | None]:
    """1 where the answer is better than the reference in both orders, 0 where it is worse in both, else 0.5;
    None where a reply is missing or is no verdict, or there is no reference. An answer that is missing scores
    0.
    """
    requests, places = [], list[int]()
    scores: list[float | None] = []
    for place, (answer, reference) in enumerate(zip(answers, references, strict=True)):
        scores.append(None if reference is None else 0.0)
        if answer is None or reference is None:
            continue
        places.append(place)
        question, pair = questions[place], (answer, reference)
        requests += [_request(question, *pair), _request(question, *reversed(pair))]
    replies = [_choice(reply) for reply in chat(requests, SCHEMA)]
    for number, place in enumerate(places):
        first, second = replies[2 * number : 2 * number + 2]
        scores[place] = None if first is None or second is None else _score(first, second)
    return scores


def _request(question: str, a: str, b: str) -> list[Message]:
    """The messages that ask which of two answers is better."""
    shown = json.dumps({"question": question, "A": a, "B": b}, ensure_ascii=False)
    return [{"role": "system", "content": INSTRUCTION}, {"role": "user", "content": shown}]


def _choice(reply: str | None) -> str | None:
    """A, B or neither; None for any other reply."""
    text = (reply or "").strip().removeprefix("```json").removeprefix("```").removesuffix("```")
    try:
        value = json.loads(text)
    except ValueError:
        return None
    choice = value.get("better") if isinstance(value, dict) else None
    return choice if choice in ("A", "B", "neither") else None


def _score(first: str, second: str) -> float:
    """Of the choices with the answer as A, and as B. Choices that contradict each other count as a tie."""
    if (first, second) == ("A", "B"):
        return 1.0
    return 0.0 if (first, second) == ("B", "A") else 0.5


def read_labels(path: str) -> pl.DataFrame:
    """Pairs that people have labelled: question, answer, reference, better. Raises ValueError for a file that
    cannot be used.
    """
    if not path:
        raise ValueError(
            "the metric judge needs evaluation.judge_labels=FILE: JSON lines with question, answer, reference"
            f" and better ({', '.join(CHOICES)}), with which the judge's agreement with people is measured"
        )
    rows = []
    try:
        for number, line in enumerate(Path(path).read_text(encoding="utf-8").splitlines(), 1):
            row = json.loads(line) if line.strip() else None
            if row is not None:
                rows.append(_checked(row, number))
    except (OSError, ValueError) as error:
        raise ValueError(f"evaluation.judge_labels={path}: {error}") from None
    if len(rows) < MIN_LABELS:
        few = f"has {len(rows)} pairs; at least {MIN_LABELS} are needed"
        raise ValueError(f"evaluation.judge_labels={path}: {few}")
    return pl.DataFrame(rows, schema=dict.fromkeys(FIELDS, pl.String))


def _checked(row: Json, number: int) -> dict[str, str]:
    """A labelled pair. Raises ValueError for one that lacks a field or has another label."""
    missing = [name for name in FIELDS if not isinstance(row, dict) or not isinstance(row.get(name), str)]
    if missing:
        raise ValueError(f"line {number} has no text {', '.join(missing)}")
    if row["better"] not in CHOICES:
        raise ValueError(f"line {number}: better={row['better']}: must be one of {', '.join(CHOICES)}")
    return {name: row[name] for name in FIELDS}


def agreement(chat: Chat, labels: pl.DataFrame) -> Agreement:
    """The agreement of the judge with people on labelled pairs. Raises ValueError if it never replied."""
    scores = compare(chat, *(labels[name].to_list() for name in ("question", "answer", "reference")))
    judged = pl.Series([CHOICE_OF.get(score) for score in scores], dtype=pl.String)
    pairs = labels.with_columns(judge=judged).drop_nulls("judge")
    if not pairs.height:
        raise ValueError("the judge gave no verdict on any labelled pair")
    agreed = int((pairs["judge"] == pairs["better"]).sum())
    by_chance = 0.0
    for choice in CHOICES:
        rates = [int((pairs[column] == choice).sum()) / pairs.height for column in ("judge", "better")]
        by_chance += rates[0] * rates[1]
    kappa = 1.0 if by_chance == 1 else (agreed / pairs.height - by_chance) / (1 - by_chance)
    found = Agreement(pairs.height, agreed, kappa)
    log.info("%s", found)
    return found
