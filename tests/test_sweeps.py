"""Sweeps: runs under one parent, and a search for the best rank."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from omegaconf import OmegaConf

import evaluate
from tests.conftest import EVALUATE_KEYS, ROOT, SMALL


@pytest.mark.slow
def test_a_sweep_stands_under_one_parent(tmp_path: Path) -> None:
    small = [*SMALL, "trainer.max_steps=2", "evaluation.questions=2", "data.limit=30"]
    command = [sys.executable, "train.py", "-m", "+experiment=base,job-0", f"outputs={tmp_path}", *small]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    assert "best by validation loss" in done.stdout
    comparison = next(tmp_path.glob("sweeps/*/report.md")).read_text()
    assert "base r=8" in comparison
    assert "job-0 r=8" in comparison
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{tmp_path / 'mlflow.db'}")
    runs = client.search_runs([client.get_experiment_by_name("strata").experiment_id])
    parents = [run for run in runs if "mlflow.parentRunId" not in run.data.tags]
    assert len(runs) == 3
    assert len(parents) == 1
    parent = parents[0].info.run_id
    assert {run.data.tags.get("mlflow.parentRunId") for run in runs if run is not parents[0]} == {parent}
    evaluate.run(
        OmegaConf.create(dict.fromkeys(EVALUATE_KEYS) | {"compare": parent, "outputs": str(tmp_path)})
    )
    page = next(tmp_path.glob("comparisons/*/report.md")).read_text()
    assert "| base r=8" in page
    assert "| job-0 r=8" in page
    assert "## Parameters that differ" in page
    assert "report.html" in {Path(item.path).name for item in client.list_artifacts(parent, "comparison")}
    assert "report.html" in {item.path for item in client.list_artifacts(parent)}


@pytest.mark.slow
def test_rank_search_names_the_best_rank(tmp_path: Path) -> None:
    small = [
        "data.limit=40",
        "trainer.max_steps=4",
        "trainer.validate_every=2",
        "evaluation.questions=2",
        "tracking.system_metrics=false",
    ]
    command = [sys.executable, "train.py", "+experiment=rank-search", f"outputs={tmp_path}", *small]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    for place, rank in enumerate((8, 16, 32, 64)):
        folder = next(tmp_path.glob(f"sweeps/*/{place}_rank-search_*"))
        config = OmegaConf.load(folder / "config.yaml")
        assert (config.model.lora_r, config.model.lora_alpha) == (rank, 2 * rank)
        losses = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
        assert [row["step"] for row in losses if "validation/loss" in row] == [2, 4]
    assert "best by validation loss: rank-search r=" in done.stdout
