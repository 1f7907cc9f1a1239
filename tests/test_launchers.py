"""Sweeps: scripts and jobs of each launcher, the ledger, a job that fails among others; and a real SLURM
cluster of two nodes.
"""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import ROOT

SMALL = [
    "+experiment=quickstart",
    "data.limit=40",
    "data.max_details=2",
    "trainer.epochs=2",
    "trainer.max_steps=12",
    "stage=fit",
]
SMALL += [
    "trainer.precision=32-true",
    "trainer.log_every=1",
    "trainer.validate_every=5",
    "trainer.threads=1",
    "trainer.accelerator=cpu",
]
SMALL += ["tracking.system_metrics=false", "model.lora_dropout=0.1", "trainer.patience=0"]


def run(*arguments: str, environment: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """`python train.py ...`, whole."""
    command = [sys.executable, "train.py", *arguments]
    return subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, check=False, env=environment, timeout=600
    )


def ledger(outputs: Path) -> list[dict[str, Any]]:
    found = list(outputs.glob("sweeps/*/ledger.json"))
    assert len(found) == 1
    return list(json.loads(found[0].read_text()))


@pytest.mark.slow
def test_slurm_scripts_are_printed_and_nothing_is_submitted(tmp_path: Path) -> None:
    launcher = [
        "partition=gpu",
        "account=shop",
        "qos=high",
        "constraint=h100",
        "time=12:00:00",
        "memory=200G",
        "nodes=2",
    ]
    launcher += ["gpus_per_node=8", "setup=[module load cuda]", "options=['--exclusive']", "dry_run=true"]
    done = run(
        "-m",
        "hydra/launcher=slurm",
        *(f"hydra.launcher.{one}" for one in launcher),
        "+experiment=job-0,job-1",
        f"outputs={tmp_path}",
    )
    assert done.returncode == 1, done.stderr  # the jobs are not finished
    scripts = sorted(tmp_path.glob("sweeps/*/*/job.sh"))
    assert [path.parent.name[:7] for path in scripts] == ["0_job-0", "1_job-1"]
    for number, path in enumerate(scripts):
        text = path.read_text()
        assert text in done.stdout
        assert subprocess.run(["bash", "-n", str(path)], check=False).returncode == 0
        for line in (
            "partition=gpu",
            "account=shop",
            "qos=high",
            "constraint=h100",
            "time=12:00:00",
            "mem=200G",
            "nodes=2",
        ):
            assert f"#SBATCH --{line}\n" in text
        for line in ("ntasks-per-node=8", "gpus-per-node=8", "requeue", "exclusive", "signal=USR1@300"):
            assert f"#SBATCH --{line}\n" in text
        assert "\nmodule load cuda\n" in text
        command = next(line for line in text.splitlines() if line.startswith("srun"))
        for part in (
            f"+experiment=job-{number}",
            "trainer.devices=8",
            "trainer.nodes=2",
            "resume=auto",
            f"hydra.run.dir='\"'\"'{path.parent}",
        ):
            assert part in command, part
    assert not (tmp_path / "mlflow.db").exists()


@pytest.mark.slow
def test_a_cluster_that_is_not_there_is_one_clear_error(tmp_path: Path) -> None:
    done = run(
        "-m",
        "hydra/launcher=slurm",
        "+experiment=job-0",
        f"outputs={tmp_path}",
        environment=os.environ | {"PATH": "/nowhere"},
    )
    assert done.returncode == 1
    assert "there is no sbatch here" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("gpus", "devices", "parallel", "expected"),
    [
        ("0,1,2", 0, 0, ["0", "1", "2"]),
        ("0,1,2,3", 2, 0, ["0,1", "2,3"]),
        ("0,1", 2, 0, [None]),
        ("5", 0, 0, [None]),
        ("", 0, 0, [None]),
        ("", 0, 2, [None, None]),
        ("0,1", 0, 3, ["0", "1", "0"]),
    ],
)
def test_gpus_are_shared_out(
    monkeypatch: pytest.MonkeyPatch, gpus: str, devices: int, parallel: int, expected: list[str | None]
) -> None:
    from types import SimpleNamespace

    from hydra_plugins.strata_launchers.local import LocalLauncher

    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", gpus)
    job: Any = SimpleNamespace(config=SimpleNamespace(trainer=SimpleNamespace(devices=devices)))
    assert [place.get("CUDA_VISIBLE_DEVICES") for place in LocalLauncher(parallel, 0).places(job)] == expected


