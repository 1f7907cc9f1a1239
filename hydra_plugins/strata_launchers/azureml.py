"""hydra/launcher=azureml: the jobs of a sweep as command jobs of an AzureML workspace, several of them under
one pipeline job.

Each runs the tracked files of this checkout in the environment of environment.yml, with one process a GPU,
keeps its run's folder in a datastore (so that a job whose machine was taken away goes on), and records in the
workspace's own MLflow.
"""

import logging
import os
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import Any

from config import runs
from config.compatibility import job_of_node
from hydra_plugins.strata_launchers.jobs import ROOT, Job, JobLauncher, pairs_of

log = logging.getLogger("strata")
YAML_FILE = "job.yml"
Node = Any  # a node or job of azure.ai.ml, which has no types
Client = Any  # of azure.ai.ml, as above
OVER = ("Completed", "Failed", "Canceled", "NotResponding")  # states of a job that does nothing any more


def snapshot(target: Path) -> Path:
    """A copy of the tracked files as they are now."""
    shutil.rmtree(target, ignore_errors=True)
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False
    ).stdout.split("\0")
    names = [name for name in listed if name and (ROOT / name).is_file()]
    if not names:
        raise ValueError(
            f"hydra/launcher=azureml sends the files that git tracks, and there are none in {ROOT}"
        )
    for name in names:
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, target / name)
    return target


