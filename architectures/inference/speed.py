"""How fast a back end answers, and how much memory its weights take."""

import time

from architectures.inference.backend import Backend
from architectures.inference.transformers_backend import TransformersBackend
from architectures.values import Settings

ALONE, TOGETHER = 5, 64  # prompts that are answered one at a time, and at once


def measure(backend: Backend, prompts: list[list[int]]) -> Settings:
    """Figures as plain values, without a cache: tokens_per_second and seconds (an answer) of ``together``
    prompts at once, seconds_alone: of an answer by itself. weights_mib: in memory; None where the weights are
    in another process.

    Args:
        prompts: token ids; some of them are taken, evenly spread.
    """
    _answer(backend, prompts[:1])  # what is built on first use does not count
    alone, together = _spread(prompts, ALONE), _spread(prompts, TOGETHER)
    seconds_alone = sum(_answer(backend, [prompt])[1] for prompt in alone) / len(alone)
    tokens, seconds = _answer(backend, together)
    weights = None
    if isinstance(backend, TransformersBackend):
        tensors = [*backend.net.parameters(), *backend.net.buffers()]
        weights = sum(tensor.nbytes for tensor in tensors) / 2**20
    return {
        "tokens_per_second": tokens / seconds,
        "seconds": seconds / len(together),
        "together": len(together),
        "seconds_alone": seconds_alone,
        "weights_mib": weights,
    }


def _answer(backend: Backend, prompts: list[list[int]]) -> tuple[int, float]:
    """(tokens of the answers with their ends, seconds)"""
    begun = time.perf_counter()
    answers = [answer for _, answer in backend.answer(prompts)]
    seconds = time.perf_counter() - begun
    return sum(len(answer) + 1 for answer in answers if answer is not None), seconds


def _spread(prompts: list[list[int]], count: int) -> list[list[int]]:
    """``count`` of the prompts, evenly over all of them."""
    count = min(count, len(prompts))
    return [prompts[place * len(prompts) // count] for place in range(count)]
