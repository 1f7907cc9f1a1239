"""Prompts as token ids -> answers as token ids, by transformers, vLLM or an OpenAI-compatible endpoint behind one signature.

Every back end gives each answer as it is done; `answers` keeps them on disk, asks again what failed, and goes on where it stopped.
"""

import logging
import queue
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch

from architectures import adapters
from architectures.kept import Kept, key_of

log = logging.getLogger(__name__)
TRIES = 2  # times that a prompt whose request failed is asked
Answers = Iterator[tuple[int, list[int] | None]]  # (place of the prompt, its answer; None: the request failed)


@dataclass(frozen=True)
class Decoding:
    """Greedy decoding until one of ``stop_ids`` (which is no part of the answer), of ``max_new_tokens`` at most."""

    stop_ids: list[int]
    max_new_tokens: int


@dataclass(frozen=True)
class Sampling:
    """How a conversation goes on: ``temperature`` 0 is greedy; ``top_p``: share of the probability that is drawn from."""

    temperature: float
    top_p: float
    max_new_tokens: int


class Backend(Protocol):
    """What answers prompts. ``identity``: plain values on which its answers depend."""

    name: str
    identity: list[Any]

    def answer(self, prompts: list[list[int]]) -> Answers:
        """Answers as they are done, in any order. Raises ValueError if none can be had."""
        ...


def answers(backend: Backend, prompts: list[list[int]], folder: Path, advance: Callable[[int], object]) -> list[list[int] | None]:
    """One answer for each prompt, in the prompts' order; None where the request failed, twice.

    Args:
        folder: what is answered is kept there, by the back end's identity, and not asked for again.
        advance: told the number of prompts that are done, for a progress bar.
    """
    kept = Kept(folder / f"answers-{key_of(backend.identity)}.jsonl")
    keys = [key_of(prompt) for prompt in prompts]
    times = Counter(keys)
    for attempt in range(TRIES):
        todo = {key: prompt for key, prompt in zip(keys, prompts, strict=True) if key not in kept}
        if attempt == 0:
            advance(sum(key in kept for key in keys))
        elif todo:
            log.warning("%d requests failed; asking them again", len(todo))
        names = list(todo)
        for place, answer in backend.answer(list(todo.values())) if todo else ():
            if answer is not None:
                kept.add(names[place], answer)
                advance(times[names[place]])
    failed = sum(key not in kept for key in keys)
    if failed:
        log.warning("%d of %d requests failed and count as failed; the same command asks only for them", failed, len(prompts))
    return [kept.get(key) for key in keys]


# --- transformers: ---------------------------------------------------------------------------------------------------


@torch.inference_mode()
def generate(net: Any, prompts: list[list[int]], decoding: Decoding) -> list[list[int]]:
    """One greedy answer for each prompt of a batch, through the net's cache."""
    device, stop_ids = next(net.parameters()).device, decoding.stop_ids
    width = max(map(len, prompts))
    ids = torch.full((len(prompts), width), stop_ids[0])
    mask = torch.zeros_like(ids)
    for row, prompt in enumerate(prompts):  # padded on the left, so that every answer begins in the same column
        ids[row, width - len(prompt) :] = torch.tensor(prompt)
        mask[row, width - len(prompt) :] = 1
    made = net.generate(
        input_ids=ids.to(device),
        attention_mask=mask.to(device),
        max_new_tokens=decoding.max_new_tokens,
        do_sample=False,
        eos_token_id=stop_ids,
        pad_token_id=stop_ids[0],
    )[:, width:].tolist()
    return [answer[: next((i for i, token in enumerate(answer) if token in stop_ids), len(answer))] for answer in made]


class Transformers:
    """The net in this process, in batches of prompts of like length.

    Args:
        net: a causal LM. identity: of its weights. untuned: answer as its base would. batch_size: prompts a forward pass.
    """

    name = "transformers"

    def __init__(self, net: Any, identity: list[Any], untuned: bool, decoding: Decoding, batch_size: int) -> None:
        self.net, self.untuned, self.decoding, self.batch_size = net, untuned, decoding, batch_size
        device = next(net.parameters()).device.type
        self.identity = [self.name, *identity, untuned, str(net.dtype), device, decoding.stop_ids, decoding.max_new_tokens]

    def answer(self, prompts: list[list[int]]) -> Answers:
        """As `Backend` says; the net is left in the mode in which it was."""
        was_training = self.net.training
        self.net.eval()
        order = sorted(range(len(prompts)), key=lambda i: len(prompts[i]))
        try:
            for start in range(0, len(order), self.batch_size):
                places = order[start : start + self.batch_size]
                some = [prompts[i] for i in places]
                with self.as_asked():
                    made = generate(self.net, some, self.decoding)
                yield from zip(places, made, strict=True)
        finally:
            self.net.train(was_training)

    def as_asked(self) -> AbstractContextManager[None]:
        """Within it the net is the tuned one, or its base."""
        return adapters.untuned(self.net) if self.untuned and adapters.has_adapter(self.net) else nullcontext()

    def stream(self, prompt: list[int], sampling: Sampling) -> Iterator[list[int]]:
        """One answer as it grows: all of its ids so far, again and again. Whoever stops listening stops it."""
        arrived: queue.Queue[int | None] = queue.Queue()
        stopped = threading.Event()
        worker = threading.Thread(target=self.speak, args=(prompt, sampling, arrived, stopped), daemon=True)
        worker.start()
        ids: list[int] = []
        try:
            while (token := arrived.get()) is not None and token not in self.decoding.stop_ids:
                ids.append(token)
                yield ids
        finally:
            stopped.set()
            worker.join()

    def speak(self, prompt: list[int], sampling: Sampling, arrived: "queue.Queue[int | None]", stopped: threading.Event) -> None:
        """The thread of `stream`: put each id where it is waited for, None at the end."""
        from transformers.generation.streamers import BaseStreamer

        class Streamer(BaseStreamer):
            first = True

            def put(self, value: torch.Tensor) -> None:
                if not self.first:  # which is the prompt
                    arrived.put(int(value.reshape(-1)[-1]))
                self.first = False

            def end(self) -> None:
                """The thread says so itself, also after an error."""

        drawn = (
            {"do_sample": True, "temperature": sampling.temperature, "top_p": sampling.top_p}
            if sampling.temperature
            else {"do_sample": False}
        )
        ids = torch.tensor([prompt], device=next(self.net.parameters()).device)
        try:
            self.net.eval()
            with torch.inference_mode(), self.as_asked():
                self.net.generate(
                    input_ids=ids,
                    attention_mask=torch.ones_like(ids),
                    max_new_tokens=sampling.max_new_tokens,
                    eos_token_id=self.decoding.stop_ids,
                    pad_token_id=self.decoding.stop_ids[0],
                    streamer=Streamer(),
                    stopping_criteria=[lambda ids, _: torch.full((len(ids),), stopped.is_set(), device=ids.device)],
                    **drawn,
                )
        finally:
            arrived.put(None)
