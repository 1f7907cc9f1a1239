"""What is registered: it imports by itself, comes back by MLflow alone, and is the next one's incumbent."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import polars as pl
import pytest

import evaluate
import train
from architectures.models.run_file import model_digest
from architectures.tracking.registry import CODE, champion_name, locate
from architectures.training.signals import Signals
from tests import postgres
from tests.conftest import ROOT, SMALL, typed
from tests.verdict_runs import run


def test_the_code_that_is_registered_imports_by_itself(tmp_path: Path) -> None:
    for name in CODE:
        if (ROOT / name).is_dir():
            (tmp_path / name).symlink_to(ROOT / name)
        else:
            shutil.copy(ROOT / name, tmp_path / name)
    command = [sys.executable, "-c", "import evaluate; print(evaluate.ROOT, evaluate._load_pyfunc.__name__)"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.split() == [str(tmp_path), "_load_pyfunc"]


@pytest.mark.slow
def test_mlflow_alone_loads_what_was_registered(
    good: Path, finished: tuple[Path, str], tmp_path: Path
) -> None:
    """From another folder, in another process, with nothing but MLflow in hand: the same answers."""
    outputs = good.parents[1]
    if not champion_name("shop", outputs):
        run(compare=good, outputs=outputs, register=True)
    mine = pl.read_parquet(finished[0] / "predictions.parquet").filter(pl.col("model") == "tuned")
    asked = mine.select("context", "question").head(4)  # together, as there: rounding differs between batches
    here = evaluate._load_pyfunc(str(good / "model")).predict(asked)
    asked.write_json(tmp_path / "asked.json")
    script = "import json, sys, mlflow, pandas; mlflow.set_tracking_uri(sys.argv[1])\n"
    script += "model = mlflow.pyfunc.load_model('models:/shop@champion')\n"
    script += "print(json.dumps(model.predict(pandas.read_json(sys.argv[2]))))"
    command = [
        sys.executable,
        "-c",
        script,
        f"sqlite:///{outputs.resolve() / 'mlflow.db'}",
        str(tmp_path / "asked.json"),
    ]
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    assert json.loads(done.stdout.splitlines()[-1]) == here


def test_the_champion_is_the_incumbent_of_the_next_one(
    good: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    outputs = good.parents[1]
    if not champion_name("shop", outputs):
        run(compare=good, outputs=outputs, register=True)
    capsys.readouterr()
    run(compare=good, outputs=outputs, gate=True)
    assert "not worse than the incumbent quickstart r=32 (models:/shop@champion)" in capsys.readouterr().out


def test_a_registry_that_does_not_answer_is_no_empty_registry(
    good: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with pytest.raises(ValueError, match="does not say which shop is the champion"):
        run(compare=good, outputs=tmp_path, gate=True)
    assert "The gate is open" not in capsys.readouterr().out


@pytest.mark.slow
def test_mlflow_on_postgresql_takes_a_run_and_the_registry(
    good: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if postgres.missing():
        pytest.skip(postgres.missing())
    with postgres.server(tmp_path) as uri:
        place = f"http://127.0.0.1:{postgres.free_port()}"
        command = [
            sys.executable,
            "-m",
            "mlflow",
            "server",
            "--host",
            "127.0.0.1",
            "--port",
            place.rsplit(":", 1)[1],
            "--workers",
            "1",
        ]
        command += ["--backend-store-uri", uri, "--artifacts-destination", str(tmp_path / "artifacts")]
        with (tmp_path / "log").open("w") as log:
            process = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
        try:
            wait_for(f"{place}/health", process, tmp_path / "log")
            monkeypatch.setenv("MLFLOW_TRACKING_URI", place)
            folder = tmp_path / "outputs" / "run"
            folder.mkdir(parents=True)
            train.run(typed("+experiment=quickstart", f"outputs={folder.parent}", *SMALL), folder, Signals())
            run_id = json.loads((folder / "state.json").read_text())["run_id"]
            from mlflow import MlflowClient

            client = MlflowClient(place)
            assert client.get_run(run_id).info.status == "FINISHED"
            assert len(client.get_metric_history(run_id, "train/loss")) == 6
            run(ckpt=run_id, outputs=folder.parent)
            run(compare=good, outputs=folder.parent, register=True)
            back = locate("models:/shop@champion", folder.parent)
            assert model_digest(back) == model_digest(good / "model")
        finally:
            from architectures.inference.vllm_backend import terminate

            terminate(process)


def wait_for(url: str, process: Any, log: Path) -> None:
    import time
    import urllib.request

    for _ in range(240):
        assert process.poll() is None, log.read_text()[-3000:]
        try:
            urllib.request.urlopen(url, timeout=5)
            return
        except OSError:
            time.sleep(0.5)
    raise AssertionError(f"{url} does not answer:\n{log.read_text()[-3000:]}")
