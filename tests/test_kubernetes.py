"""Submission to Kubernetes: manifests that its client takes, the shell script of a pod, and a stand-in of its
API server.
"""

import http.server
import json
import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest
import yaml
from kubernetes import client
from omegaconf import OmegaConf

from config import runs
from hydra_plugins.strata_launchers.jobs import Job
from hydra_plugins.strata_launchers.kubernetes import STOPPED, KubernetesLauncher
from tests.conftest import ROOT
from tests.test_launchers import run

PLACE = ["hydra.launcher.image=shop/strata:1", "hydra.launcher.claim=runs"]
COMMAND = ["-m", "hydra/launcher=kubernetes", *PLACE]


def launcher(**changed: Any) -> KubernetesLauncher:
    settings = OmegaConf.to_container(OmegaConf.load(ROOT / "config/hydra/launcher/kubernetes.yaml"))
    assert isinstance(settings, dict)
    del settings["_target_"]
    given: dict[str, Any] = {str(key): value for key, value in settings.items()}
    return KubernetesLauncher(**(given | {"image": "shop/strata:1", "claim": "runs"} | changed))


def job(outputs: Path, number: int = 0) -> Job:
    overrides = ["+experiment=job-1", "data.path=/outputs/it's a shop.csv", f"outputs={outputs}"]
    folder = outputs / "sweeps" / "job-1-abc" / f"{number}_job-1_12345678"
    return Job(number, overrides, "job-1", "1234567890abcdef", folder, OmegaConf.create({}))


def taken(manifest: dict[str, Any], kind: str) -> dict[str, Any]:
    """What the client's own model keeps of a manifest."""
    api = client.ApiClient()
    model = api.deserialize(json.dumps(manifest), kind, "application/json")
    found: dict[str, Any] = api.sanitize_for_serialization(model)
    return found


def test_the_clients_models_take_every_field(tmp_path: Path) -> None:
    whole = launcher(
        nodes=2, gpus_per_node=8, queue="shop", secrets=["hub"], variables=["A=b"], node_selector=["gpu=h100"]
    )
    name = whole.name(job(tmp_path))
    assert len(name) < 60
    manifest = whole.manifest(job(tmp_path), name)
    assert taken(manifest, "V1Job") == manifest
    assert taken(whole.service(name), "V1Service") == whole.service(name)
    spec = manifest["spec"]
    assert (spec["completions"], spec["completionMode"], spec["suspend"]) == (2, "Indexed", True)
    (container,) = spec["template"]["spec"]["containers"]
    assert container["resources"]["limits"]["nvidia.com/gpu"] == "8"
    assert container["envFrom"] == [{"secretRef": {"name": "hub"}}]
    assert {"name": "A", "value": "b"} in container["env"]


def test_a_pod_runs_the_job_with_its_outputs_on_the_volume(tmp_path: Path) -> None:
    one, many = (
        launcher().script(job(tmp_path), "n"),
        launcher(nodes=2, gpus_per_node=4).script(job(tmp_path), "n"),
    )
    folder = "/outputs/sweeps/job-1-abc/0_job-1_12345678"
    for script in (one, many):
        assert str(tmp_path) not in script
        assert "+experiment=job-1" in script
        assert "outputs=/outputs" in script
        assert folder in script
        assert subprocess.run(["bash", "-n", "-c", script], check=False).returncode == 0
    assert "python train.py" in one
    assert "trainer.devices=1 trainer.nodes=1" in one
    place = "--nnodes=2 --nproc-per-node=4 --node-rank=$JOB_COMPLETION_INDEX --master-addr=n-0.n"
    assert f"torchrun {place}" in many


@pytest.mark.parametrize(
    ("ends", "state", "status"),
    [("exit 0", "finished", 0), ("exit 3", "running", 3), ("exit 1", "interrupted", STOPPED)],
)
def test_the_script_tells_a_stopped_run_from_a_failed_one(
    tmp_path: Path, ends: str, state: str, status: int
) -> None:
    assert pod_process(tmp_path, ends, state).wait(10) == status


def test_a_signal_reaches_the_run_which_has_time_to_save(tmp_path: Path) -> None:
    ends = "trap 'sleep 0.5; echo saved > saved; exit 1' TERM; touch ready; while :; do sleep 0.1; done"
    process = pod_process(tmp_path, ends, "interrupted")
    until = time.monotonic() + 10
    while not (tmp_path / "ready").exists() and time.monotonic() < until:
        time.sleep(0.05)
    os.kill(process.pid, signal.SIGTERM)
    assert process.wait(10) == STOPPED
    assert (tmp_path / "saved").exists()


def pod_process(folder: Path, ends: str, state: str) -> "subprocess.Popen[bytes]":
    """The script of a pod, with a stand-in of the training and of the volume."""
    (folder / "python").write_text(f"#!/bin/bash\n{ends}\n")
    (folder / "python").chmod(0o755)
    (folder / "state.json").write_text(json.dumps({"status": state}))
    script = launcher().script(job(folder), "n").replace("cd /opt/strata", f"cd {folder}")
    script = script.replace(
        f"/outputs/sweeps/job-1-abc/0_job-1_12345678/{runs.STATE_FILE}", str(folder / "state.json")
    )
    path = f"{folder}:{os.environ['PATH']}"
    return subprocess.Popen(["bash", "-c", script], env=os.environ | {"PATH": path})


