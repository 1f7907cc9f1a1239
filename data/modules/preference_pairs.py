"""Preference data from a model's own mistakes: what it answered wrong about products that it was trained on,
beside what the catalogue says; and answers that visitors of the chat page liked, beside those they did not.

Questions of the test splits are never among them.
"""

import json
import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl

from data.files import digest_of
from data.questions.follow_ups import earlier_turns
from data.scoring.lookups import spread
from data.scoring.verdicts import RIGHT_VERDICTS
from data.tokens.chat_templates import Message, Turns, asked_messages
from data.values import JsonObject

if TYPE_CHECKING:  # imports Lightning, which takes seconds
    from data.modules.opening import RetailData

log = logging.getLogger(__name__)

Ask = Callable[[list[list[int]]], list[str | None]]  # prompts -> answers

FEEDBACK = "feedback.jsonl"  # of the chat page, in the outputs folder
_MESSAGES = pl.List(pl.Struct({"role": pl.String, "content": pl.String}))
_PAIR = pl.Schema(
    {
        "prompt": _MESSAGES,
        "chosen": _MESSAGES,
        "rejected": _MESSAGES,
        "kind": pl.String(),
        "source": pl.String(),
    }
)


def _pair(prompt: list[Message], chosen: str, rejected: str, kind: str, source: str) -> JsonObject:
    """A row of preference data."""
    answers = [[{"role": "assistant", "content": text}] for text in (chosen, rejected)]
    pair: JsonObject = {"prompt": prompt, "chosen": answers[0], "rejected": answers[1]}
    return pair | {"kind": kind, "source": source}


def _own_mistakes(data: "RetailData", ask: Ask, count: int) -> tuple[list[JsonObject], int]:
    """(pairs, questions that were asked): ``count`` training questions, spread evenly, are answered with the
    prompts of training; a wrong answer is rejected, that of the catalogue is chosen.
    """
    questions = spread(data.questions("train"), count)
    contexts, turns = data.contexts(questions, for_training=True), earlier_turns(questions)
    texts = questions["question"].to_list()
    answers = ask(data.renderer.prompts(contexts, texts, turns))
    judged = data.judge(questions.with_columns(position=pl.int_range(pl.len())), answers)
    wrong = judged.filter(
        ~pl.col("verdict").cast(pl.String).is_in(RIGHT_VERDICTS), pl.col("prediction") != ""
    )
    pairs = []
    for place, answer, given, kind in wrong.select("position", "answer", "prediction", "kind").rows():
        prompt = asked_messages(contexts[place], texts[place], turns[place])
        pairs.append(_pair(prompt, answer, given, kind, "catalogue"))
    return pairs, questions.height


def _conversations(path: Path) -> Iterator[JsonObject]:
    """The records of a file that the chat page writes, each with the ``turns`` up to an answer; a warning
    counts the lines that are damaged.
    """
    damaged = 0
    for line in path.read_text(encoding="utf-8").splitlines() if path.is_file() else []:
        try:
            record = json.loads(line)
            is_whole = len(record["turns"]) % 2 == 0 and all(
                isinstance(text, str) for text in record["turns"]
            )
        except (ValueError, KeyError, TypeError):
            is_whole = False
        if is_whole:
            yield record
        else:
            damaged += 1
    if damaged:
        log.warning("%7d  lines of %s are damaged and left out", damaged, path)


def _visitors_opinions(path: Path, in_prompt: Callable[[str, Turns], str]) -> tuple[list[JsonObject], int]:
    """(pairs, disliked or contradicted answers without a liked one to the same question) of a file that the
    chat page writes.

    Args:
        in_prompt: the context with which a question and its earlier turns are asked.
    """
    by_question: dict[tuple[str, ...], tuple[set[str], set[str]]] = {}
    for record in _conversations(path):
        *asked, answer = record["turns"]
        liked, disliked = by_question.setdefault(tuple(asked), (set(), set()))
        is_liked = record.get("liked")
        if is_liked is True:
            liked.add(answer)
        elif is_liked is False or record.get("faults"):
            disliked.add(answer)
    pairs, alone = [], 0
    for (*before, question), (liked, disliked) in by_question.items():
        earlier = list(zip(before[::2], before[1::2], strict=True))
        worse = sorted(disliked - liked)
        alone += 0 if liked else len(worse)
        if liked and worse:
            prompt = asked_messages(in_prompt(question, earlier), question, earlier)
            pairs += [_pair(prompt, good, bad, "", "visitors") for good in sorted(liked) for bad in worse]
    return pairs, alone


def write_pairs(data: "RetailData", ask: Ask, count: int, ckpt: str, outputs: Path) -> str:
    """Write pairs into ``outputs/preferences``, in a file named by its content; what to type next.

    Raises ValueError if there is no pair.
    """
    grounding = data.grounding

    def in_prompt(question: str, earlier: Turns) -> str:
        return grounding.context("", question, earlier=earlier) if grounding else ""

    opinions, alone = _visitors_opinions(outputs / FEEDBACK, in_prompt)  # before the work
    pairs, asked = _own_mistakes(data, ask, count)
    counted = f"{len(pairs)} of {asked} training questions are answered wrong"
    counted += f"; {len(opinions)} pairs are visitors' opinions"
    if alone:
        counted += f" ({alone} answers that they did not like have no liked one to the same question)"
    if not pairs and not opinions:
        raise ValueError(f"pairs: {counted}, so there is nothing to prefer; raise pairs")
    table = pl.DataFrame(pairs + opinions, schema=_PAIR, orient="row")
    (folder := outputs / "preferences").mkdir(parents=True, exist_ok=True)
    path = folder / f"pairs-{digest_of(table.rows())}.parquet"
    table.write_parquet(path)
    further = f"trainer.objective=dpo model.parent={ckpt} data.preferences={path}"
    return f"{counted}\nwritten to {path}\nnext:  the command that trained {ckpt}, with {further}"
