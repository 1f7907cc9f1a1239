"""A conversation as a chat page holds it: turns with escaped text, an answer that streams into them, and
visitors' opinions.
"""

import html
import json
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from architectures.inference.assistant import Assistant
from architectures.values import JsonObject

Turns = list[JsonObject]  # role and content, as a chat page holds them
MAX_TURN = 20_000  # characters of an earlier turn that are read
MAX_EARLIER = 20  # turns that the model sees


def _text_of(turn: JsonObject) -> str:
    """The text of a turn, which the page holds escaped, as a whole or in pieces."""
    content = turn["content"]
    pieces = [{"text": content}] if isinstance(content, str) else content
    text = "".join(piece.get("text", "") for piece in pieces)
    return html.unescape(text[:MAX_TURN])


def earlier_turns(turns: Turns, count: int) -> list[tuple[str, str]]:
    """The last ``count`` questions with their answers."""
    pairs = [(_text_of(a), _text_of(b)) for a, b in zip(turns[::2], turns[1::2], strict=False)]
    return pairs[-count:] if count else []


@dataclass(frozen=True)
class ChatQuestion:
    """A visitor's question: context, how the answer is sampled, and how many earlier turns the model sees."""

    text: str
    context: str
    temperature: float
    top_p: float
    earlier: int


class Beside(Protocol):
    """What stands beside an answer: the HTML of the products that it names, and questions to go on with."""

    @property
    def html(self) -> str:
        """The products."""
        ...

    @property
    def options(self) -> list[dict[str, str]]:
        """Questions, each with label and value."""
        ...


def reply(
    models: list[Assistant],
    question: ChatQuestion,
    chats: list[Turns],
    beside: Callable[[Assistant, str], Beside],
) -> Iterator[tuple[list[Turns], list[str]]]:
    """(conversations, cards) of all models, again and again as the answers grow, one model after the other.

    Args:
        beside: what stands beside a model's answer.

    Raises ValueError if a model cannot answer.
    """
    chats, cards = [list(turns) for turns in chats], [""] * len(models)
    temperature, top_p = min(max(question.temperature, 0), 2), min(max(question.top_p, 0.01), 1)
    yield chats, cards
    for turns, (place, model) in zip(chats, enumerate(models), strict=True):
        history = earlier_turns(turns, min(question.earlier, MAX_EARLIER))
        ids = model.prompt(question.context, history, question.text)
        turns.append({"role": "user", "content": html.escape(question.text)})
        turns.append({"role": "assistant", "content": ""})
        for text in model.stream(ids, temperature, top_p):
            turns[-1]["content"] = html.escape(text)
            yield chats, cards
        shown = beside(model, _text_of(turns[-1]))
        cards[place], turns[-1]["options"] = shown.html, shown.options
        yield chats, cards


class FeedbackFile:
    """What is known of answers, as JSON lines: time, model, turns up to an answer, and a visitor's opinion
    (liked) or what the answer says against the catalogue (faults).
    """

    def __init__(self, path: Path) -> None:
        self.path, self.lock = path, threading.Lock()

    def add_opinion(self, model: Assistant, turns: Turns, place: int, liked: bool | str) -> None:
        """Append an opinion about the answer at ``place``, with the turns before it."""
        self._append(model, [_text_of(turn) for turn in turns[: place + 1]], liked=liked)

    def add_faults(self, model: Assistant, question: str, answer: str, faults: list[str]) -> None:
        """Append what an answer says against the catalogue."""
        self._append(model, [question, answer], faults=faults)

    def _append(self, model: Assistant, texts: list[str], **known: bool | str | list[str]) -> None:
        """Append a record."""
        record = {"time": time.time(), "model": model.name, "digest": model.digest, "turns": texts, **known}
        with self.lock, self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(record) + "\n")
