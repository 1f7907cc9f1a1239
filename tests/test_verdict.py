"""From finished runs to the verdict: the page, the gate that can say no, the registry and what comes back
from it.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from omegaconf import OmegaConf

import evaluate
import train
from architectures.models.run_file import model_digest
from architectures.tracking.registry import CODE, champion_name, locate
from architectures.training.signals import Signals
from data.modules.retail import RetailData
from data.scoring import summaries
from tests import postgres
from tests.conftest import EVALUATE_KEYS, ROOT, SMALL, typed

LIMITS = {
    "accuracy": 0.2,
    "unseen_accuracy": 0.0,
    "invented": 0.6,
    "failed": 0.0,
    "margin": 0.0,
}  # six questions leave wide intervals
NOTHING = dict.fromkeys(EVALUATE_KEYS) | {
    "limits": LIMITS,
    "registered_name": "shop",
    "alias": "champion",
    "incumbent": "auto",
}


def run(**given: Any) -> None:
    config = OmegaConf.create(
        NOTHING | {key: str(value) if isinstance(value, Path) else value for key, value in given.items()}
    )
    assert evaluate.problems_of(config) == []
    evaluate.run(config)


@pytest.fixture(scope="module")
def good(finished: tuple[Path, str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run whose answers were all right: a real run's, with its predictions replaced by the
    truth, and judged anew.
    """
    outputs = tmp_path_factory.mktemp("good")
    folder = outputs / "runs" / "good"
    shutil.copytree(finished[0], folder)
    scores = json.loads((folder / "scores.json").read_text())
    data = RetailData(
        scores["origin"]["data"],
        str(ROOT / "architectures/pocket"),
        finished[0].parent / "cache",
        scores["origin"]["seed"],
    )
    data.prepare_data()
    questions = data.evaluation_questions(scores["origin"]["evaluation"]["questions"])
    rows = pl.read_parquet(folder / "predictions.parquet").filter(pl.col("model") != "tuned")
    tuned = data.judge(questions, questions["answer"].to_list()).with_columns(model=pl.lit("tuned"))
    judged = pl.concat([rows, tuned])
    judged.write_parquet(folder / "predictions.parquet")
    scores |= summaries.score_models(judged, data.questions("train")["answer"], 0)
    (folder / "scores.json").write_text(json.dumps(scores))
    return folder


def last_page(outputs: Path) -> str:
    return max(outputs.glob("*/*/report.md"), key=lambda path: path.stat().st_mtime).read_text()


def test_the_gate_blocks_a_bad_model_and_registers_nothing(
    finished: tuple[Path, str], capsys: pytest.CaptureFixture[str]
) -> None:
    folder = finished[0]
    with pytest.raises(SystemExit) as stopped:
        run(ckpt=folder / "model", outputs=folder.parent, gate=True, register=True)
    assert stopped.value.code == 1
    out = capsys.readouterr().out
    assert "FAILED | accuracy, known products" in out
    assert "The gate is closed: accuracy, known products" in out
    assert "The gate is closed" in last_page(folder.parent)
    assert champion_name("shop", folder.parent) == ""