@pytest.mark.slow
def test_a_sweep_goes_on_past_a_job_that_fails_and_runs_only_what_is_left(tmp_path: Path) -> None:
    """Two good jobs and one whose target layer does not exist in this model; then the same command, then
    with a job deleted.
    """
    command = [
        "-m",
        *SMALL,
        "trainer.max_steps=3",
        "model.lora_targets=[q_proj],[qkv_proj],[v_proj]",
        f"outputs={tmp_path}",
    ]
    first = run(*command)
    assert first.returncode == 1
    rows = ledger(tmp_path)
    assert [row["status"] for row in rows] == ["finished", "failed", "finished"]
    assert "1 of 3 jobs are not finished" in first.stdout
    assert "no layer is called 'qkv_proj'" in first.stderr
    assert "best by validation loss" in first.stdout
    caches = {path.name for path in (tmp_path / "cache").iterdir()}
    assert len([name for name in caches if name.startswith("tokens-")]) == 1
    before = {
        row["number"]: (Path(row["folder"]) / "metrics.jsonl").stat().st_mtime_ns
        for row in rows
        if row["status"] == "finished"
    }
    second = run(*command)
    assert second.returncode == 1
    assert "2 of 3 jobs are finished already" in second.stderr
    assert before == {
        number: (Path(rows[number]["folder"]) / "metrics.jsonl").stat().st_mtime_ns for number in before
    }
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{tmp_path / 'mlflow.db'}")
    found = client.search_runs([client.get_experiment_by_name("strata").experiment_id])
    assert sorted(one.info.status for one in found) == [
        "FAILED",
        "FINISHED",
        "FINISHED",
        "FINISHED",
    ]  # the sweep's own among them
    parents = [one.info.run_id for one in found if "mlflow.parentRunId" not in one.data.tags]
    assert len(parents) == 1
    assert {one.data.tags["mlflow.parentRunId"] for one in found if one.info.run_id not in parents} == set(
        parents
    )


@pytest.mark.slow
def test_an_array_of_shards_prepares_one_table(tmp_path: Path) -> None:
    """A sweep over shards: each job ends well, the ledger says so, and there is one prepared table."""
    command = [
        "-m",
        "stage=prepare",
        "data.shard=1/2,2/2",
        f"outputs={tmp_path}",
        "data.limit=40",
        "tracking.system_metrics=false",
    ]
    done = run(*command)
    assert done.returncode == 0, done.stderr
    assert [row["status"] for row in ledger(tmp_path)] == ["finished"] * 2
    assert len(list((tmp_path / "cache").glob("questions-*"))) == 1
    assert "are finished already" in run(*command).stderr


def steps_of(folder: Path) -> list[int]:
    """Steps in a run's log of training."""
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [line["step"] for line in lines if "train/loss" in line]


def wait_for(what: Any, seconds: float = 120) -> None:
    """Until it holds."""
    until = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < until
        time.sleep(0.05)


@pytest.mark.slow
def test_a_sweep_that_is_stopped_goes_on_where_it_was(tmp_path: Path) -> None:
    """SIGTERM while the first of two jobs trains; the second start finishes both, the first one from its
    checkpoint.
    """
    command = [sys.executable, "train.py", "-m", *SMALL, "model.lora_r=2,4", f"outputs={tmp_path}"]
    sweep = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
    wait_for(
        lambda: any("train/loss" in path.read_text() for path in tmp_path.glob("sweeps/*/0_*/metrics.jsonl"))
    )
    sweep.send_signal(signal.SIGTERM)
    told = sweep.communicate(timeout=120)[1]
    assert sweep.returncode == 75
    assert "the same command goes on with it" in told
    assert [row["status"] for row in ledger(tmp_path)] == ["interrupted", None]
    again = run(*command[2:])
    assert again.returncode == 0, again.stderr[-2000:]
    assert "resumed from" in again.stderr
    rows = ledger(tmp_path)
    assert [row["status"] for row in rows] == ["finished", "finished"]
    assert steps_of(Path(rows[0]["folder"])) == list(range(1, 13))


@pytest.mark.slow
def test_a_search_goes_on_with_the_trials_it_has(tmp_path: Path) -> None:
    """Two trials; then three, of which the first two are there."""
    command = ["-m", "hydra/sweeper=optuna", *SMALL, "trainer.max_steps=2", f"outputs={tmp_path}"]
    command = [part for part in command if not part.startswith("model.lora_dropout")]  # it is searched
    assert run(*command, "hydra.sweeper.n_trials=2").returncode == 0
    first = ledger(tmp_path)
    again = run(*command, "hydra.sweeper.n_trials=3")
    assert again.returncode == 0, again.stderr[-2000:]
    assert again.stderr.count("1 of 1 jobs are finished already") == 2
    rows = ledger(tmp_path)
    assert len(rows) == 3
    assert [row["run_id"] for row in rows[:2]] == [row["run_id"] for row in first]
    assert all(
        f"{key}=" in row["overrides"]
        for row in rows
        for key in ("trainer.learning_rate", "model.lora_dropout", "trainer.weight_decay")
    )
    assert "trainer.prune=True" in rows[0]["overrides"]
    best = min(rows, key=lambda row: float(row["metric"]))
    assert f"python train.py {best['overrides']}" in again.stdout
