"""The back end that generates in this process with transformers."""

import queue
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor

from architectures.inference.backend import Answers, Decoding, Sampling
from architectures.models import lora
from architectures.values import Identity, Net, Settings


def _left_padded(prompts: list[list[int]], pad_id: int) -> tuple[Tensor, Tensor]:
    """(ids, mask) of prompts padded on the left, so that every answer begins in the same column. (prompts,
    width) both
    """
    width = max(map(len, prompts))
    ids = torch.full((len(prompts), width), pad_id)
    mask = torch.zeros_like(ids)
    for row, prompt in enumerate(prompts):
        ids[row, width - len(prompt) :] = torch.tensor(prompt)
        mask[row, width - len(prompt) :] = 1
    return ids, mask


def _until_stop(answer: list[int], stop_ids: list[int]) -> list[int]:
    """The ids before the first stop id."""
    ends = [place for place, token in enumerate(answer) if token in stop_ids]
    return answer[: ends[0]] if ends else answer


@torch.inference_mode()
def generate_batch(net: Net, prompts: list[list[int]], decoding: Decoding) -> list[list[int]]:
    """One greedy answer for each prompt of a batch."""
    device, stop_ids = next(net.parameters()).device, decoding.stop_ids
    ids, mask = _left_padded(prompts, stop_ids[0])
    output = net.generate(
        input_ids=ids.to(device),
        attention_mask=mask.to(device),
        max_new_tokens=decoding.max_new_tokens,
        do_sample=False,
        eos_token_id=stop_ids,
        pad_token_id=stop_ids[0],
    )
    answers = output[:, ids.shape[1] :].tolist()
    return [_until_stop(answer, stop_ids) for answer in answers]


class TransformersBackend:
    """The net in this process, in batches of prompts of similar length.

    Args:
        net: a causal LM. identity: of its weights. untuned: answer as its base does. batch_size: prompts in a
        forward
            pass.
    """

    name = "transformers"

    def __init__(
        self, net: Net, identity: Identity, untuned: bool, decoding: Decoding, batch_size: int
    ) -> None:
        self.net, self.untuned, self.decoding, self.batch_size = net, untuned, decoding, batch_size
        self.device = next(net.parameters()).device
        precision = [str(net.dtype), self.device.type]
        limits = [decoding.stop_ids, decoding.max_new_tokens]
        self.identity = [self.name, *identity, untuned, *precision, *limits]

    def answer(self, prompts: list[list[int]]) -> Answers:
        """See `Backend`. The net's training mode is left as it was."""
        was_training = self.net.training
        self.net.eval()
        order = sorted(range(len(prompts)), key=lambda place: len(prompts[place]))
        try:
            for start in range(0, len(order), self.batch_size):
                places = order[start : start + self.batch_size]
                batch = [prompts[place] for place in places]
                with self.selected_weights():
                    answers = generate_batch(self.net, batch, self.decoding)
                yield from zip(places, answers, strict=True)
        finally:
            self.net.train(was_training)

    def selected_weights(self) -> AbstractContextManager[None]:
        """Within it the net is the tuned one, or its base."""
        disabled = self.untuned and lora.has_adapter(self.net)
        return lora.adapter_disabled(self.net) if disabled else nullcontext()

    def stream(self, prompt: list[int], sampling: Sampling) -> Iterator[list[int]]:
        """See `StreamingBackend`. The net generates in a thread of its own."""
        tokens: queue.Queue[int | None] = queue.Queue()
        stopped = threading.Event()
        worker = threading.Thread(
            target=self.generate_into, args=(tokens, prompt, sampling, stopped), daemon=True
        )
        worker.start()
        ids: list[int] = []
        try:
            while (token := tokens.get()) is not None and token not in self.decoding.stop_ids:
                ids.append(token)
                yield ids
        finally:
            stopped.set()
            worker.join()

    def generate_into(
        self,
        tokens: "queue.Queue[int | None]",
        prompt: list[int],
        sampling: Sampling,
        stopped: threading.Event,
    ) -> None:
        """The thread of `stream`: put each id into the queue, then None."""
        ids = torch.tensor([prompt], device=self.device)
        stop_ids = self.decoding.stop_ids
        options: Settings = {"do_sample": False}
        if sampling.temperature:
            options = {"do_sample": True, "temperature": sampling.temperature, "top_p": sampling.top_p}
        try:
            self.net.eval()
            with torch.inference_mode(), self.selected_weights():
                self.net.generate(
                    input_ids=ids,
                    attention_mask=torch.ones_like(ids),
                    max_new_tokens=sampling.max_new_tokens,
                    eos_token_id=stop_ids,
                    pad_token_id=stop_ids[0],
                    streamer=_token_streamer(tokens),
                    stopping_criteria=[
                        lambda rows, _: torch.full((len(rows),), stopped.is_set(), device=rows.device)
                    ],
                    **options,
                )
        finally:
            tokens.put(None)


def _token_streamer(
    tokens: "queue.Queue[int | None]",
) -> Any:  # a streamer of transformers, which is imported late
    """What transformers calls with the prompt first, and then with each new token."""
    from transformers.generation.streamers import BaseStreamer

    class TokenStreamer(BaseStreamer):
        is_prompt = True

        def put(self, value: Tensor) -> None:
            if not self.is_prompt:
                tokens.put(int(value.reshape(-1)[-1]))
            self.is_prompt = False

        def end(self) -> None:
            """The thread puts the end itself, also after an error."""

    return TokenStreamer()


def generate_answers(
    net: Net, prompts: list[list[int]], decoding: Decoding, batch_size: int = 64
) -> list[list[int]]:
    """Greedy answers in the order of the prompts, without a cache."""
    answers = dict(TransformersBackend(net, [], False, decoding, batch_size).answer(prompts))
    return [answers[place] or [] for place in range(len(prompts))]
