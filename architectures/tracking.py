"""The run's record: first a plain local file, then MLflow, from a thread of its own and in batches.

The local record (metrics.jsonl) is the truth; a tracking server that is slow or down costs a warning and no training time.
This is the one module below the entry scripts that knows MLflow, and it imports it where it is used.
"""

import json
import logging
import math
import queue
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers import Logger
from lightning.pytorch.utilities import rank_zero_only

log = logging.getLogger(__name__)
SEND_EVERY = 5.0  # seconds between batches of metrics
PATIENCE = 60.0  # seconds that the end of a run waits for the server
Metrics = list[tuple[str, float, int, int]]  # name, value, time in ms, step
Job = Metrics | Callable[[Any], None] | None  # None ends the thread
LONGEST_PARAMETER = 250  # characters; the resolved YAML holds what is longer


def flat(tree: dict[str, Any], prefix: str = "") -> dict[str, str]:
    """Nested settings -> dotted names with short values."""
    pairs: dict[str, str] = {}
    for key, value in tree.items():
        if isinstance(value, dict):
            pairs |= flat(value, f"{prefix}{key}.")
        elif len(str(value)) <= LONGEST_PARAMETER:
            pairs[f"{prefix}{key}"] = str(value)
    return pairs


def experiment_id(client: Any, name: str, uri: str) -> str:
    """Find or make an experiment; the artifacts of a local database lie beside it, not in the working directory."""
    found = client.get_experiment_by_name(name)
    if found:
        return str(found.experiment_id)
    path = uri.removeprefix("sqlite:///")
    return str(client.create_experiment(name, None if path == uri else Path(path).resolve().with_name("mlartifacts").as_uri()))


class RunLogger(Logger):
    """Logs metrics to ``folder/metrics.jsonl`` and to an MLflow run.

    Args:
        uri: tracking server. experiment, run_name: of the MLflow run. parent: id of the run to stand under, or ''.
        tags: of the run. system_metrics: whether MLflow samples CPU, memory and GPU use.
    """

    def __init__(
        self, folder: Path, uri: str, experiment: str, run_name: str, parent: str, tags: dict[str, str], system_metrics: bool
    ) -> None:
        super().__init__()
        self.folder, self.uri, self.experiment, self.run_name = folder, uri, experiment, run_name
        self.tags = tags | ({"mlflow.parentRunId": parent} if parent else {})
        self.system_metrics = system_metrics
        self.run_id: str | None = None
        self.failed = False
        self.jobs: queue.Queue[Job] = queue.Queue()
        self.file = (folder / "metrics.jsonl").open("a", encoding="utf-8")
        self.thread = threading.Thread(target=self.work, name="tracking", daemon=True)
        self.thread.start()

    @property
    def name(self) -> str:
        """Name of the experiment."""
        return self.experiment

    @property
    def version(self) -> str | None:
        """Id of the MLflow run, once there is one."""
        return self.run_id

    @rank_zero_only
    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        """Write to the local record at once; the server gets it with the next batch."""
        now = time.time()
        values = {name: float(value) for name, value in metrics.items() if name != "epoch"}
        self.file.write(json.dumps({"step": step, "time": now, **values}) + "\n")
        self.file.flush()
        finite = {name: value for name, value in values.items() if math.isfinite(value)}
        self.jobs.put([(name, value, int(now * 1000), step or 0) for name, value in finite.items()])

    @rank_zero_only
    def log_hyperparams(self, params: Any, *args: Any, **kwargs: Any) -> None:
        """Parameters, by their dotted names."""

        def send(client: Any) -> None:
            from mlflow.entities import Param

            client.log_batch(self.run_id, params=[Param(name, value) for name, value in flat(params).items()])

        self.jobs.put(send)

    @rank_zero_only
    def log_artifact(self, path: Path, folder: str | None = None) -> None:
        """A file or a folder, under the artifact path ``folder``."""

        def send(client: Any) -> None:
            send_one = client.log_artifacts if path.is_dir() else client.log_artifact
            send_one(self.run_id, str(path), folder)

        self.jobs.put(send)

    @rank_zero_only
    def log_dataset(self, name: str, digest: str, source: str, rows: int) -> None:
        """The prepared data that the run used, by its digest."""

        def send(client: Any) -> None:
            from mlflow.entities import Dataset, DatasetInput

            profile = json.dumps({"num_rows": rows})
            dataset = Dataset(name, digest, "local", json.dumps({"uri": source}), None, profile)
            client.log_inputs(self.run_id, datasets=[DatasetInput(dataset, [])])

        self.jobs.put(send)

    def finalize(self, status: str) -> None:
        """Called by the Trainer after each of its loops; the run itself ends with `close`."""

    def close(self, status: str) -> None:
        """Send what is left, end the run with FINISHED, FAILED or KILLED, and say so if the server never took it."""

        def end(client: Any) -> None:
            client.set_terminated(self.run_id, status)

        self.jobs.put(end)
        self.jobs.put(None)
        self.thread.join(PATIENCE)
        self.file.close()
        if self.failed or self.thread.is_alive():
            log.warning("the tracking server %s did not take the whole run; its record is whole in %s", self.uri, self.folder)

    def work(self) -> None:
        """The thread: connect, start the run, then do jobs in order, metrics gathered into batches."""
        try:
            client = self.connect()
        except Exception as error:  # noqa: BLE001 - whatever the server does wrong must not stop training
            self.fail(error)
            return
        monitor = self.watch_system() if self.system_metrics else None
        jobs: list[Job] = []
        while None not in jobs:
            jobs = [self.jobs.get()]
            if isinstance(jobs[0], list) and self.jobs.empty():
                time.sleep(SEND_EVERY)
            while not self.jobs.empty():
                jobs.append(self.jobs.get())
            try:
                if None in jobs and monitor:
                    monitor.finish()
                self.send_metrics(client, [metric for job in jobs if isinstance(job, list) for metric in job])
                for job in jobs:
                    if callable(job):
                        job(client)
            except Exception as error:  # noqa: BLE001
                self.fail(error)

    def connect(self) -> Any:
        """Import MLflow, find or make the experiment, start the run."""
        from mlflow import MlflowClient

        for name in ("mlflow", "alembic"):  # after the import, which sets levels of its own
            logging.getLogger(name).setLevel(logging.WARNING)
        client = MlflowClient(self.uri)
        experiment = experiment_id(client, self.experiment, self.uri)
        self.run_id = client.create_run(experiment, run_name=self.run_name, tags=self.tags).info.run_id
        return client

    def watch_system(self) -> Any:
        """MLflow's own sampling of CPU, memory, disk, network and GPU."""
        from mlflow.system_metrics.system_metrics_monitor import SystemMetricsMonitor

        monitor = SystemMetricsMonitor(self.run_id, resume_logging=False, tracking_uri=self.uri)
        monitor.start()
        return monitor

    def send_metrics(self, client: Any, metrics: Metrics) -> None:
        """Metrics in as few requests as MLflow takes them (1,000 each)."""
        from mlflow.entities import Metric

        for start in range(0, len(metrics), 1000):
            client.log_batch(self.run_id, metrics=[Metric(*m) for m in metrics[start : start + 1000]])

    def fail(self, error: Exception) -> None:
        """Warn once; go on."""
        if not self.failed:
            log.warning("MLflow at %s: %s; the run goes on, its record is in %s", self.uri, str(error).splitlines()[0], self.folder)
        self.failed = True
