"""Sweeps and runs of several nodes on a SLURM cluster."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import slurm_cluster
from tests.benchmarks.faults import result
from tests.test_launchers import SMALL, ledger, run, wait_for


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """The environment of a cluster of two nodes."""
    if slurm_cluster.missing():
        pytest.skip(slurm_cluster.missing())
    with slurm_cluster.cluster(tmp_path_factory.mktemp("slurm") / "cluster") as environment:
        yield environment


LAUNCH = ["-m", "hydra/launcher=slurm", "hydra.launcher.gpus_per_node=0", "hydra.launcher.cpus_per_task=1"]
LAUNCH += [
    f"hydra.launcher.python={sys.executable}",
    "hydra.launcher.setup=['export MASTER_ADDR=127.0.0.1']",
    "hydra.launcher.grace=60",
]


def outputs_of(outputs: Path) -> str:
    """What the jobs printed."""
    return "\n".join(path.read_text()[-3000:] for path in outputs.glob("sweeps/*/*/slurm-*.out"))


def launched(nodes: dict[str, str], outputs: Path, *changes: str) -> str:
    """Run jobs on the cluster to their end: what the launcher printed."""
    command = [*LAUNCH, "hydra.launcher.wait=true", *SMALL, *changes, f"outputs={outputs}"]
    done = run(*command, environment=nodes)
    assert done.returncode == 0, done.stderr[-2000:] + outputs_of(outputs)
    return done.stdout


@pytest.mark.slurm
def test_slurm_runs_a_sweep_of_two_jobs(nodes: dict[str, str], tmp_path: Path) -> None:
    printed = launched(nodes, tmp_path, "model.lora_r=2,4")
    assert "status:  squeue --jobs=" in printed
    assert "best by validation loss" in printed
    assert [row["status"] for row in ledger(tmp_path)] == ["finished", "finished"]


@pytest.mark.slurm
def test_two_nodes_train_as_one_and_a_requeued_job_ends_bit_identical(
    nodes: dict[str, str], tmp_path: Path
) -> None:
    whole = tmp_path / "whole" / "run"
    assert run(*SMALL, f"outputs={whole.parent}", f"hydra.run.dir={whole}").returncode == 0
    two, requeued = tmp_path / "two", tmp_path / "requeued"
    launched(nodes, two, "hydra.launcher.nodes=2")
    expected, found = losses(whole), losses(Path(ledger(two)[0]["folder"]))
    assert found[:1] == pytest.approx(expected[:1], rel=1e-5)  # later steps differ by what dropout draws
    assert len(found) == len(expected)

    submitted = run(*LAUNCH, *SMALL, "trainer.checkpoint_every=0", f"outputs={requeued}", environment=nodes)
    assert "job 0: submitted as" in submitted.stderr
    row = ledger(requeued)[0]
    folder, number = Path(row["folder"]), str(row["job_id"])
    wait_for(
        lambda: (
            (folder / "metrics.jsonl").is_file() and "train/loss" in (folder / "metrics.jsonl").read_text()
        )
    )
    subprocess.run(["scancel", "--signal=USR1", number], env=nodes, check=True)
    wait_for(lambda: json.loads((folder / "state.json").read_text())["status"] == "finished", 240)
    wait_for(
        lambda: (
            number
            not in subprocess.run(["squeue", "--noheader"], env=nodes, capture_output=True, text=True).stdout
        )
    )
    told = (folder / f"slurm-{number}.out").read_text()
    assert "stopped (SIGUSR1)" in told
    assert "resumed from" in told
    assert result(folder) == result(whole)


def losses(folder: Path) -> list[float]:
    """Training losses in a run's log."""
    return [
        json.loads(line)["train/loss"]
        for line in (folder / "metrics.jsonl").read_text().splitlines()
        if "train/loss" in line
    ]