class Cluster(http.server.BaseHTTPRequestHandler):
    """Stands in for the API server: takes what it is given, or answers with the status of the test."""

    status = 0
    made: ClassVar[list[tuple[str, dict[str, Any]]]] = []
    failed: ClassVar[set[str]] = set()

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if not self.status:
            self.made.append((self.path, body))
        body["metadata"]["uid"] = "the-uid"
        self.answer(self.status or 201, body)

    def do_GET(self) -> None:
        name = self.path.split("metadata.name%3D")[-1].split("&")[0]
        items = []
        for _, body in self.made:
            if body["kind"] == "Job" and body["metadata"]["name"] == name:
                failed = [{"type": "Failed", "status": "True"}] if name in self.failed else []
                items.append(body | {"status": {"conditions": failed}})
        self.answer(200, {"kind": "JobList", "apiVersion": "batch/v1", "items": items})

    def answer(self, status: int, content: dict[str, Any]) -> None:
        body = json.dumps(content if status < 400 else {"message": "as the test wants it"}).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments: Any) -> None:
        """Silent."""


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Cluster]]:
    """A local API server, to which KUBECONFIG points."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Cluster)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    place = {"cluster": "c", "user": "u"}
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "x",
        "contexts": [{"name": "x", "context": place}],
        "clusters": [{"name": "c", "cluster": {"server": f"http://127.0.0.1:{server.server_port}"}}],
        "users": [{"name": "u", "user": {}}],
    }
    (tmp_path / "kubeconfig").write_text(yaml.safe_dump(content))
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "kubeconfig"))
    Cluster.status = 0
    Cluster.made.clear()
    Cluster.failed.clear()
    yield Cluster
    server.shutdown()


def test_jobs_are_submitted_once_and_again_after_a_failure(
    tmp_path: Path, cluster: type[Cluster], monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs = [job(tmp_path, number) for number in (0, 1)]
    sweep = jobs[0].folder.parent
    whole = launcher(nodes=2, namespace="shop")
    whole.start(jobs, sweep)
    paths = [path for path, _ in cluster.made]
    assert paths == ["/apis/batch/v1/namespaces/shop/jobs", "/api/v1/namespaces/shop/services"] * 2
    (_, made), (_, service) = cluster.made[:2]
    assert service["metadata"]["ownerReferences"][0]["uid"] == "the-uid"
    assert service["spec"]["selector"] == {"job-name": made["metadata"]["name"]}
    assert jobs[0].state == {"job_id": made["metadata"]["name"], "status": "submitted"}
    whole.start(jobs, sweep)
    assert len(cluster.made) == 4
    cluster.failed.add(made["metadata"]["name"])
    monkeypatch.setattr(time, "time", lambda: 2.0e9)
    whole.start(jobs, sweep)
    assert len(cluster.made) == 6


@pytest.mark.parametrize(
    ("status", "told"),
    [(401, "log in to the cluster"), (403, "not allowed in the namespace shop"), (404, "no namespace shop"),
     (422, r"refused \(status 422\)")],
)  # fmt: skip
def test_what_the_cluster_refuses_is_one_error(
    tmp_path: Path, cluster: type[Cluster], status: int, told: str
) -> None:
    cluster.status = status
    with pytest.raises(ValueError, match=told):
        launcher(namespace="shop").start([job(tmp_path)], tmp_path)
    assert not job(tmp_path).folder.exists()


def test_a_cluster_that_is_not_there_is_one_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    with pytest.raises(ValueError, match="set KUBECONFIG"):
        launcher().start([job(tmp_path)], tmp_path)
    with pytest.raises(ValueError, match=r"set image and claim in hydra\.launcher"):
        launcher(image="", claim="").start([job(tmp_path)], tmp_path)


def test_a_damaged_kubeconfig_is_one_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "damaged").write_bytes(b"\x00\x01: [broken")
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "damaged"))
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    with pytest.raises(ValueError, match="no cluster is configured"):
        launcher().start([job(tmp_path)], tmp_path)


def test_a_job_without_a_machine_is_one_error(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="must be at least 1"):
        launcher(nodes=0, dry_run=True).start([job(tmp_path)], tmp_path)


@pytest.mark.parametrize("setting", ["variables", "node_selector"])
@pytest.mark.parametrize("text", ["NOEQUALS", "=value"])
def test_what_is_no_pair_is_named(setting: str, text: str) -> None:
    with pytest.raises(SystemExit, match=f"hydra.launcher.{setting}: '{text}' is not NAME=VALUE"):
        launcher(**{setting: [text]})


@pytest.mark.slow
def test_a_sweep_is_written_as_yaml(tmp_path: Path) -> None:
    done = run(*COMMAND, "hydra.launcher.dry_run=true", "+experiment=job-0,job-1", f"outputs={tmp_path}")
    assert "kubectl create -f" in done.stdout, done.stderr
    (written,) = tmp_path.glob("sweeps/*/jobs.yml")
    manifests = list(yaml.safe_load_all(written.read_text()))
    assert [manifest["kind"] for manifest in manifests] == ["Job", "Job"]
    for number, manifest in enumerate(manifests):
        assert taken(manifest, "V1Job") == manifest
        (container,) = manifest["spec"]["template"]["spec"]["containers"]
        assert f"+experiment=job-{number}" in container["command"][2]
