"""Submission to AzureML, against a stand-in of its service."""

import http.server
import json
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest

from tests.conftest import ROOT
from tests.test_launchers import run

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
