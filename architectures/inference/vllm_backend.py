"""The back end that answers with vLLM in a process of its own, so that its memory is released when it is
done.
"""

import json
import logging
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TextIO

import torch

from architectures.inference.backend import Answers, Decoding
from architectures.models.bases import resolve_base
from architectures.values import Identity, Settings

log = logging.getLogger(__name__)

LORA_RANKS = (8, 16, 32, 64, 128, 256, 320, 512)  # that vLLM reserves room for
WORKER = Path(__file__).with_name("vllm_worker.py")
POLL = 0.2  # seconds between looks at what vLLM has done
LOG_LINES_SHOWN = 15  # of vLLM's log, in an error
BATCH_INVARIANT = (9, 0)  # CUDA capability from which an answer can be independent of the rest of its batch
ENVIRONMENT = {"VLLM_NO_USAGE_STATS": "1", "VLLM_CPU_KVCACHE_SPACE": "1"}


@dataclass(frozen=True)
class VllmModel:
    """What vLLM loads.

    Args:
        model: folder or Hub name of a base or a whole model. adapter: folder of a PEFT adapter, or None.
        dtype: auto,
            bfloat16, float32.
    """

    model: str
    adapter: Path | None
    dtype: str

    def without_adapter(self) -> "VllmModel":
        """The base alone."""
        return replace(self, adapter=None)

    @property
    def lora_rank(self) -> int:
        """The smallest rank that vLLM reserves room for and that holds the adapter; 0 without one."""
        if self.adapter is None:
            return 0
        config = json.loads((self.adapter / "adapter_config.json").read_text(encoding="utf-8"))
        rank = max([config.get("r", 0), *config.get("rank_pattern", {}).values()])
        return next(allowed for allowed in LORA_RANKS if allowed >= rank)


class VllmBackend:
    """vLLM in a process of its own; the prefix that prompts share is computed once.

    Args:
        identity: of the weights. python: interpreter with vLLM; '' for this one. tensor_parallel: GPUs that
        share the
            weights.
    """

    name = "vllm"

    def __init__(
        self, model: VllmModel, identity: Identity, decoding: Decoding, python: str, tensor_parallel: int
    ) -> None:
        self.python = python or sys.executable
        on_gpu = torch.cuda.is_available()
        self.job: Settings = {
            "model": resolve_base(model.model),
            "adapter": str(model.adapter) if model.adapter else None,
            "max_lora_rank": model.lora_rank,
            "tensor_parallel": tensor_parallel,
            "dtype": model.dtype,
            "stop_ids": decoding.stop_ids,
            "max_new_tokens": decoding.max_new_tokens,
            "batch_invariant": on_gpu and torch.cuda.get_device_capability() >= BATCH_INVARIANT,
        }
        limits = [decoding.stop_ids, decoding.max_new_tokens]
        self.identity = [self.name, *identity, model.adapter is None, model.dtype, *limits]

    def answer(self, prompts: list[list[int]]) -> Answers:
        """See `architectures.inference.backend.Backend`."""
        with tempfile.TemporaryDirectory() as place:
            job, done, record = (Path(place) / name for name in ("job.json", "done.jsonl", "log.txt"))
            content = {**self.job, "prompts": prompts, "done": str(done)}
            job.write_text(json.dumps(content), encoding="utf-8")
            done.touch()
            answered = 0
            with record.open("w", encoding="utf-8") as output, done.open(encoding="utf-8") as lines:
                worker = self.start(job, output)
                try:
                    for answer in follow(worker, lines):
                        answered += 1
                        yield answer
                finally:
                    terminate(worker)
            if worker.returncode:
                _report_failure(worker.returncode, answered, len(prompts), last_lines(record))

    def start(self, job: Path, output: TextIO) -> "subprocess.Popen[bytes]":
        """Start the worker. Raises ValueError if its interpreter cannot be started."""
        environment = {**ENVIRONMENT, **os.environ, "VLLM_WORKER_MULTIPROC_METHOD": "spawn"}
        if self.job["batch_invariant"]:
            environment["VLLM_BATCH_INVARIANT"] = "1"
        command = [
            self.python,
            "-P",
            str(WORKER),
            str(job),
        ]  # -P: modules beside the worker are not importable
        try:
            return subprocess.Popen(
                command, stdout=output, stderr=output, env=environment, start_new_session=True
            )
        except OSError as error:
            raise ValueError(f"evaluation.vllm_python={self.python} cannot be started: {error}") from None


def follow(worker: "subprocess.Popen[bytes]", lines: TextIO) -> Iterator[tuple[int, list[int]]]:
    """Whole lines of the worker's answers as they come, until it ends."""
    unfinished = ""
    while True:
        ended = worker.poll() is not None  # before the read below, so that its last lines are read
        *whole, unfinished = (unfinished + lines.read()).split("\n")
        for line in whole:
            place, answer = json.loads(line)
            yield place, answer
        if ended:
            return
        time.sleep(POLL)


def _report_failure(status: int, answered: int, total: int, last: str) -> None:
    """Warn that the worker stopped early. Raises ValueError if it gave no answer at all."""
    if not answered:
        raise ValueError(
            f"vLLM could not answer (status {status}); set evaluation.backend=transformers instead:\n  {last}"
        )
    log.warning("vLLM stopped (status %d) after %d of %d answers:\n  %s", status, answered, total, last)


def last_lines(path: Path) -> str:
    """The end of a log, indented."""
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    return "\n  ".join(lines[-LOG_LINES_SHOWN:])


def terminate(worker: "subprocess.Popen[bytes]") -> None:
    """End a process and all that it has started."""
    if worker.poll() is None:
        os.killpg(worker.pid, 15)
        try:
            worker.wait(10)
        except subprocess.TimeoutExpired:
            os.killpg(worker.pid, 9)
            worker.wait()
