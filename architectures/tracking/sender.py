"""The thread that sends a run's record to its MLflow run, in batches; after a failure it waits, connects
anew and compares.
"""

import logging
import math
import os
import threading
import time
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from architectures.tracking.locations import redact
from architectures.tracking.mlflow_server import RUN_TAG, dataset_input, experiment_id, mlflow_client
from architectures.tracking.record import NOT_METRICS, Order, Record
from architectures.values import JsonObject

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Metric

log = logging.getLogger(__name__)

SEND_EVERY = 5.0  # seconds between batches of metrics
SAMPLE_EVERY = 10.0  # seconds between samples of the machine's use
MAX_PAUSE = 60.0  # seconds between attempts to reach a server that fails
PATIENCE = 60.0  # seconds that the end of a run waits for the server
MAX_METRICS, MAX_PARAMETERS = 1000, 100  # that MLflow takes in one request


@dataclass(frozen=True)
class RunTarget:
    """Where a run is recorded: the server, the experiment, the run's name and tags."""

    uri: str
    experiment: str
    name: str
    tags: dict[str, str]


class Sender:
    """Sends a record.

    Args:
        system_metrics: sample the use of CPU, memory and GPU. replaying: nothing new will be recorded.
    """

    def __init__(self, record: Record, target: RunTarget, system_metrics: bool, replaying: bool) -> None:
        self.record, self.target, self.system_metrics = record, target, system_metrics
        self.failed = self.closing = False
        self.steps_there: dict[
            str, set[int]
        ] = {}  # metric -> steps that the server has, of those that matter
        self.uncertain = False  # whether the server may have metrics that this process does not know of
        self.sent = self.done = self.rewound = 0  # metrics and orders sent; state of the record's counter
        self.identify(replaying)
        self.thread = threading.Thread(target=self.work, name="tracking", daemon=True)

    def identify(self, replaying: bool) -> None:
        """Find this run's key, and its id if the server ever gave one. Earlier orders are followed again:
        that does no harm.
        """
        address = redact(self.target.uri)
        earlier = [order for order in self.record.orders if order.get("uri") == address]
        known = {name: order[name] for order in earlier for name in ("key", "run_id") if name in order}
        # empty until the server has given one; some platforms set the variable
        self.run_id = str(known.get("run_id") or os.environ.get("MLFLOW_RUN_ID", ""))
        self.key = known.get("key") or uuid.uuid4().hex
        if "key" in known:
            self.uncertain = True
            if not replaying:
                self.record.add_order({"do": "resume"})
            return
        target = {"experiment": self.target.experiment, "name": self.target.name, "tags": self.target.tags}
        self.record.add_order({"do": "run", "key": self.key, "uri": address, **target})

    @property
    def complete(self) -> bool:
        """Whether the server has all of the record."""
        return self.sent == len(self.record.metrics) and self.done == len(self.record.orders)

    def start(self) -> None:
        """Begin to send, unless it has begun. MLflow takes seconds to import, which would delay a model that
        loads meanwhile.
        """
        if self.thread.ident is None:
            self.thread.start()

    def finish(self, patience: float | None) -> bool:
        """Send what is left, for at most ``patience`` seconds; whether the server has everything now."""
        self.start()
        with self.record.changed:
            self.closing = True
            self.record.changed.notify()
        self.thread.join(patience)
        return not self.thread.is_alive() and self.complete

    def work(self) -> None:
        """The thread: send what is new, again and again."""
        client: MlflowClient | None = None
        monitor: Any = None  # MLflow's, imported late
        sampled = pause = 0.0
        while True:
            last_attempt = self.closing
            try:
                client = client or self.connect()
                if self.system_metrics and not self.closing and time.monotonic() - sampled > SAMPLE_EVERY:
                    monitor, sampled = monitor or self.system_monitor(), time.monotonic()
                    self.sample(monitor)
                self.send(client)
                pause = 0.0
            except Exception as error:  # noqa: BLE001 - a server error must not stop training
                self.warn_once(error)
                client, self.steps_there, self.uncertain = None, {}, True
                pause = min(2 * pause or 1.0, MAX_PAUSE)
            with self.record.changed:
                if self.closing and (self.complete or (pause and last_attempt)):
                    return
                if not self.closing:
                    self.record.changed.wait(pause or SEND_EVERY)

    def connect(self) -> "MlflowClient":
        """Find or make the experiment; continue the run or start it."""
        target = self.target
        client = mlflow_client(target.uri)
        if not self.run_id:
            experiment = experiment_id(client, target.experiment, target.uri)
            there = client.search_runs([experiment], f"tags.`{RUN_TAG}` = '{self.key}'")
            tags = {**target.tags, RUN_TAG: self.key}
            run = there[0] if there else client.create_run(experiment, run_name=target.name, tags=tags)
            self.run_id = str(run.info.run_id)
            known = {"key": self.key, "run_id": self.run_id, "uri": redact(target.uri)}
            self.record.add_order({"do": "run", **known})
        if client.get_run(self.run_id).info.status != "RUNNING":
            client.update_run(self.run_id, status="RUNNING")
        return client

    def send(self, client: "MlflowClient") -> None:
        """Send all that the server lacks: metrics first, then orders."""
        with self.record.changed:
            if self.rewound != self.record.rewound:
                self.rewound, self.sent = self.record.rewound, 0
                self.steps_there, self.uncertain = {}, True
            lines, orders = self.record.metrics[self.sent :], self.record.orders[self.done :]
            count = len(self.record.metrics)
        metrics = self.new_metrics(client, lines)
        for start in range(0, len(metrics), MAX_METRICS):
            client.log_batch(self.run_id, metrics=metrics[start : start + MAX_METRICS])
        with self.record.changed:
            if self.rewound == self.record.rewound:
                self.sent = count
        for order in orders:
            # an end before a resume ended an attempt, not the run
            if order["do"] != "end" or {"do": "resume"} not in self.record.orders[self.done :]:
                self.follow(client, order)
            self.done += 1

    def new_metrics(self, client: "MlflowClient", lines: list[JsonObject]) -> "list[Metric]":
        """The finite metrics of some lines that the server does not have."""
        from mlflow.entities import Metric

        names = {name for line in lines for name in line} - {*NOT_METRICS}
        for name in names - self.steps_there.keys():
            history = client.get_metric_history(self.run_id, name) if self.uncertain else []
            self.steps_there[name] = {metric.step for metric in history}
        metrics = []
        for line in lines:
            step, at = line["step"] or 0, int(line["time"] * 1000)
            for name in names & line.keys():
                if math.isfinite(line[name]) and step not in self.steps_there[name]:
                    metrics.append(Metric(name, line[name], at, step))
        return metrics

    def follow(self, client: "MlflowClient", order: Order) -> None:
        """Have the server follow an order."""
        if order["do"] == "params":
            self.send_parameters(client, order["values"])
        elif order["do"] == "artifact" and Path(order["path"]).exists():
            send = client.log_artifacts if Path(order["path"]).is_dir() else client.log_artifact
            send(self.run_id, order["path"], order["folder"])
        elif order["do"] == "dataset":
            dataset = dataset_input(order["name"], order["digest"], order["source"], order["rows"])
            client.log_inputs(self.run_id, datasets=[dataset])
        elif order["do"] == "tag":
            client.set_tag(self.run_id, order["key"], order["value"])
        elif order["do"] == "end":
            client.set_terminated(self.run_id, order["status"])

    def send_parameters(self, client: "MlflowClient", values: dict[str, str]) -> None:
        """Parameters that the server lacks; a resumed run may have other settings that do not decide the
        result.
        """
        from mlflow.entities import Param

        there = client.get_run(self.run_id).data.params
        params = [Param(name, value) for name, value in values.items() if name not in there]
        for start in range(0, len(params), MAX_PARAMETERS):
            client.log_batch(self.run_id, params=params[start : start + MAX_PARAMETERS])

    def system_monitor(self) -> Any:  # MLflow's monitor, imported late
        """MLflow's own sensors of CPU, memory, disk, network and GPU."""
        from mlflow.system_metrics.system_metrics_monitor import SystemMetricsMonitor

        return SystemMetricsMonitor(self.run_id, tracking_uri=self.target.uri)

    def sample(self, monitor: Any) -> None:  # MLflow's monitor, imported late
        """One sample into the record; its step is the second of the run."""
        monitor.collect_metrics()
        values = {f"system/{name}": value for name, value in monitor.aggregate_metrics().items()}
        for sensor in monitor.monitors:
            sensor.clear_metrics()
        self.record.add_metrics(values, int(time.time() - self.record.begun))

    def warn_once(self, error: Exception) -> None:
        """Warn of the first failure."""
        if not self.failed:
            reason, folder = redact(error).splitlines()[0], self.record.folder
            address = redact(self.target.uri)
            log.warning("MLflow at %s: %s; the run continues, its record is in %s", address, reason, folder)
        self.failed = True
