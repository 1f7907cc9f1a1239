"""Prompts as token ids -> answers as token ids, by transformers, vLLM or an OpenAI-compatible endpoint behind one signature.

Every back end gives each answer as it is done; `answers` keeps them on disk, asks again what failed, and goes on where it stopped.
"""

import contextlib
import importlib.util
import json
import logging
import os
import queue
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch

from architectures import adapters
from architectures.asking import message_of
from architectures.kept import Kept, key_of

log = logging.getLogger(__name__)
WORKER = Path(__file__).with_name("vllm_worker.py")
TRIES = 2  # times that a prompt whose request failed is asked
POLL = 0.2  # seconds between looks at what vLLM has done
SHOWN = 15  # lines of vLLM's log that an error holds
BATCH_INVARIANT = (9, 0)  # CUDA capability from which vLLM can give the same answer whatever else is in the batch
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
                if self.untuned and adapters.has_adapter(self.net):
                    with adapters.untuned(self.net):
                        made = generate(self.net, some, self.decoding)
                else:
                    made = generate(self.net, some, self.decoding)
                yield from zip(places, made, strict=True)
        finally:
            self.net.train(was_training)

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
        as_base = adapters.untuned(self.net) if self.untuned and adapters.has_adapter(self.net) else contextlib.nullcontext()
        try:
            self.net.eval()
            with torch.inference_mode(), as_base:
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


# --- vLLM: -----------------------------------------------------------------------------------------------------------


class Vllm:
    """vLLM in a process of its own, so that its memory comes back; the prefix that prompts share is computed once.

    Args:
        model: folder or Hub name of a base or a whole model. adapter: folder of a PEFT adapter, or None.
        identity: of the weights. python: interpreter that has vLLM; '' for this one. tensor_parallel: GPUs that share the weights.
        dtype: auto, bfloat16, float32.
    """

    name = "vllm"

    def __init__(
        self, model: str, adapter: Path | None, identity: list[Any], decoding: Decoding, python: str, tensor_parallel: int, dtype: str
    ) -> None:
        self.python = python or sys.executable
        config = json.loads((adapter / "adapter_config.json").read_text(encoding="utf-8")) if adapter else {}
        self.job = {
            "model": adapters.base_path(model),
            "adapter": str(adapter) if adapter else None,
            "rank": max([config.get("r", 0), *config.get("rank_pattern", {}).values()]),
            "tensor_parallel": tensor_parallel,
            "dtype": dtype,
            "stop_ids": decoding.stop_ids,
            "max_new_tokens": decoding.max_new_tokens,
            "batch_invariant": torch.cuda.is_available() and torch.cuda.get_device_capability() >= BATCH_INVARIANT,
        }
        self.identity = [self.name, *identity, adapter is None, dtype, decoding.stop_ids, decoding.max_new_tokens]

    def answer(self, prompts: list[list[int]]) -> Answers:
        """As `Backend` says."""
        with tempfile.TemporaryDirectory() as place:
            job, done, record = (Path(place) / name for name in ("job.json", "done.jsonl", "log.txt"))
            job.write_text(json.dumps({**self.job, "prompts": prompts, "done": str(done)}), encoding="utf-8")
            done.touch()
            environment = {"VLLM_NO_USAGE_STATS": "1", "VLLM_CPU_KVCACHE_SPACE": "1", **os.environ}
            environment["VLLM_WORKER_MULTIPROC_METHOD"] = "spawn"
            if self.job["batch_invariant"]:
                environment["VLLM_BATCH_INVARIANT"] = "1"
            answered, begun = 0, ""
            with record.open("w", encoding="utf-8") as output, done.open(encoding="utf-8") as lines:
                command = [self.python, "-P", str(WORKER), str(job)]  # -P: modules beside the worker are none of vLLM's
                try:
                    worker = subprocess.Popen(command, stdout=output, stderr=output, env=environment, start_new_session=True)
                except OSError as error:
                    raise ValueError(f"evaluation.vllm_python={self.python} cannot be started: {error}") from None
                try:
                    while True:
                        over = worker.poll() is not None  # looked at first: what it wrote last is read below
                        *whole, begun = (begun + lines.read()).split("\n")
                        for line in whole:
                            answered += 1
                            yield json.loads(line)
                        if over:
                            break
                        time.sleep(POLL)
                finally:
                    end(worker)
            if worker.returncode:
                last = "\n  ".join(record.read_text(encoding="utf-8", errors="replace").splitlines()[-SHOWN:])
                if not answered:
                    raise ValueError(f"vLLM could not answer (status {worker.returncode}); evaluation.backend=transformers can:\n  {last}")
                log.warning("vLLM stopped (status %d) after %d of %d answers:\n  %s", worker.returncode, answered, len(prompts), last)