class AzureLauncher(JobLauncher):
    """Jobs as command jobs.

    Args:
        subscription, resource_group, workspace: where; empty: AZURE_SUBSCRIPTION_ID, AZURE_RESOURCE_GROUP,
        AZURE_WORKSPACE.
        compute: name of the cluster. nodes: machines a job. gpus_per_node: processes on each. image: base
        image of the environment.
        inputs: KEY=URI: a file or (with a final '/') a folder that is mounted, and the key of the
        configuration that names it.
        datastore: that keeps the runs' folders. variables: NAME=VALUE, in the jobs' environment.
        setup: shell commands before the run. shm_size: of the containers.
        experiment: in the workspace. dry_run: write the YAML that `az ml job create -f` takes, submit
        nothing.
    """

    def __init__(
        self,
        subscription: str,
        resource_group: str,
        workspace: str,
        compute: str,
        nodes: int,
        gpus_per_node: int,
        image: str,
        inputs: list[str],
        datastore: str,
        variables: list[str],
        setup: list[str],
        shm_size: str,
        experiment: str,
        dry_run: bool,
    ) -> None:
        super().__init__()
        self.place = {"subscription_id": subscription or os.environ.get("AZURE_SUBSCRIPTION_ID", "")}
        self.place |= {"resource_group_name": resource_group or os.environ.get("AZURE_RESOURCE_GROUP", "")}
        self.place |= {"workspace_name": workspace or os.environ.get("AZURE_WORKSPACE", "")}
        self.compute, self.nodes, self.gpus, self.image = compute, nodes, gpus_per_node, image
        self.inputs = pairs_of("azureml", "inputs", inputs)
        self.variables = pairs_of("azureml", "variables", variables)
        self.datastore = datastore
        self.setup_lines, self.shm_size, self.experiment, self.dry_run = setup, shm_size, experiment, dry_run

    def node(self, job: Job, code: Path) -> Node:
        """The command job of a job."""
        from azure.ai.ml import Input, Output, command
        from azure.ai.ml.entities import Environment

        names = {key: key.replace(".", "_") for key in self.inputs}
        given = [f"{key}=${{{{inputs.{name}}}}}" for key, name in names.items()]
        parts = [
            *job.command("python"),
            *given,
            f"trainer.devices={self.gpus}",
            f"trainer.nodes={self.nodes}",
        ]
        words = []
        for part in parts:
            if not part.startswith("hydra.run.dir="):
                words.append(part if "${{" in part else shlex.quote(part))
        line = " ".join(words)
        folder = (
            f"azureml://datastores/{self.datastore}/paths/strata/{job.folder.parent.name}/{job.folder.name}"
        )
        return command(
            code=str(code),
            command=" && ".join([*self.setup_lines, f'{line} "hydra.run.dir=${{{{outputs.run}}}}"']),
            environment=Environment(conda_file=str(ROOT / "environment.yml"), image=self.image),
            compute=self.compute,
            instance_count=self.nodes,
            distribution={"type": "pytorch", "process_count_per_instance": self.gpus},
            display_name=f"{job.number} {job.experiment}",
            experiment_name=self.experiment,
            environment_variables=self.variables,
            inputs={
                name: Input(type=kind(self.inputs[key]), path=self.inputs[key]) for key, name in names.items()
            },
            outputs={"run": Output(type="uri_folder", mode="rw_mount", path=folder)},
            shm_size=self.shm_size,
        )

    def start(self, jobs: list[Job], sweep: Path) -> None:
        """Submit what is not under way: one job as it is, several as the steps of a pipeline, which do not
        wait for one another.
        """
        client = None if self.dry_run else self.client()
        jobs = [job for job in jobs if client is None or not self.under_way(client, job)]
        if not jobs:
            return
        sweep.mkdir(parents=True, exist_ok=True)
        code = snapshot(sweep / "code")
        whole = self.whole(jobs, code, sweep.name)
        (sweep / YAML_FILE).unlink(missing_ok=True)
        whole.dump(str(sweep / YAML_FILE))
        if client is None:
            print(f"written:  az ml job create -f {sweep / YAML_FILE}    # {len(jobs)} jobs")
            return
        made = self.ask(lambda: client.jobs.create_or_update(whole))
        for job in jobs:
            job.folder.mkdir(parents=True, exist_ok=True)
            runs.write_state(job.folder, job_id=made.name, status=runs.Status.SUBMITTED)
        print(f"submitted:  {made.studio_url}\nstatus:  az ml job show --name {made.name}")

    def whole(self, jobs: list[Job], code: Path, name: str) -> Node:
        """What is submitted."""
        from azure.ai.ml.entities import PipelineJob, PipelineJobSettings

        nodes = {f"job_{job.number}": self.node(job, code) for job in jobs}
        if len(nodes) == 1:
            return job_of_node(next(iter(nodes.values())))
        settings = PipelineJobSettings(continue_on_step_failure=True)
        return PipelineJob(
            jobs=nodes, display_name=f"sweep {name}", experiment_name=self.experiment, settings=settings
        )

    def client(self) -> Client:
        """A client of the workspace, in which the compute exists. Raises ValueError."""
        lacking = [name for name, value in {**self.place, "compute": self.compute}.items() if not value]
        if lacking:
            raise ValueError(
                f"hydra/launcher=azureml: not told {', '.join(lacking)}: set them in"
                f" hydra.launcher, or dry_run=true"
            )
        from azure.ai.ml import MLClient
        from azure.identity import DefaultAzureCredential

        client = self.ask(lambda: MLClient(DefaultAzureCredential(), **self.place))
        self.ask(lambda: client.compute.get(self.compute))
        return client

    def under_way(self, client: Client, job: Job) -> bool:
        """Whether it was submitted before and has not ended."""
        name = job.state.get("job_id")
        if not name:
            return False
        status = self.ask(lambda: client.jobs.get(name)).status
        log.info("job %d: %s is %s", job.number, name, status)
        return status not in OVER

    def ask(self, what: Any) -> Any:
        """The answer of the service. Raises ValueError with what is wrong and what to do."""
        from azure.core.exceptions import (
            ClientAuthenticationError,
            HttpResponseError,
            ResourceNotFoundError,
            ServiceRequestError,
        )

        try:
            return what()
        except (HttpResponseError, ServiceRequestError) as error:
            cause, failure = "the service cannot be reached", error
            if isinstance(error, ClientAuthenticationError):
                cause = (
                    "no credentials: `az login`, or set AZURE_CLIENT_ID, AZURE_TENANT_ID and"
                    " AZURE_CLIENT_SECRET"
                )
            elif isinstance(error, ResourceNotFoundError):
                cause = f"not found; is compute={self.compute} in workspace {self.place['workspace_name']}?"
            elif isinstance(error, HttpResponseError):
                busy = error.status_code == 429
                cause = (
                    "throttled, try again later: what is submitted stays"
                    if busy
                    else f"refused (status {error.status_code})"
                )
        raise ValueError(f"hydra/launcher=azureml: {cause} ({str(failure).splitlines()[0]})")


def kind(uri: str) -> str:
    """The type of an input."""
    return "uri_folder" if uri.endswith("/") else "uri_file"
