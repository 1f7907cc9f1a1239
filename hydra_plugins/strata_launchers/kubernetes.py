"""hydra/launcher=kubernetes: each job of a sweep as an indexed Job of a Kubernetes cluster, with one pod a
machine and one process a GPU.

The pods run the project from an image (Dockerfile) and keep their runs' folders on a volume. A run that was
stopped and saved exits with status 75, and one whose pod is evicted is disrupted: the Job starts the pod anew
without counting a failure, and the run goes on from its checkpoint.
"""

import logging
import os
import re
import shlex
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import yaml

from config import runs
from hydra_plugins.strata_launchers.jobs import Job, JobLauncher, pairs_of

log = logging.getLogger("strata")
YAML_FILE = "jobs.yml"
CODE, OUTPUTS = "/opt/strata", "/outputs"  # in a pod
STOPPED = 75  # status of a run that saved and wants to be started again
PORT = 29_500  # at which the processes of several machines meet
HANDED_ON = ("HF_HUB_OFFLINE", "MLFLOW_TRACKING_URI")  # environment variables that jobs get
TRAINING = "train"  # name of the container
SCRIPT = """cd {code}
{setup}trap 'kill -TERM "$run"' TERM
{command} &
run=$!
wait "$run"; status=$?
while kill -0 "$run" 2>/dev/null; do wait "$run"; status=$?; done
if [ "$status" != 0 ] && grep -q interrupted {state}; then exit {stopped}; fi
exit "$status"
"""

Manifest = dict[str, Any]  # of an object of Kubernetes, as its YAML
Client = Any  # of the package kubernetes, which has no types


