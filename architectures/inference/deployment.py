"""What runs a model for its users: a vLLM server and the chat page that asks it, for Docker Compose and for
Kubernetes.
"""

from pathlib import Path

import yaml

from architectures.values import JsonObject

SERVER_IMAGE = "vllm/vllm-openai:v0.32.0"
PAGE_IMAGE = "strata:chat"  # docker build --target chat
SERVER_PORT, PAGE_PORT = 8000, 7860
MODEL, OUTPUTS = "/model", "/outputs"  # in the containers
KEY = "OPENAI_API_KEY"
SECRET = "strata-api-key"  # of Kubernetes; its entry is KEY
CLAIM, OUTPUTS_CLAIM = "strata-model", "strata-outputs"  # PersistentVolumeClaims: the model, the ratings
SERVER = ["python3", "-m", "vllm.entrypoints.openai.api_server"]


def _server_arguments(name: str) -> list[str]:
    """Arguments of vLLM's server; it reads its key from the environment."""
    return ["--model", MODEL, "--served-model-name", name, "--port", str(SERVER_PORT)]


def _page_command(name: str) -> list[str]:
    """The command that starts the chat page."""
    served = ["backend=endpoint", f"served_model={name}"]
    return ["python", "app.py", f"ckpt={MODEL}", *served, "host=0.0.0.0", f"outputs={OUTPUTS}"]


def _compose(name: str) -> JsonObject:
    """Both services for Docker Compose; the page listens on this machine alone."""
    key = f"${{{KEY}:?set {KEY} to any long word}}"
    gpu: JsonObject = {"driver": "nvidia", "count": 1, "capabilities": ["gpu"]}
    probe = f"import urllib.request; urllib.request.urlopen('http://127.0.0.1:{SERVER_PORT}/health')"
    server: JsonObject = {
        "image": SERVER_IMAGE,
        "entrypoint": SERVER,
        "command": _server_arguments(name),
        "environment": {"VLLM_API_KEY": key, "HF_HUB_OFFLINE": "1"},
        "volumes": [f"./model:{MODEL}:ro"],
        "shm_size": "8gb",
        "deploy": {"resources": {"reservations": {"devices": [gpu]}}},
        "healthcheck": {
            "test": ["CMD", "python3", "-c", probe],
            "interval": "10s",
            "retries": 3,
            "start_period": "15m",
        },
        "restart": "unless-stopped",
    }
    page: JsonObject = {
        "image": PAGE_IMAGE,
        "command": _page_command(name),
        "environment": {KEY: key, "OPENAI_BASE_URL": f"http://vllm:{SERVER_PORT}/v1"},
        "volumes": [f"./model:{MODEL}:ro", f"outputs:{OUTPUTS}"],
        "ports": [f"127.0.0.1:{PAGE_PORT}:{PAGE_PORT}"],
        "depends_on": {"vllm": {"condition": "service_healthy"}},
        "restart": "unless-stopped",
    }
    return {"name": name, "services": {"vllm": server, "chat": page}, "volumes": {"outputs": {}}}


def _container(name: str, image: str, command: list[str], port: int, path: str) -> JsonObject:
    """A container without root rights or capabilities, ready once ``path`` answers."""
    return {
        "name": name,
        "image": image,
        "command": command,
        "ports": [{"containerPort": port}],
        "readinessProbe": {"httpGet": {"path": path, "port": port}, "periodSeconds": 10},
        "volumeMounts": [{"name": "model", "mountPath": MODEL, "readOnly": True}],
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
    }


def _from_secret(variable: str) -> JsonObject:
    """An environment variable whose value is the entry of a Secret."""
    return {"name": variable, "valueFrom": {"secretKeyRef": {"name": SECRET, "key": KEY}}}


