"""Answers from elsewhere than this process: vLLM in a process of its own, or a running server with OpenAI's API.

Both are back ends as `architectures.generation.Backend` says.
"""

import importlib.util
import json
import logging
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Any

import torch

from architectures import adapters
from architectures.asking import message_of
from architectures.generation import Answers, Decoding, Sampling

log = logging.getLogger(__name__)
RANKS = (1, 8, 16, 32, 64, 128, 256, 320, 512)
WORKER = Path(__file__).with_name("vllm_worker.py")
POLL = 0.2  # seconds between looks at what vLLM has done
SHOWN = 15  # lines of vLLM's log that an error holds
BATCH_INVARIANT = (9, 0)  # CUDA capability from which vLLM can give the same answer whatever else is in the batch


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
        self.job = {
            "model": adapters.base_path(model),
            "adapter": str(adapter) if adapter else None,
            "rank": rank_of(adapter) if adapter else 0,
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


class Server:
    """A vLLM server on this machine, with OpenAI's API; it is there once this object is.

    Args:
        model: folder or Hub name, served as ``base``. adapter: folder of a PEFT adapter, served as ``tuned``, or None.
        python: interpreter that has vLLM; '' for this one. folder: where its log goes. words: more of its arguments.
    """

    def __init__(self, model: str, adapter: Path | None, python: str, folder: Path, *words: str) -> None:
        with socket.socket() as one:
            one.bind(("127.0.0.1", 0))
            self.port = one.getsockname()[1]
        place = adapters.base_path(model)
        place = str(Path(place).absolute()) if Path(place).is_dir() else place  # the server runs in another folder
        # what `vllm serve` starts; that command itself asks for the package's name, which is another in the CPU build
        command = [python or sys.executable, "-m", "vllm.entrypoints.openai.api_server", "--model", place]
        command += ["--served-model-name", "base", "--port", str(self.port), "--host", "127.0.0.1"]
        if adapter:
            command += [
                "--enable-lora",
                "--max-lora-rank",
                str(rank_for(rank_of(adapter))),
                "--lora-modules",
                f"tuned={adapter.absolute()}",
            ]
        environment = {"VLLM_NO_USAGE_STATS": "1", "VLLM_CPU_KVCACHE_SPACE": "1", **os.environ}
        self.log = folder / "vllm-server.log"
        folder.mkdir(parents=True, exist_ok=True)
        with self.log.open("w", encoding="utf-8") as output:
            try:
                self.process = subprocess.Popen(
                    [*command, *words], stdout=output, stderr=output, env=environment, cwd=folder, start_new_session=True
                )
            except OSError as error:
                raise ValueError(f"vllm_python={python}: cannot be started: {error}") from None
        self.address = f"http://127.0.0.1:{self.port}/v1"
        self.wait()

    def wait(self) -> None:
        """Until it listens. Raises ValueError with the end of its log if it ends instead."""
        while True:
            if self.process.poll() is not None:
                last = "\n  ".join(self.log.read_text(encoding="utf-8", errors="replace").splitlines()[-SHOWN:])
                raise ValueError(f"vLLM could not serve (status {self.process.returncode}):\n  {last}")
            with socket.socket() as one:
                if one.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            time.sleep(POLL)

    def close(self) -> None:
        """End it."""
        end(self.process)


def rank_of(adapter: Path) -> int:
    """The largest rank in an adapter's files."""
    config = json.loads((adapter / "adapter_config.json").read_text(encoding="utf-8"))
    return int(max([config.get("r", 0), *config.get("rank_pattern", {}).values()]))


def rank_for(rank: int) -> int:
    """The least of the ranks that vLLM's server allows for adapters that holds this one."""
    return next(allowed for allowed in RANKS if allowed >= rank)


def vllm_at_hand(python: str, quantization: str) -> tuple[bool, str]:
    """(whether vLLM is the back end to take, why)"""
    if quantization != "none":
        return False, "a base in 4 bits is answered for as it was trained"
    if not torch.cuda.is_available():
        return False, "there is no GPU"
    if not python and importlib.util.find_spec("vllm") is None:
        return False, "vLLM is not installed (requirements-gpu.txt)"
    return True, "there is a GPU, and vLLM"