class KubernetesLauncher(JobLauncher):
    """Jobs as Jobs of Kubernetes.

    Args:
        context: of the kubeconfig; empty: its current one, or the cluster that this runs in. namespace: of
        the Jobs. image: that holds the project. claim: PersistentVolumeClaim that keeps the runs' folders.
        nodes: machines a job. gpus_per_node: GPUs on each. cpus, memory, shm_size: of a pod, as Kubernetes
        writes quantities. restarts: after failures. grace: seconds that a pod has to save when it must go.
        queue: of Kueue; empty: none. secrets: names of Secrets whose entries become environment variables.
        variables: NAME=VALUE, in the jobs' environment. node_selector: LABEL=VALUE of the machines.
        setup: shell commands before the run. dry_run: write the YAML that `kubectl create -f` takes, submit
        nothing.
    """

    def __init__(
        self,
        context: str,
        namespace: str,
        image: str,
        claim: str,
        nodes: int,
        gpus_per_node: int,
        cpus: str,
        memory: str,
        shm_size: str,
        restarts: int,
        grace: int,
        queue: str,
        secrets: list[str],
        variables: list[str],
        node_selector: list[str],
        setup: list[str],
        dry_run: bool,
    ) -> None:
        super().__init__()
        self.context, self.namespace, self.image, self.claim = context, namespace, image, claim
        self.nodes, self.gpus, self.shm_size = nodes, gpus_per_node, shm_size
        self.resources = {"cpu": cpus, "memory": memory} | (
            {"nvidia.com/gpu": str(self.gpus)} if self.gpus else {}
        )
        self.restarts, self.grace, self.queue, self.secrets = restarts, grace, queue, secrets
        self.variables = pairs_of("kubernetes", "variables", variables)
        self.node_selector = pairs_of("kubernetes", "node_selector", node_selector)
        self.setup_lines, self.dry_run = setup, dry_run

    def name(self, job: Job) -> str:
        """A name that the cluster does not have yet, of the letters that it takes."""
        experiment = re.sub(r"[^a-z0-9]+", "-", job.experiment.lower()).strip("-")[:30]
        return f"strata-{job.number}-{experiment}-{job.digest[:6]}-{int(time.time()):x}"

    def script(self, job: Job, name: str) -> str:
        """What a pod runs: the training command, to which a signal to stop is handed on."""
        folder = f"{OUTPUTS}/sweeps/{job.folder.parent.name}/{job.folder.name}"
        words = [
            word for word in job.command("python") if not word.startswith(("hydra.run.dir=", "outputs="))
        ]
        words += [f"outputs={OUTPUTS}", f"hydra.run.dir='{folder}'"]
        words += [f"trainer.devices={max(self.gpus, 1)}", f"trainer.nodes={self.nodes}"]
        command = shlex.join(words)
        if self.nodes > 1:  # Lightning starts the processes of one machine itself
            processes = f"--nnodes={self.nodes} --nproc-per-node={max(self.gpus, 1)}"
            place = f"--node-rank=$JOB_COMPLETION_INDEX --master-addr={name}-0.{name} --master-port={PORT}"
            command = f"torchrun {processes} {place} {shlex.join(words[1:])}"
        setup = "".join(f"{line}\n" for line in self.setup_lines)
        state = shlex.quote(f"{folder}/{runs.STATE_FILE}")
        return SCRIPT.format(code=CODE, setup=setup, command=command, state=state, stopped=STOPPED)

    def manifest(self, job: Job, name: str) -> Manifest:
        """The Job of a job."""
        labels = {"app.kubernetes.io/name": "strata", "strata/sweep": job.folder.parent.name[:63].strip("_-")}
        if self.queue:
            labels["kueue.x-k8s.io/queue-name"] = self.queue
        stopped = {"containerName": TRAINING, "operator": "In", "values": [STOPPED]}
        evicted = [{"type": "DisruptionTarget", "status": "True"}]
        return {
            "apiVersion": "batch/v1",
            "kind": "Job",
            "metadata": {"name": name, "namespace": self.namespace, "labels": labels},
            "spec": {
                "completionMode": "Indexed",
                "completions": self.nodes,
                "parallelism": self.nodes,
                "backoffLimit": self.restarts,
                "suspend": bool(self.queue),  # until Kueue admits it
                "podFailurePolicy": {
                    "rules": [
                        {"action": "Ignore", "onExitCodes": stopped},
                        {"action": "Ignore", "onPodConditions": evicted},
                    ]
                },
                "template": {"metadata": {"labels": labels}, "spec": self.pod(job, name)},
            },
        }

    def pod(self, job: Job, name: str) -> Manifest:
        """What each pod of a job is."""
        handed = {key: os.environ[key] for key in HANDED_ON if key in os.environ} | self.variables
        environment = [{"name": key, "value": value} for key, value in handed.items()]
        secrets = [{"secretRef": {"name": secret}} for secret in self.secrets]
        container = {
            "name": TRAINING,
            "image": self.image,
            "command": ["bash", "-c", self.script(job, name)],
            "env": environment,
            "envFrom": secrets,
            "resources": {"requests": dict(self.resources), "limits": dict(self.resources)},
            "volumeMounts": [
                {"name": "outputs", "mountPath": OUTPUTS},
                {"name": "shm", "mountPath": "/dev/shm"},
            ],
        }
        memory = {"medium": "Memory", "sizeLimit": self.shm_size}
        return {
            "restartPolicy": "Never",  # which podFailurePolicy asks for
            "subdomain": name,
            "terminationGracePeriodSeconds": self.grace,
            "nodeSelector": self.node_selector,
            "containers": [container],
            "volumes": [
                {"name": "outputs", "persistentVolumeClaim": {"claimName": self.claim}},
                {"name": "shm", "emptyDir": memory},
            ],
        }

    def service(self, name: str) -> Manifest:
        """The headless Service by which the pods of several machines find one another."""
        spec = {"clusterIP": "None", "selector": {"job-name": name}}
        metadata = {"name": name, "namespace": self.namespace}
        return {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": spec}

    def start(self, jobs: list[Job], sweep: Path) -> None:
        """Submit what is not under way."""
        lacking = [name for name in ("image", "claim") if not getattr(self, name)]
        if lacking:
            raise ValueError(f"hydra/launcher=kubernetes: set {' and '.join(lacking)} in hydra.launcher")
        if self.nodes < 1 or self.gpus < 0:
            raise ValueError(
                "hydra/launcher=kubernetes: hydra.launcher.nodes must be at least 1, and"
                " hydra.launcher.gpus_per_node at least 0"
            )
        client = None if self.dry_run else self.client()
        written = []
        for job in jobs:
            if client and self.under_way(client, job):
                continue
            name = self.name(job)
            objects = [self.manifest(job, name), *([self.service(name)] if self.nodes > 1 else [])]
            written += objects
            if client:
                self.submit(client, job, objects)
        sweep.mkdir(parents=True, exist_ok=True)
        (sweep / YAML_FILE).write_text(yaml.safe_dump_all(written, sort_keys=False), encoding="utf-8")
        if client is None:
            print(f"written:  kubectl create -f {sweep / YAML_FILE}    # {len(jobs)} jobs")
        else:
            print(f"status:  kubectl --namespace {self.namespace} get jobs -l app.kubernetes.io/name=strata")

    def client(self) -> Client:
        """The module of the cluster's client, told where the cluster is. Raises ValueError."""
        try:
            from kubernetes import client, config
        except ImportError:
            raise ValueError(
                "hydra/launcher=kubernetes: make install EXTRA=kubernetes, or hydra.launcher.dry_run=true"
            ) from None
        try:
            if "KUBERNETES_SERVICE_HOST" in os.environ and not self.context:
                config.load_incluster_config()
            else:
                config.load_kube_config(os.environ.get("KUBECONFIG"), self.context or None)
        except (config.ConfigException, yaml.YAMLError) as error:
            reason = str(error).splitlines()[0]
            raise ValueError(
                f"hydra/launcher=kubernetes: no cluster is configured ({reason}): set KUBECONFIG, or"
                " hydra.launcher.dry_run=true"
            ) from None
        return client

    def submit(self, client: Client, job: Job, objects: list[Manifest]) -> None:
        """Make the Job, and the Service that goes with it when it goes."""
        made = self.ask(lambda: client.BatchV1Api().create_namespaced_job(self.namespace, objects[0]))
        name = objects[0]["metadata"]["name"]
        owner = {"apiVersion": "batch/v1", "kind": "Job", "name": name, "uid": made.metadata.uid}
        for service in objects[1:]:
            owned = service | {"metadata": service["metadata"] | {"ownerReferences": [owner]}}
            self.ask(partial(client.CoreV1Api().create_namespaced_service, self.namespace, owned))
        job.folder.mkdir(parents=True, exist_ok=True)
        runs.write_state(job.folder, job_id=name, status=runs.Status.SUBMITTED)
        log.info("job %d: submitted as %s", job.number, name)

    def under_way(self, client: Client, job: Job) -> bool:
        """Whether it was submitted before and has not failed."""
        name = job.state.get("job_id")
        if not name:
            return False
        found = self.ask(
            lambda: client.BatchV1Api().list_namespaced_job(
                self.namespace, field_selector=f"metadata.name={name}"
            )
        )
        for there in found.items:
            conditions = [one.type for one in there.status.conditions or [] if one.status == "True"]
            log.info("job %d: %s is %s", job.number, name, ", ".join(conditions) or "under way")
            return "Failed" not in conditions
        return False

    def ask(self, what: Callable[[], Any]) -> Any:
        """The answer of the cluster. Raises ValueError with what is wrong and what to do."""
        from kubernetes.client import ApiException
        from urllib3.exceptions import HTTPError

        try:
            return what()
        except ApiException as error:
            causes = {
                401: "no credentials, or old ones: log in to the cluster",
                403: f"not allowed in the namespace {self.namespace}",
                404: f"there is no namespace {self.namespace}",
            }
            cause, reason = causes.get(error.status, f"refused (status {error.status})"), error.body
        except HTTPError as error:
            cause, reason = "the cluster cannot be reached", str(error)
        raise ValueError(f"hydra/launcher=kubernetes: {cause} ({str(reason).splitlines()[0][:300]})")