def _objects(container: JsonObject, volumes: list[JsonObject]) -> list[JsonObject]:
    """A Deployment of one pod with a container, and the Service in front of it."""
    name, port = container["name"], container["ports"][0]["containerPort"]
    labels, meta = {"app": name}, {"name": name, "labels": {"app": name}}
    claim: JsonObject = {"name": "model", "persistentVolumeClaim": {"claimName": CLAIM, "readOnly": True}}
    pod: JsonObject = {"containers": [container], "volumes": [claim, *volumes]}
    # other Services would become environment variables, some of which vLLM reads as its own
    pod |= {"enableServiceLinks": False, "securityContext": {"fsGroup": 1000}}
    template = {"metadata": {"labels": labels}, "spec": pod}
    spec = {"replicas": 1, "selector": {"matchLabels": labels}, "template": template}
    ports = [{"port": port, "targetPort": port}]
    return [
        {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": meta, "spec": spec},
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": meta,
            "spec": {"selector": labels, "ports": ports},
        },
    ]


def _kubernetes(name: str) -> list[JsonObject]:
    """Both Deployments with their Services. Deployments are named after the model, Services too."""
    server_name, page_name = f"{name}-vllm", f"{name}-chat"
    arguments = [*SERVER, *_server_arguments(name)]
    server = _container(server_name, SERVER_IMAGE, arguments, SERVER_PORT, "/health")
    server["env"] = [_from_secret("VLLM_API_KEY"), {"name": "HF_HUB_OFFLINE", "value": "1"}]
    server["resources"] = {"limits": {"nvidia.com/gpu": "1"}}
    server["volumeMounts"].append({"name": "shared-memory", "mountPath": "/dev/shm"})
    page = _container(page_name, PAGE_IMAGE, _page_command(name), PAGE_PORT, "/")
    address = f"http://{server_name}:{SERVER_PORT}/v1"
    page["env"] = [_from_secret(KEY), {"name": "OPENAI_BASE_URL", "value": address}]
    page["volumeMounts"].append({"name": "outputs", "mountPath": OUTPUTS})
    shared: JsonObject = {"name": "shared-memory", "emptyDir": {"medium": "Memory", "sizeLimit": "8Gi"}}
    ratings: JsonObject = {"name": "outputs", "persistentVolumeClaim": {"claimName": OUTPUTS_CLAIM}}
    return [*_objects(server, [shared]), *_objects(page, [ratings])]


README = """# {name}

A vLLM server with the model of this folder, and the chat page that asks it. The page's image is built from
the project:

    docker build -t {page_image} --target chat PROJECT

## Docker Compose (one machine with an NVIDIA GPU)

    {key}=$(openssl rand -hex 16) docker compose up        # http://127.0.0.1:{page_port}

## Kubernetes

    kubectl create secret generic {secret} --from-literal={key}=$(openssl rand -hex 16)
    kubectl apply -f kubernetes.yaml
    kubectl port-forward service/{name}-chat {page_port}

The PersistentVolumeClaim `{claim}` holds what is in `model`, and `{outputs}` gets visitors' ratings. Names of
images, claims and Secret may be changed in the files.
"""


def write_deployment(folder: Path, name: str) -> None:
    """Write compose.yaml, kubernetes.yaml and README.md beside ``folder/model``.

    Args:
        name: of the services, and of the model at the server: lower case, digits and hyphens.
    """
    options = {"sort_keys": False, "width": 120}
    (folder / "compose.yaml").write_text(yaml.safe_dump(_compose(name), **options), encoding="utf-8")
    objects = yaml.safe_dump_all(_kubernetes(name), **options)
    (folder / "kubernetes.yaml").write_text(objects, encoding="utf-8")
    text = README.format(
        name=name,
        page_image=PAGE_IMAGE,
        key=KEY,
        page_port=PAGE_PORT,
        secret=SECRET,
        claim=CLAIM,
        outputs=OUTPUTS_CLAIM,
    )
    (folder / "README.md").write_text(text, encoding="utf-8")
