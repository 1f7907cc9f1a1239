"""A model's answers to prompts: as tuned, as its untuned base, and as its variants; by the back end that
the settings choose.
"""

import logging
import time
from pathlib import Path
from typing import Any, Protocol

from architectures.inference.backend import Backend, Decoding, answer_texts
from architectures.inference.selection import Prompting, select_backend
from architectures.inference.speed import measure
from architectures.inference.variants import variant_answers
from architectures.models import lora
from architectures.models.fine_tuned import FineTuned
from architectures.values import Settings

log = logging.getLogger(__name__)
Texts = list[str | None]
Questions = Any  # a table of the data layer


class _TextRenderer(Protocol):
    """What turns text into token ids and back."""

    @property
    def stop_ids(self) -> list[int]:
        """Ids that end an answer."""
        ...

    def save(self, folder: Path) -> None:
        """Write tokenizer and chat template."""
        ...

    def encoded(self, text: str) -> list[int]:
        """The ids of a text, nothing added."""
        ...

    def decode(self, ids: list[int]) -> str:
        """The text of an answer."""
        ...


class _AnswerData(Protocol):
    """What turns questions into prompts, and where answers are cached."""

    cache: Path

    @property
    def renderer(self) -> _TextRenderer:
        """Of the model's format."""
        ...

    @property
    def max_new_tokens(self) -> int:
        """Tokens of an answer."""
        ...

    def prompts(self, questions: Questions) -> list[list[int]]:
        """The ids of the prompts."""
        ...


class Answerer:
    """Answers questions with a loaded model.

    Args:
        exported: the model's folder. settings: fields of the configuration group `evaluation`, and variants.
    """

    def __init__(self, module: FineTuned, exported: Path, settings: Settings, data: _AnswerData) -> None:
        self.module, self.exported, self.settings, self.data = module, exported, settings, data
        self.decoding = Decoding(data.renderer.stop_ids, data.max_new_tokens)
        self.has_base = lora.has_adapter(module.net)
        self.speeds: dict[str, Settings] = {}  # of the tuned model and its variants, where they are measured

    def backend(self, untuned: bool) -> tuple[Backend, str]:
        """(the back end, the reason for the choice)"""
        prompting = Prompting(self.decoding, self.data.renderer.encoded)
        return select_backend(self.module, prompting, self.settings, self.exported, untuned)

    def texts(self, backend: Backend, prompts: list[list[int]], name: str) -> Texts:
        """A back end's answers, with a progress bar under ``name``."""
        return answer_texts(backend, prompts, self.data.cache, self.data.renderer.decode, name)

    def measure_speed(self, backend: Backend, prompts: list[list[int]], name: str) -> None:
        """Measure how fast a back end answers, where the settings say so."""
        if self.settings.get("speed"):
            self.speeds[name] = measure(backend, prompts)

    def tuned(self, questions: Questions) -> tuple[Texts, Settings]:
        """(the tuned model's answers, how they were made)"""
        begun = time.perf_counter()
        backend, reason = self.backend(untuned=False)
        log.info("answered by %s: %s", backend.name, reason)
        prompts = self.data.prompts(questions)
        answers = self.texts(backend, prompts, "tuned")
        seconds = time.perf_counter() - begun
        self.measure_speed(backend, prompts, "tuned")
        return answers, {
            "backend": backend.name,
            "why": reason,
            "seconds": seconds,
            "questions": len(answers),
        }

    def answers(self, prompts: list[list[int]]) -> Texts:
        """The tuned model's answers to prompts."""
        return self.texts(self.backend(untuned=False)[0], prompts, "tuned")

    def base(self, questions: Questions, name: str) -> Texts:
        """The untuned base's answers."""
        return self.texts(self.backend(untuned=True)[0], self.data.prompts(questions), name)

    def variants(self, questions: Questions) -> dict[str, Texts]:
        """The answers of the variants that the settings name."""
        names, size = self.settings.get("variants") or [], self.settings["batch_size"]
        if not names:
            return {}
        prompts = self.data.prompts(questions)

        def answer(backend: Backend, name: str) -> Texts:
            answers = self.texts(backend, prompts, name)
            self.measure_speed(backend, prompts, name)
            return answers

        return variant_answers(
            self.module, self.exported, names, self.decoding, size, answer, self.data.renderer.save
        )
