"""A model that holds a conversation: prompts with as many earlier turns as there is room for, answers as a
stream of text.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from architectures.inference.backend import Sampling, StreamingBackend


class ChatRenderer(Protocol):
    """What turns a conversation into token ids, and token ids into text.

    reads_turns: whether earlier turns and questions in no category are for this model.
    """

    reads_turns: bool

    @property
    def stop_ids(self) -> list[int]:
        """Ids that end an answer."""
        ...

    def encoded(self, text: str) -> list[int]:
        """The ids of a text, nothing added."""
        ...

    def conversation(self, context: str, earlier: list[tuple[str, str]], question: str) -> list[int]:
        """The prompt's ids."""
        ...

    def decode(self, ids: list[int]) -> str:
        """The text of an answer."""
        ...


@dataclass
class Assistant:
    """A model on the chat page.

    Args:
        name: on the page. digest: of the model. max_length: tokens that question, history and answer may take
        together.
        max_answer: tokens of an answer.
    """

    name: str
    digest: str
    backend: StreamingBackend
    renderer: ChatRenderer
    max_length: int
    max_answer: int

    def prompt(self, context: str, earlier: list[tuple[str, str]], question: str) -> list[int]:
        """The prompt's ids with as many of the earlier turns as fit, the newest first. Raises ValueError
        if none fits.
        """
        for start in range(len(earlier) + 1):
            ids = self.renderer.conversation(context, earlier[start:], question)
            if len(ids) + self.max_answer <= self.max_length:
                return ids
        raise ValueError("This question is too long for the model; please ask a shorter one.")

    def stream(self, ids: list[int], temperature: float, top_p: float) -> Iterator[str]:
        """The answer's text as it grows."""
        for answer in self.backend.stream(ids, Sampling(temperature, top_p, self.max_answer)):
            yield self.renderer.decode(answer)
