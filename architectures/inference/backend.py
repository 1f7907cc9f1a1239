"""What a back end is: prompts as token ids -> answers as token ids, behind one interface; and the cache of
its answers.

Every back end yields each answer as it is done. `cached_answers` stores them on disk, repeats what failed,
and continues where it stopped.
"""

import logging
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from architectures.inference.answer_cache import AnswerCache, cache_key
from architectures.values import Identity

log = logging.getLogger(__name__)

ATTEMPTS = 2  # at a prompt whose request failed
Answers = Iterator[
    tuple[int, list[int] | None]
]  # (place of the prompt, its answer; None: the request failed)


@dataclass(frozen=True)
class Decoding:
    """Greedy decoding until one of ``stop_ids`` (not part of the answer), of at most ``max_new_tokens``."""

    stop_ids: list[int]
    max_new_tokens: int


@dataclass(frozen=True)
class Sampling:
    """How a chat answer is decoded: ``temperature`` 0 is greedy; ``top_p``: share of the probability to
    sample from.
    """

    temperature: float
    top_p: float
    max_new_tokens: int


class Backend(Protocol):
    """Answers prompts. ``identity``: plain values that determine its answers."""

    name: str
    identity: Identity

    def answer(self, prompts: list[list[int]]) -> Answers:
        """Answers as they are done, in any order. Raises ValueError if no answer can be produced."""
        ...


class StreamingBackend(Backend, Protocol):
    """A back end that can also stream one answer."""

    def stream(self, prompt: list[int], sampling: Sampling) -> Iterator[list[int]]:
        """One answer as it grows: all of its ids so far, each time. Closing the iterator stops the
        generation.
        """
        ...


def cached_answers(
    backend: Backend, prompts: list[list[int]], folder: Path, advance: Callable[[int], object]
) -> list[list[int] | None]:
    """One answer for each prompt, in the prompts' order; None where the request failed in every attempt.

    Args:
        folder: of the answer cache, whose file is named by the back end's identity.
        advance: is called with the number of prompts that are done, for a progress bar.
    """
    cache = AnswerCache(folder / f"answers-{cache_key(backend.identity)}.jsonl")
    keys = [cache_key(prompt) for prompt in prompts]
    occurrences = Counter(keys)
    advance(sum(key in cache for key in keys))
    for attempt in range(ATTEMPTS):
        pending = {key: prompt for key, prompt in zip(keys, prompts, strict=True) if key not in cache}
        if not pending:
            break
        if attempt:
            log.warning("%d requests failed; repeating them", len(pending))
        names = list(pending)
        for place, answer in backend.answer(list(pending.values())):
            if answer is not None:
                cache.add(names[place], answer)
                advance(occurrences[names[place]])
    failed = sum(key not in cache for key in keys)
    if failed:
        log.warning(
            "%d of %d requests failed and count as failed; the same command repeats only these",
            failed,
            len(prompts),
        )
    return [cache.get(key) for key in keys]


def answer_texts(
    backend: Backend, prompts: list[list[int]], folder: Path, decode: Callable[[list[int]], str], name: str
) -> list[str | None]:
    """`cached_answers` as text, with a progress bar under ``name``."""
    from tqdm import tqdm

    with tqdm(total=len(prompts), desc=f"{name} answers", unit="question", leave=False) as bar:
        answers = cached_answers(backend, prompts, folder, bar.update)

    def text_or_none(ids: list[int] | None) -> str | None:
        return None if ids is None else decode(ids)

    return [text_or_none(ids) for ids in answers]
