"""A vLLM server on this machine, started and stopped by this process."""

import os
import socket
import subprocess
import sys
import time
from pathlib import Path

from architectures.inference.vllm_backend import ENVIRONMENT, POLL, VllmModel, last_lines, terminate
from architectures.models.bases import resolve_base

HOST = "127.0.0.1"


class VllmServer:
    """A vLLM server with OpenAI's API; it listens once this object exists.

    Args:
        model: its base is served as ``base``, its adapter as ``tuned``. python: interpreter with vLLM; '' for
        this one.
        folder: of its log. arguments: further ones for the server.
    """

    def __init__(self, model: VllmModel, python: str, folder: Path, *arguments: str) -> None:
        with socket.socket() as probe:
            probe.bind((HOST, 0))
            self.port = probe.getsockname()[1]
        self.address = f"http://{HOST}:{self.port}/v1"
        self.log = folder / "vllm-server.log"
        folder.mkdir(parents=True, exist_ok=True)
        command = [*_server_command(model, python, self.port), *arguments]
        environment = {**ENVIRONMENT, **os.environ}
        with self.log.open("w", encoding="utf-8") as output:
            try:
                self.process = subprocess.Popen(
                    command, stdout=output, stderr=output, env=environment, cwd=folder, start_new_session=True
                )
            except OSError as error:
                raise ValueError(f"vllm_python={python}: cannot be started: {error}") from None
        self.wait()

    def wait(self) -> None:
        """Return when the server listens. Raises ValueError with the end of its log if it ends instead."""
        while True:
            if self.process.poll() is not None:
                status, last = self.process.returncode, last_lines(self.log)
                raise ValueError(f"vLLM could not serve (status {status}):\n  {last}")
            with socket.socket() as probe:
                if probe.connect_ex((HOST, self.port)) == 0:
                    return
            time.sleep(POLL)

    def close(self) -> None:
        """Stop the server."""
        terminate(self.process)


def _server_command(model: VllmModel, python: str, port: int) -> list[str]:
    """What `vllm serve` starts; that command itself needs the package's name, which differs in the CPU
    build.
    """
    path = resolve_base(model.model)
    if Path(path).is_dir():
        path = str(Path(path).absolute())  # the server runs in another folder
    command = [python or sys.executable, "-m", "vllm.entrypoints.openai.api_server", "--model", path]
    command += ["--dtype", model.dtype, "--served-model-name", "base", "--port", str(port), "--host", HOST]
    if model.adapter:
        rank, adapter = str(model.lora_rank), f"tuned={model.adapter.absolute()}"
        command += ["--enable-lora", "--max-lora-rank", rank, "--lora-modules", adapter]
    return command
