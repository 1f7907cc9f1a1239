"""What `deploy=` writes: manifests that Kubernetes' client takes, services that fit each other, a model that
answers.
"""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

import app
from architectures import load_model, write_deployment
from architectures.inference.deployment import KEY
from tests.conftest import ROOT
from tests.test_app import configured
from tests.test_kubernetes import taken


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("deploy")
    write_deployment(place, "shop")
    return place


def compose(folder: Path) -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load((folder / "compose.yaml").read_text())
    return content


def objects(folder: Path) -> dict[tuple[str, str], dict[str, Any]]:
    """(kind, name) -> manifest"""
    found = {}
    for manifest in yaml.safe_load_all((folder / "kubernetes.yaml").read_text()):
        found[manifest["kind"], manifest["metadata"]["name"]] = manifest
    return found


def containers(folder: Path) -> dict[str, dict[str, Any]]:
    """Name -> container of each Deployment."""
    found = {}
    for (kind, name), manifest in objects(folder).items():
        if kind == "Deployment":
            (found[name],) = manifest["spec"]["template"]["spec"]["containers"]
    return found


def test_the_clients_models_take_every_field(folder: Path) -> None:
    kinds = []
    for (kind, _), manifest in objects(folder).items():
        kinds.append(kind)
        assert taken(manifest, f"V1{kind}") == manifest
    assert sorted(kinds) == ["Deployment", "Deployment", "Service", "Service"]


def test_a_service_leads_to_its_pods(folder: Path) -> None:
    found = objects(folder)
    for name, container in containers(folder).items():
        service, deployment = found["Service", name]["spec"], found["Deployment", name]["spec"]
        labels = deployment["template"]["metadata"]["labels"]
        assert service["selector"] == labels == deployment["selector"]["matchLabels"]
        assert service["ports"][0]["targetPort"] == container["ports"][0]["containerPort"]
        assert container["readinessProbe"]["httpGet"]["port"] == service["ports"][0]["port"]


def test_volumes_that_are_mounted_are_there(folder: Path) -> None:
    for (kind, _), manifest in objects(folder).items():
        if kind == "Deployment":
            pod = manifest["spec"]["template"]["spec"]
            mounted = {mount["name"] for mount in pod["containers"][0]["volumeMounts"]}
            assert mounted == {volume["name"] for volume in pod["volumes"]}


def page_commands(folder: Path) -> list[tuple[list[str], str]]:
    """(command, address of the server) of the chat page in both files."""
    page, pod = compose(folder)["services"]["chat"], containers(folder)["shop-chat"]
    environment = {entry["name"]: entry.get("value") for entry in pod["env"]}
    return [
        (page["command"], page["environment"]["OPENAI_BASE_URL"]),
        (pod["command"], environment["OPENAI_BASE_URL"]),
    ]


def test_the_page_asks_the_server_for_the_name_that_it_serves(folder: Path) -> None:
    server, pod = compose(folder)["services"]["vllm"], containers(folder)["shop-vllm"]
    arguments = [[*server["entrypoint"], *server["command"]], pod["command"]]
    hosts = ["vllm", "shop-vllm"]
    for (command, address), served, host in zip(page_commands(folder), arguments, hosts, strict=True):
        port = served[served.index("--port") + 1]
        assert address == f"http://{host}:{port}/v1"
        assert f"served_model={served[served.index('--served-model-name') + 1]}" in command
        assert command[:2] == ["python", "app.py"]
        assert app.problems_of(configured(*command[2:])) == []


def test_the_key_is_never_in_the_files(folder: Path) -> None:
    environment = compose(folder)["services"]["vllm"]["environment"]
    assert environment["VLLM_API_KEY"].startswith(f"${{{KEY}:?")
    for container in containers(folder).values():
        (key,) = [entry for entry in container["env"] if "KEY" in entry["name"]]
        assert key["valueFrom"]["secretKeyRef"]["key"] == KEY


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["served_model=My Shop"], "served_model=My Shop: names the services too"),
        (["space=other"], "space and deploy: write one folder at a time"),
    ],
)
def test_what_cannot_be_deployed_is_told_before_a_model_is_loaded(words: list[str], message: str) -> None:
    assert app.problems_of(configured("ckpt=x", "deploy=new")) == []
    assert message in "\n".join(app.problems_of(configured("ckpt=x", "deploy=new", *words)))
    taken = app.problems_of(configured("ckpt=x", f"deploy={ROOT}"))
    assert taken == [f"deploy={ROOT}: is not empty; give another folder"]


@pytest.mark.slow
def test_the_merged_model_lies_beside_the_files(finished: tuple[Path, str], tmp_path: Path) -> None:
    run, _ = finished
    command = [sys.executable, "app.py", f"ckpt={run / 'model'}", f"outputs={run.parent}"]
    command.append(f"deploy={tmp_path / 'shop'}")
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stderr
    assert {path.name for path in (tmp_path / "shop").iterdir()} == {
        "README.md",
        "compose.yaml",
        "kubernetes.yaml",
        "model",
    }
    assert (tmp_path / "shop/model/products.parquet").is_file()
    assert load_model(tmp_path / "shop/model").model_settings["adapter"] == "none"
    again = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    assert again.returncode == 1
    assert "is not empty; give another folder" in again.stderr
