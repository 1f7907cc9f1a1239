"""Labels by prompted language models, in this process and behind a server."""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

import evaluate
import train
from architectures.baselines.base import Progress, no_progress
from architectures.baselines.simple import Majority
from architectures.training.signals import Signals
from tests.conftest import ROOT
from tests.test_labels import command, things
from tests.test_train import typed


class Counting(Majority):
    """A baseline whose explanation depends on what it has predicted, as the cost of requests does."""

    texts = 0

    def predict_proba(self, texts: list[str], progress: Progress = no_progress) -> torch.Tensor:
        self.texts += len(texts)
        return super().predict_proba(texts, progress)

    def explain(self) -> str:
        return f"{self.texts} texts"


def test_an_explanation_is_asked_for_after_the_predictions() -> None:
    settings = {"method": "majority", "monitor": "accuracy", "seed": 0}
    model = Counting(settings, ["a", "b"], False, {"name": "counting", "monitor": "accuracy"})
    model.fit(["x", "y"], torch.tensor([0, 0]))
    data: Any = SimpleNamespace(text_batches=lambda texts, batch_size: ())
    labeller = evaluate.label_model(model, data, 8)
    labeller.classify(["x", "y", "z"])
    assert labeller.explain() == "3 texts"


def test_a_local_model_is_prompted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    train.run(
        typed(
            *command(things(tmp_path, 40), tmp_path, "model=prompted", "prompting.shots=1", "data.limit=6")
        ),
        folder,
        Signals(),
    )
    assert "| prompted" in capsys.readouterr().out


@pytest.mark.slow
def test_an_openai_compatible_server_is_prompted(tmp_path: Path) -> None:
    """transformers' own server with the embedded model behind train.py: a real endpoint, asked over HTTP."""
    import socket
    import time
    import urllib.request

    pytest.importorskip("uvicorn")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    pocket = str(shutil.copytree(ROOT / "architectures/pocket", tmp_path / "pocket"))
    turn = "<start_of_turn>{{ 'model' if m.role == 'assistant' else 'user' }}\n{{ m.content }}<end_of_turn>\n"
    loop = "{{ bos_token }}{% for m in messages %}" + turn + "{% endfor %}"
    Path(pocket, "chat_template.jinja").write_text(
        loop + "{% if add_generation_prompt %}<start_of_turn>model\n{% endif %}"
    )
    serve = [
        str(Path(sys.executable).with_name("transformers")),
        "serve",
        pocket,
        "--host",
        "127.0.0.1",
        "--port",
        str(port),
        "--device",
        "cpu",
    ]
    with (tmp_path / "server.log").open("w") as output:
        server = subprocess.Popen(serve, stdout=output, stderr=output)
    try:
        for _ in range(120):
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=1)
                break
            except OSError:
                assert server.poll() is None, (tmp_path / "server.log").read_text()[-2000:]
                time.sleep(1)
        environment = {
            **os.environ,
            "OPENAI_BASE_URL": f"http://127.0.0.1:{port}/v1",
            "OPENAI_API_KEY": "none",
        }
        given = [
            "model=prompted",
            "prompting.backend=endpoint",
            f"prompting.served_model={pocket}",
            "data.limit=6",
            "prompting.concurrency=2",
        ]
        arguments = command(things(tmp_path, 40), tmp_path, *given)
        done = subprocess.run(
            [sys.executable, "train.py", *arguments],
            cwd=ROOT,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
    finally:
        server.kill()
    assert done.returncode == 0, done.stderr[-3000:] + (tmp_path / "server.log").read_text()[-2000:]
    assert "12 requests" in done.stdout
