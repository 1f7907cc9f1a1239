"""From finished runs to the verdict: the page, the gate that can say no, the registry and what comes back
from it.
"""

import json
import os
import re
import shutil
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from omegaconf import OmegaConf

import evaluate
from architectures.models.run_file import model_digest
from architectures.tracking.registry import champion_name, locate
from data.scoring import summaries
from tests.verdict_runs import LIMITS, NOTHING, run


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
    assert "quickstart r=32 #1" in table
    assert "quickstart r=32 #2" in table
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
    tuned = pl.read_parquet(finished[0] / "predictions.parquet").filter(pl.col("model") == "tuned")
    wrong = tuned.filter(~summaries.RIGHT).with_columns(pl.col("verdict").str.replace_all("_", " "))
    assert tuned.height == 18
    shown = re.findall(r"## Errors: ([a-z ]+) \((\d+) of (\d+)\)", text)
    counts = dict(wrong.group_by("verdict").len().rows())
    assert {name: (int(some), int(total)) for name, some, total in shown} == {
        name: (count, count) for name, count in counts.items()
    }
    assert counts  # a model of six steps is wrong somewhere
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
    assert "quickstart r=32" in capsys.readouterr().out
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
        "baselines",
        "limits.accuracy",
        "ckpt",
        "backend",
    ]
    assert evaluate.problems_of(OmegaConf.create(NOTHING | {"ckpt": "x", "backend": "endpoint"}))[
        0
    ].startswith("served_model")
