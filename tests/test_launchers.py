"""Sweeps: scripts and jobs of each launcher, the ledger, a job that fails among others; and a real SLURM
cluster of two nodes.
"""

import http.server
import json
import os
import signal
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest

from tests import slurm_cluster
from tests.benchmarks.faults import result
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


# SLURM


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


@pytest.mark.slurm
def test_slurm_runs_a_sweep_of_two_jobs(nodes: dict[str, str], tmp_path: Path) -> None:
    done = run(
        *LAUNCH,
        "hydra.launcher.wait=true",
        *SMALL,
        "model.lora_r=2,4",
        f"outputs={tmp_path}",
        environment=nodes,
    )
    assert done.returncode == 0, done.stderr[-2000:] + outputs_of(tmp_path)
    assert "status:  squeue --jobs=" in done.stdout
    assert "best by validation loss" in done.stdout
    assert [row["status"] for row in ledger(tmp_path)] == ["finished", "finished"]


@pytest.mark.slurm
def test_two_nodes_train_as_one_and_a_requeued_job_ends_bit_identical(
    nodes: dict[str, str], tmp_path: Path
) -> None:
    whole = tmp_path / "whole" / "run"
    assert run(*SMALL, f"outputs={whole.parent}", f"hydra.run.dir={whole}").returncode == 0
    two, requeued = tmp_path / "two", tmp_path / "requeued"
    done = run(
        *LAUNCH,
        "hydra.launcher.nodes=2",
        "hydra.launcher.wait=true",
        *SMALL,
        f"outputs={two}",
        environment=nodes,
    )
    assert done.returncode == 0, done.stderr[-2000:] + outputs_of(two)
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


# AzureML

AZURE = ["-m", "hydra/launcher=azureml", "hydra.launcher.compute=h100s"]


@pytest.mark.slow
def test_azureml_writes_yaml_that_its_own_loader_takes(tmp_path: Path) -> None:
    from azure.ai.ml import load_job

    launcher = ["hydra.launcher.nodes=2", "hydra.launcher.gpus_per_node=8", "hydra.launcher.dry_run=true"]
    launcher += [
        "hydra.launcher.inputs=['data.path=azureml:catalogue:3']",
        "hydra.launcher.variables=['HF_TOKEN=x']",
    ]
    done = run(
        *AZURE,
        *launcher,
        "+experiment=job-0,job-1",
        "data=flipkart",
        "data.path=table.csv",
        f"outputs={tmp_path}",
    )
    assert "az ml job create -f" in done.stdout, done.stderr
    written = next(iter(tmp_path.glob("sweeps/*/job.yml")))
    pipeline = load_job(str(written))
    assert sorted(pipeline.jobs) == ["job_0", "job_1"]
    assert pipeline.settings.continue_on_step_failure is True
    for number in (0, 1):
        step = pipeline.jobs[f"job_{number}"]
        line = step.component.command
        for part in (
            f"+experiment=job-{number}",
            "data.path=${{inputs.data_path}}",
            "hydra.run.dir=${{outputs.run}}",
            "resume=auto",
        ):
            assert part in line, part
        assert "trainer.devices=8 trainer.nodes=2" in line
        assert (
            subprocess.run(
                ["bash", "-n", "-c", line.replace("${{", "x").replace("}}", "x")], check=False
            ).returncode
            == 0
        )
        assert "pip install --quiet --no-deps azureml-mlflow" in line.split(" && ")[0]
        assert step.compute == "h100s"
        assert (step.resources.instance_count, step.distribution.process_count_per_instance) == (2, 8)
        assert step.environment_variables == {"HF_TOKEN": "x"}
        assert step.component.environment.conda_file["name"] == "strata"
    tracked = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False
    ).stdout.split()
    sent = {
        str(path.relative_to(written.parent / "code"))
        for path in (written.parent / "code").rglob("*")
        if path.is_file()
    }
    assert sent == {name for name in tracked if (ROOT / name).is_file()}
    single = run(*AZURE, "hydra.launcher.dry_run=true", "+experiment=job-2", f"outputs={tmp_path / 'single'}")
    assert single.returncode == 1
    job = load_job(str(next(iter(tmp_path.glob("single/sweeps/*/job.yml")))))
    assert "+experiment=job-2" in job.command
    assert job.outputs["run"].mode == "rw_mount"


class Service(http.server.BaseHTTPRequestHandler):
    """Stands in for the workspace: answers every request with the status that the test asks for."""

    status = 404
    asked: ClassVar[list[str]] = []

    def do_GET(self) -> None:
        self.asked.append(self.path)
        body = json.dumps({"error": {"code": "x", "message": "as the test wants it"}}).encode()
        self.send_response(self.status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Retry-After", "0")
        self.end_headers()
        self.wfile.write(body)

    do_PUT = do_POST = do_GET

    def log_message(self, *arguments: Any) -> None:
        """Silent."""


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[type[Service]]:
    """A local HTTPS service that the SDK takes for the workspace, and a credential that it takes for one."""
    from azure.core.credentials import AccessToken

    class Credential:
        def get_token(self, *scopes: str, **options: Any) -> AccessToken:
            return AccessToken("token", int(time.time()) + 3600)

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Service)
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    made = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-days",
        "1",
        "-subj",
        "/CN=localhost",
    ]
    made += ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(key), "-out", str(certificate)]
    subprocess.run(made, check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate))
    monkeypatch.setenv("AZUREML_DEV_URL_MFE", f"https://127.0.0.1:{server.server_port}")
    monkeypatch.setattr("azure.identity.DefaultAzureCredential", Credential)
    Service.asked.clear()
    yield Service
    server.shutdown()


def launcher(**changes: Any) -> Any:
    from hydra_plugins.strata_launchers.azureml import AzureLauncher

    settings = {
        "subscription": "s",
        "resource_group": "g",
        "workspace": "w",
        "compute": "h100s",
        "nodes": 1,
        "gpus_per_node": 1,
    }
    settings |= {
        "image": "i",
        "inputs": [],
        "datastore": "d",
        "variables": [],
        "setup": [],
        "shm_size": "1g",
        "experiment": "e",
        "dry_run": False,
    }
    return AzureLauncher(**settings | changes)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("status", "message"),
    [
        (404, "is compute=h100s in workspace w"),
        pytest.param(429, "throttled, try again later", marks=pytest.mark.slow),
        pytest.param(403, r"refused \(status 403\)", marks=pytest.mark.slow),
    ],
)
def test_azureml_refusals_are_one_clear_error(service: type[Service], status: int, message: str) -> None:
    service.status = status
    with pytest.raises(ValueError, match=message):
        launcher().client()
    assert any("computes/h100s" in path for path in service.asked)


def test_azureml_without_credentials_or_place_is_one_clear_error(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match="not told workspace_name, compute"):
        launcher(workspace="", compute="").client()
    for name in (
        "AZURE_CLIENT_ID",
        "AZURE_TENANT_ID",
        "AZURE_CLIENT_SECRET",
        "IDENTITY_ENDPOINT",
        "MSI_ENDPOINT",
    ):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AZURE_TOKEN_CREDENTIALS", "EnvironmentCredential")
    with pytest.raises(ValueError, match="no credentials: `az login`"):
        launcher().client()