def test_what_passes_is_registered_and_comes_back_the_same(
    good: Path,
    finished: tuple[Path, str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    outputs = good.parents[1]
    run(compare=good, outputs=outputs, register=True)
    assert "The gate is open" in capsys.readouterr().out
    assert champion_name("shop", outputs) == "models:/shop@champion"
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{outputs.resolve() / 'mlflow.db'}")
    version = client.get_model_version_by_alias("shop", "champion")
    assert version.tags["model_digest"] == model_digest(good / "model")
    assert "Intended use" in version.description
    assert {item.path for item in client.list_artifacts(version.run_id)} >= {"evaluation"}
    assert (
        client.get_run(version.run_id).inputs.dataset_inputs[0].dataset.digest == version.tags["data_digest"]
    )

    import mlflow

    mlflow.set_tracking_uri(
        f"sqlite:///{tmp_path / 'another.db'}"
    )  # as in another process, which knows nothing of what was set here
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)  # MLflow sets it, too
    back = locate("models:/shop@champion", outputs)
    assert (back / "adapter_model.safetensors").read_bytes() == (
        good / "model" / "adapter_model.safetensors"
    ).read_bytes()
    shutil.copytree(
        finished[0].parent / "cache", outputs / "cache", ignore=shutil.ignore_patterns("answers-*")
    )
    run(ckpt="models:/shop@champion", outputs=outputs)
    mine, theirs = (
        pl.read_parquet(path / "predictions.parquet").filter(pl.col("model") == "tuned")
        for path in (max(outputs.glob("evaluations/*"), key=lambda path: path.stat().st_mtime), finished[0])
    )
    assert mine["prediction"].to_list() == theirs["prediction"].to_list()


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
    asked = mine.select("context", "question").head(4)
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
    assert json.loads(done.stdout.splitlines()[-1]) == mine["prediction"].head(4).to_list()


def test_the_champion_is_the_incumbent_of_the_next_one(
    good: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    outputs = good.parents[1]
    if not champion_name("shop", outputs):
        run(compare=good, outputs=outputs, register=True)
    capsys.readouterr()
    run(compare=good, outputs=outputs, gate=True)
    assert "not worse than the incumbent quickstart r=16 (models:/shop@champion)" in capsys.readouterr().out


def test_a_registry_that_does_not_answer_is_no_empty_registry(
    good: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with pytest.raises(ValueError, match="does not say which shop is the champion"):
        run(compare=good, outputs=tmp_path, gate=True)
    assert "The gate is open" not in capsys.readouterr().out


def test_a_model_that_was_changed_after_it_was_judged_is_blocked(
    good: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = tmp_path / "runs" / "changed"
    shutil.copytree(good, other)
    path = other / "model" / "adapter_model.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(bytes(content))
    with pytest.raises(SystemExit):
        run(compare=other, outputs=tmp_path, register=True, incumbent=None)
    assert "The gate is closed: the model judged is the one at hand." in capsys.readouterr().out


def test_runs_side_by_side(
    good: Path, finished: tuple[Path, str], capsys: pytest.CaptureFixture[str]
) -> None:
    outputs = good.parents[1]
    run(compare=[str(finished[0]), str(good)], outputs=outputs)
    table = capsys.readouterr().out
    assert "quickstart r=16 #1" in table
    assert "quickstart r=16 #2" in table
    assert table.count("\u25b2") == 1  # the forged run is better by more than chance
    text = last_page(outputs)
    sections = [
        "Verdict",
        "Jobs",
        "As published",
        "Accuracy",
        "Learning curves",
        "Baselines",
        "Differences on the same questions",
    ]
    sections += ["Parameters that differ", "Cost", "Where it is weak", "Leakage", "What was run"]
    places = [text.index(f"## {section}") for section in sections]
    assert places == sorted(places)
    assert "## Errors: no details (12 of 12)" in text
    for shown in ("AMD", "torch", "commit"):
        assert shown in text or shown == "AMD"
    page = max(outputs.glob("comparisons/*/report.html"), key=lambda path: path.stat().st_mtime)
    assert page.read_text().count("data:image/png;base64,") == 2


def test_a_run_is_compared_from_what_mlflow_has(
    finished: tuple[Path, str], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: Any
) -> None:
    folder = finished[0]
    state = json.loads((folder / "tracking.jsonl").read_text().splitlines()[-1])
    run_id = next(
        json.loads(line)["run_id"]
        for line in (folder / "tracking.jsonl").read_text().splitlines()
        if "run_id" in line
    )
    assert state["do"] == "end"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{folder.parent.resolve() / 'mlflow.db'}")
    run(compare=run_id, outputs=tmp_path)
    assert "quickstart r=16" in capsys.readouterr().out
    assert "Learning curves" in last_page(tmp_path)


def test_what_cannot_be_compared_is_told(finished: tuple[Path, str], tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="compare=nowhere: no evaluated run"):
        run(compare="nowhere", outputs=tmp_path)
    broken = tmp_path / "broken"
    shutil.copytree(finished[0], broken, ignore=shutil.ignore_patterns("checkpoints", "model"))
    (broken / "predictions.parquet").write_bytes((broken / "predictions.parquet").read_bytes()[:100])
    with pytest.raises(ValueError, match="holds no scored answers"):
        run(compare=broken, outputs=tmp_path)
    (broken / "scores.json").write_text('{"grounded": {')
    with pytest.raises(ValueError, match=r"broken/scores\.json is damaged"):
        run(compare=broken, outputs=tmp_path)
    (broken / "ledger.json").write_text("[{")
    with pytest.raises(ValueError, match=r"broken/ledger\.json is damaged"):
        run(compare=broken, outputs=tmp_path)
    with pytest.raises(ValueError, match="has no exported model for it"):
        run(ckpt="models:/nothing@champion", outputs=tmp_path)


@pytest.mark.parametrize("size", [0, 5000])
def test_a_damaged_adapter_is_told(finished: tuple[Path, str], tmp_path: Path, size: int) -> None:
    shutil.copytree(finished[0] / "model", tmp_path / "model")
    os.truncate(tmp_path / "model" / "adapter_model.safetensors", size)
    with pytest.raises(ValueError, match=r"the adapter in .*model is damaged"):
        run(ckpt=tmp_path / "model", outputs=tmp_path)


def test_wrong_settings_are_told_at_once() -> None:
    wrong = {
        "backend": "vlm",
        "baselines": ["tfidf", "bm25"],
        "limits": LIMITS | {"accuracy": 80},
        "gates": True,
    }
    found = evaluate.problems_of(OmegaConf.create(NOTHING | wrong))
    assert [line.split(":")[0].split("=")[0] for line in found] == [
        "gates",
        "ckpt",
        "backend",
        "baselines",
        "limits.accuracy",
    ]
    assert evaluate.problems_of(OmegaConf.create(NOTHING | {"ckpt": "x", "backend": "endpoint"}))[
        0
    ].startswith("served_model")


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


@pytest.mark.slow
def test_the_page_in_a_browser(finished: tuple[Path, str], tmp_path: Path) -> None:
    """Nothing is blocked or missing, and the pictures are drawn: the screenshot has the bars' and the
    curves' colours.
    """
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    if not browser:
        pytest.skip("no browser (Debian: chromium)")
    from PIL import Image

    picture = tmp_path / "page.png"
    command = [
        browser,
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--window-size=1300,3000",
        "--enable-logging=stderr",
        "--v=0",
    ]
    command += [
        f"--user-data-dir={tmp_path}",
        f"--screenshot={picture}",
        (finished[0] / "report.html").as_uri(),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr[-2000:]
    assert "CONSOLE" not in done.stderr
    with Image.open(picture) as image:
        assert image.size == (1300, 3000)
        colours = {colour for count, colour in image.convert("RGB").getcolors(1 << 24) or [] if count > 200}
    assert {
        (27, 73, 101),
        (190, 233, 232),
        (31, 119, 180),
    } <= colours  # headings and jobs, baselines, the first curve
