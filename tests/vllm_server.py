"""A real vLLM server on the CPU, with the embedded base model, from an environment of its own."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from architectures.inference.vllm_backend import VllmModel
from architectures.inference.vllm_server import VllmServer
from tests.conftest import POCKET, ROOT


def vllm_python() -> str:
    path = Path(os.environ.get("STRATA_VLLM_PYTHON", ROOT / ".venv-vllm/bin/python"))
    if not path.exists():
        pytest.skip("no environment with vLLM: make .venv-vllm/done")
    return str(path)


@contextmanager
def vllm_server(
    place: Path, monkeypatch: pytest.MonkeyPatch, adapter: Path | None, *words: str
) -> Iterator[str]:
    """Its address, also in OPENAI_BASE_URL, once it listens; ``words`` are more of its arguments."""
    monkeypatch.setenv("OPENAI_API_KEY", "none")
    model = VllmModel(str(POCKET), adapter, "float32")
    server = VllmServer(model, vllm_python(), place, "--enforce-eager", *words)
    monkeypatch.setenv("OPENAI_BASE_URL", server.address)
    try:
        yield server.address
    finally:
        server.close()