def end(worker: "subprocess.Popen[bytes]") -> None:
    """End a process and all that it has started."""
    if worker.poll() is None:
        os.killpg(worker.pid, 15)
        try:
            worker.wait(10)
        except subprocess.TimeoutExpired:
            os.killpg(worker.pid, 9)
            worker.wait()


# --- an endpoint: ----------------------------------------------------------------------------------------------------


class Endpoint:
    """A running server with OpenAI's completions API, such as `vllm serve`; its address and key: OPENAI_BASE_URL, OPENAI_API_KEY.

    Args:
        model: the name under which the server has it. identity: of the weights that it is said to serve. concurrency: requests at
            once. retries: further tries of a request, with exponential back-off. encode: text -> token ids, for servers that answer
            with text alone.
    """

    name = "endpoint"

    def __init__(
        self, model: str, identity: list[Any], decoding: Decoding, concurrency: int, retries: int, encode: Callable[[str], list[int]]
    ) -> None:
        self.model, self.decoding, self.concurrency, self.retries, self.encode = model, decoding, concurrency, retries, encode
        address = os.environ.get("OPENAI_BASE_URL", "")
        self.identity = [self.name, address, model, *identity, decoding.stop_ids, decoding.max_new_tokens]

    def answer(self, prompts: list[list[int]]) -> Answers:
        """As `Backend` says."""
        from openai import APIConnectionError, OpenAI, OpenAIError

        try:
            client = OpenAI(max_retries=self.retries)
            served = [model.id for model in client.models.list()]
        except APIConnectionError as error:
            raise ValueError(f"no answer from OPENAI_BASE_URL={os.environ.get('OPENAI_BASE_URL', '')}: {message_of(error)}") from None
        except OpenAIError as error:
            raise ValueError(f"{message_of(error)}; the address of the endpoint goes into OPENAI_BASE_URL") from None
        if self.model not in served:
            raise ValueError(f"evaluation.served_model={self.model}: the endpoint serves {', '.join(served) or 'nothing'}")
        failures: list[str] = []
        with ThreadPoolExecutor(self.concurrency) as pool:
            asked = {pool.submit(self.ask, client, prompt): place for place, prompt in enumerate(prompts)}
            try:
                for one in as_completed(asked):
                    try:
                        yield asked[one], one.result()
                    except OpenAIError as error:
                        failures.append(message_of(error))
                        yield asked[one], None
            finally:
                pool.shutdown(wait=False, cancel_futures=True)
        if failures:
            log.warning("%d requests failed, for example: %s", len(failures), failures[0])

    def stream(self, prompt: list[int], sampling: Sampling) -> Iterator[list[int]]:
        """As `Transformers.stream` says. Raises ValueError if the endpoint does not answer."""
        from openai import OpenAI, OpenAIError

        ids: list[int] = []
        text = ""
        more = {"return_token_ids": True, "stop_token_ids": self.decoding.stop_ids}
        try:
            coming = OpenAI(max_retries=self.retries).completions.create(
                model=self.model,
                prompt=prompt,
                stream=True,
                temperature=sampling.temperature,
                top_p=sampling.top_p,
                max_tokens=sampling.max_new_tokens,
                extra_body=more,
            )
            with coming:
                for part in coming:
                    for choice in part.choices:
                        text += choice.text
                        given = getattr(choice, "token_ids", None)
                        ids = self.encode(text) if given is None else [*ids, *(i for i in given if i not in self.decoding.stop_ids)]
                        yield ids
        except OpenAIError as error:
            raise ValueError(f"the endpoint did not answer: {message_of(error)}") from None

    def ask(self, client: Any, prompt: list[int]) -> list[int]:
        """One answer, greedily."""
        more = {"return_token_ids": True, "stop_token_ids": self.decoding.stop_ids}
        done = client.completions.create(
            model=self.model, prompt=prompt, temperature=0, max_tokens=self.decoding.max_new_tokens, extra_body=more
        )
        ids = getattr(done.choices[0], "token_ids", None)
        found = self.encode(done.choices[0].text) if ids is None else ids
        return found[:-1] if found and found[-1] in self.decoding.stop_ids else found


def vllm_at_hand(python: str, quantization: str) -> tuple[bool, str]:
    """(whether vLLM is the back end to take, why)"""
    if quantization != "none":
        return False, "a base in 4 bits is answered for as it was trained"
    if not torch.cuda.is_available():
        return False, "there is no GPU"
    if not python and importlib.util.find_spec("vllm") is None:
        return False, "vLLM is not installed (requirements-gpu.txt)"
    return True, "there is a GPU, and vLLM"
