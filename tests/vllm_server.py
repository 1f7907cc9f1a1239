"""A real vLLM server on the CPU, with the embedded base model, from an environment of its own."""

import os
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from architectures.generation import end
from tests.conftest import POCKET, ROOT


def vllm_python() -> str:
    path = Path(os.environ.get("STRATA_VLLM_PYTHON", ROOT / ".venv-vllm/bin/python"))
    if not path.exists():
        pytest.skip("no environment with vLLM: make .venv-vllm/done")
    return str(path)


@contextmanager
def vllm_server(place: Path, monkeypatch: pytest.MonkeyPatch, *words: str) -> Iterator[str]:
    """Its address, also in OPENAI_BASE_URL, once it listens; ``words`` are more of its arguments."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port = one.getsockname()[1]
    # what `vllm serve` starts; that command itself asks for the package's name, which is another in the CPU build
    command = [vllm_python(), "-m", "vllm.entrypoints.openai.api_server", "--model", str(POCKET), "--served-model-name", "base"]
    command += ["--port", str(port), "--host", "127.0.0.1", "--dtype", "float32", "--enable-lora", "--max-lora-rank", "32"]
    environment = {**os.environ, "VLLM_CPU_KVCACHE_SPACE": "1", "VLLM_NO_USAGE_STATS": "1", "HF_HUB_OFFLINE": "1"}
    monkeypatch.setenv("OPENAI_BASE_URL", f"http://127.0.0.1:{port}/v1")
    monkeypatch.setenv("OPENAI_API_KEY", "none")
    with (place / "log").open("w") as log:
        server = subprocess.Popen(
            [*command, "--enforce-eager", *words], stdout=log, stderr=log, env=environment, start_new_session=True, cwd=place
        )
    try:
        for _ in range(240):
            assert server.poll() is None, (place / "log").read_text()[-3000:]
            with socket.socket() as one:
                if one.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(1)
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        end(server)
