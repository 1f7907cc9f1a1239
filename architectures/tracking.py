"""The run's record: first plain local files, then MLflow, from a thread of its own and in batches.

metrics.jsonl and tracking.jsonl are the truth. A tracking server that is slow, down or gone costs a warning and no training time;
when it is back it gets what it lacks, each figure once. `python -m architectures.tracking FOLDER` gives it what a run that is
over could not. This is the one module below the entry scripts that knows MLflow, and it imports it where it is used.
"""

import json
import logging
import math
import os
import sys
import threading
import time
import uuid
from pathlib import Path
from typing import Any

from lightning.fabric.utilities.rank_zero import _get_rank
from lightning.pytorch.loggers import Logger
from lightning.pytorch.utilities import rank_zero_only

from architectures.registry import safe

log = logging.getLogger(__name__)
SEND_EVERY = 5.0  # seconds between batches of metrics
SAMPLE_EVERY = 10.0  # seconds between samples of the machine's use
LONGEST_PAUSE = 60.0  # seconds between tries to reach a server that fails
PATIENCE = 60.0  # seconds that the end of a run waits for the server
LONGEST_PARAMETER = 250  # characters; the resolved YAML holds what is longer
MOST_METRICS, MOST_PARAMETERS = 1000, 100  # that MLflow takes in one request
METRICS_FILE, TRACKING_FILE = "metrics.jsonl", "tracking.jsonl"
KEY = "strata.run"  # tag by which a run is found whose id never arrived
NOT_METRICS = ("step", "time")


def flat(tree: dict[str, Any], prefix: str = "") -> dict[str, str]:
    """Nested settings -> dotted names with short values."""
    pairs: dict[str, str] = {}
    for key, value in tree.items():
        if isinstance(value, dict):
            pairs |= flat(value, f"{prefix}{key}.")
        elif len(str(value)) <= LONGEST_PARAMETER:
            pairs[f"{prefix}{key}"] = str(value)
    return pairs


def client_of(uri: str) -> Any:
    """A client that gives up on a request after seconds rather than minutes."""
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "10")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    from mlflow import MlflowClient

    for name in ("mlflow", "alembic"):  # after the import, which sets levels of its own
        logging.getLogger(name).setLevel(logging.WARNING)
    return MlflowClient(uri)


def experiment_id(client: Any, name: str, uri: str) -> str:
    """Find or make an experiment; the artifacts of a local database lie beside it, not in the working directory."""
    found = client.get_experiment_by_name(name)
    if found:
        return str(found.experiment_id)
    path = uri.removeprefix("sqlite:///")
    return str(client.create_experiment(name, None if path == uri else Path(path).resolve().with_name("mlartifacts").as_uri()))


def dataset_input(name: str, digest: str, source: str, rows: int) -> Any:
    """Prepared data, by its digest, as MLflow takes it."""
    from mlflow.entities import Dataset, DatasetInput

    profile = json.dumps({"num_rows": rows})
    return DatasetInput(Dataset(name, digest, "local", json.dumps({"uri": source}), None, profile), [])


def start_parent(uri: str, experiment: str, name: str, command: str) -> str:
    """The run under which the jobs of a sweep stand: the one of that name, else a new one. Its id; '' where the server fails."""
    try:
        client = client_of(uri)
        place = experiment_id(client, experiment, uri)
        found = client.search_runs([place], f"tags.`{KEY}` = '{name}'")
        return str((found[0] if found else client.create_run(place, run_name=name, tags={KEY: name, "command": command})).info.run_id)
    except Exception as error:  # noqa: BLE001 - whatever the server does wrong must not stop training
        log.warning("MLflow at %s: %s; the jobs stand without a common parent", safe(uri), safe(error).splitlines()[0])
        return ""


def end_parent(uri: str, run_id: str, artifacts: list[Path]) -> None:
    """Close a sweep's run, with what it gave."""
    try:
        client = client_of(uri)
        for path in artifacts:
            client.log_artifact(run_id, str(path))
        client.set_terminated(run_id, "FINISHED")
    except Exception as error:  # noqa: BLE001
        log.warning("MLflow at %s: %s; the sweep's results are in %s", safe(uri), safe(error).splitlines()[0], artifacts[0].parent)


def read_lines(path: Path) -> list[dict[str, Any]]:
    """The records of a file; a last line that was being written when its process was killed is cut off the file."""
    if not path.is_file():
        return []
    content = path.read_bytes()
    end = content.rfind(b"\n") + 1
    if end < len(content):
        os.truncate(path, end)
    return [json.loads(line) for line in content[:end].splitlines()]


class RunLogger(Logger):
    """Logs metrics to ``folder/metrics.jsonl`` and to an MLflow run. In a folder that has a record already, that one goes on.

    Args:
        uri: tracking server. experiment, run_name: of the MLflow run. parent: id of the run to stand under, or ''.
        tags: of the run. system_metrics: whether use of CPU, memory and GPU is sampled. replaying: whether nothing new will come.
    """

    def __init__(
        self,
        folder: Path,
        uri: str,
        experiment: str,
        run_name: str,
        parent: str,
        tags: dict[str, str],
        system_metrics: bool,
        replaying: bool = False,
    ) -> None:
        super().__init__()
        self.folder, self.uri, self.experiment, self.run_name = folder, uri, experiment, run_name
        self.tags = tags | ({"mlflow.parentRunId": parent} if parent else {})
        self.run_id: str | None = None
        self.failed = False
        self.lock, self.closing = threading.Condition(), False
        self.known: dict[str, set[int]] = {}  # metric -> steps that the server has, of those that matter
        self.uncertain = False  # whether the server may have figures that this process does not know of
        self.sent = self.done = self.rewound = 0  # records and orders that the server has got; how often the record was rewound
        self.active = _get_rank() in (None, 0)
        if self.active:
            self.records, self.orders = read_lines(folder / METRICS_FILE), read_lines(folder / TRACKING_FILE)
            self.start = self.records[0]["time"] if self.records else time.time()
            self.begin(replaying)
            self.file = (folder / METRICS_FILE).open("a", encoding="utf-8")
            self.system_metrics = system_metrics
            self.thread = threading.Thread(target=self.work, name="tracking", daemon=True)
            self.thread.start()

    def begin(self, replaying: bool) -> None:
        """Find this run's key, and its id if the server ever gave one. What was ordered before is done again: it does no harm."""
        begun = [order for order in self.orders if order.get("uri") == safe(self.uri)]
        known = {name: order[name] for order in begun for name in ("key", "run_id") if name in order}
        self.run_id = known.get("run_id") or os.environ.get("MLFLOW_RUN_ID")  # the second is set where a platform has begun the run
        self.key = known.get("key") or uuid.uuid4().hex
        if "key" in known:
            self.uncertain = True
            if not replaying:
                self.order({"do": "resume"})
        else:
            self.order(
                {
                    "do": "run",
                    "key": self.key,
                    "uri": safe(self.uri),
                    "experiment": self.experiment,
                    "name": self.run_name,
                    "tags": self.tags,
                }
            )

    @property
    def name(self) -> str:
        """Name of the experiment."""
        return self.experiment

    @property
    def version(self) -> str | None:
        """Id of the MLflow run, once there is one."""
        return self.run_id

    # --- the local record: -------------------------------------------------------------------------------------------

    @property
    def recorded(self) -> int:
        """Lines of metrics.jsonl."""
        return len(self.records) if self.active else 0

    def rewind(self, recorded: int) -> None:
        """Forget what was recorded after the checkpoint from which the run goes on, which held ``recorded`` lines."""
        if not self.active:
            return
        with self.lock:
            self.file.close()
            self.records = self.records[:recorded]
            part = self.folder / f"{METRICS_FILE}.partial"
            part.write_text("".join(json.dumps(record) + "\n" for record in self.records), encoding="utf-8")
            part.replace(self.folder / METRICS_FILE)
            self.file = (self.folder / METRICS_FILE).open("a", encoding="utf-8")
            self.sent, self.known, self.uncertain, self.rewound = 0, {}, True, self.rewound + 1

    @rank_zero_only
    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        """Write to the local record at once; the server gets it with the next batch."""
        record = {"step": step, "time": time.time(), **{name: float(value) for name, value in metrics.items() if name != "epoch"}}
        with self.lock:
            self.records.append(record)
            self.file.write(json.dumps(record) + "\n")
            self.file.flush()

    def order(self, order: dict[str, Any]) -> None:
        """Write down what the server is to do; following an order twice does no harm."""
        with self.lock:
            self.orders.append(order)
            with (self.folder / TRACKING_FILE).open("a", encoding="utf-8") as file:
                file.write(json.dumps(order) + "\n")
            self.lock.notify()

    @rank_zero_only
    def log_hyperparams(self, params: Any, *args: Any, **kwargs: Any) -> None:
        """Parameters, by their dotted names."""
        self.order({"do": "params", "values": flat(params)})

    @rank_zero_only
    def log_artifact(self, path: Path, folder: str | None = None) -> None:
        """A file or a folder, under the artifact path ``folder``."""
        self.order({"do": "artifact", "path": str(path.resolve()), "folder": folder})

    @rank_zero_only
    def log_dataset(self, name: str, digest: str, source: str, rows: int) -> None:
        """The prepared data that the run used, by its digest."""
        self.order({"do": "dataset", "name": name, "digest": digest, "source": source, "rows": rows})

    def finalize(self, status: str) -> None:
        """Called by the Trainer after each of its loops; the run itself ends with `close`."""

    @rank_zero_only
    def close(self, status: str) -> None:
        """Send what is left, end the run with FINISHED, FAILED or KILLED, and say so if the server never took it."""
        self.order({"do": "end", "status": status})
        with self.lock:
            self.closing = True
            self.lock.notify()
        self.thread.join(PATIENCE)
        self.file.close()
        if self.thread.is_alive() or not self.complete:
            again = f"python -m architectures.tracking {self.folder}"
            log.warning("the tracking server %s has not got the whole run; its record is whole in %s; send it with: %s",
                        safe(self.uri), self.folder, again)  # fmt: skip

    # --- the server: -------------------------------------------------------------------------------------------------

    @property
    def complete(self) -> bool:
        """Whether the server has got all there is."""
        return self.sent == len(self.records) and self.done == len(self.orders)

    def work(self) -> None:
        """The thread: send what is new, again and again; after a failure wait, longer each time, connect anew and compare."""
        client: Any = None
        monitor: Any = None
        sampled = pause = 0.0
        while True:
            last_try = self.closing
            try:
                if client is None:
                    client = self.connect()
                if self.system_metrics and not self.closing and time.monotonic() - sampled > SAMPLE_EVERY:
                    monitor, sampled = monitor or self.monitor(), time.monotonic()
                    self.sample(monitor)
                self.send(client)
                pause = 0.0
            except Exception as error:  # noqa: BLE001 - whatever the server does wrong must not stop training
                self.fail(error)
                client, self.known, self.uncertain, pause = None, {}, True, min(2 * pause or 1.0, LONGEST_PAUSE)
            with self.lock:
                if self.closing and (self.complete or (pause and last_try)):
                    return
                if not self.closing:
                    self.lock.wait(pause or SEND_EVERY)

    def connect(self) -> Any:
        """Find or make the experiment, go on with the run or start it."""
        client = client_of(self.uri)
        if self.run_id is None:
            experiment = experiment_id(client, self.experiment, self.uri)
            made = client.search_runs([experiment], f"tags.`{KEY}` = '{self.key}'")
            run = made[0] if made else client.create_run(experiment, run_name=self.run_name, tags={**self.tags, KEY: self.key})
            self.run_id = run.info.run_id
            self.order({"do": "run", "key": self.key, "run_id": self.run_id, "uri": safe(self.uri)})
        if client.get_run(self.run_id).info.status != "RUNNING":
            client.update_run(self.run_id, status="RUNNING")
        return client

    def send(self, client: Any) -> None:
        """All that the server has not got: metrics first, then orders."""
        from mlflow.entities import Metric

        with self.lock:
            records, orders = self.records[self.sent :], self.orders[self.done :]
            count, rewound = len(self.records), self.rewound
        names = {name for record in records for name in record} - {*NOT_METRICS}
        for name in names - self.known.keys():
            self.known[name] = {metric.step for metric in client.get_metric_history(self.run_id, name)} if self.uncertain else set()
        metrics = [
            Metric(name, record[name], int(record["time"] * 1000), record["step"] or 0)
            for record in records
            for name in record
            if name not in NOT_METRICS and math.isfinite(record[name]) and (record["step"] or 0) not in self.known[name]
        ]
        for start in range(0, len(metrics), MOST_METRICS):
            client.log_batch(self.run_id, metrics=metrics[start : start + MOST_METRICS])
        with self.lock:
            if rewound == self.rewound:
                self.sent = count
        for order in orders:
            if order["do"] != "end" or {"do": "resume"} not in self.orders[self.done :]:  # else it ended an attempt, not the run
                self.follow(client, order)
            self.done += 1

    def follow(self, client: Any, order: dict[str, Any]) -> None:
        """Have the server do what was ordered."""
        from mlflow.entities import Param

        if order["do"] == "params":
            params = [Param(name, value) for name, value in order["values"].items()]
            there = client.get_run(self.run_id).data.params
            params = [param for param in params if param.key not in there]  # a resumed run may have other, free settings
            for start in range(0, len(params), MOST_PARAMETERS):
                client.log_batch(self.run_id, params=params[start : start + MOST_PARAMETERS])
        elif order["do"] == "artifact" and Path(order["path"]).exists():
            send_one = client.log_artifacts if Path(order["path"]).is_dir() else client.log_artifact
            send_one(self.run_id, order["path"], order["folder"])
        elif order["do"] == "dataset":
            client.log_inputs(self.run_id, datasets=[dataset_input(order["name"], order["digest"], order["source"], order["rows"])])
        elif order["do"] == "end":
            client.set_terminated(self.run_id, order["status"])

    def monitor(self) -> Any:
        """MLflow's own sensors of CPU, memory, disk, network and GPU."""
        from mlflow.system_metrics.system_metrics_monitor import SystemMetricsMonitor

        return SystemMetricsMonitor(self.run_id, tracking_uri=self.uri)

    def sample(self, monitor: Any) -> None:
        """One sample into the record; its step is the second of the run."""
        monitor.collect_metrics()
        values = {f"system/{name}": value for name, value in monitor.aggregate_metrics().items()}
        for sensor in monitor.monitors:
            sensor.clear_metrics()
        self.log_metrics(values, step=int(time.time() - self.start))

    def fail(self, error: Exception) -> None:
        """Warn once; go on."""
        if not self.failed:
            log.warning("MLflow at %s: %s; the run goes on, its record is in %s", safe(self.uri), safe(error).splitlines()[0], self.folder)
        self.failed = True


def replay(folder: Path) -> bool:
    """Give the server what the record of a run holds and it lacks; whether it now has all. Raises ValueError without a record."""
    made = next((order for order in read_lines(folder / TRACKING_FILE) if "uri" in order), None)
    if made is None:
        raise ValueError(f"{folder} holds no record of a run (there is no {folder / TRACKING_FILE})")
    uri = os.environ.get("MLFLOW_TRACKING_URI", "") if "***@" in made["uri"] else made["uri"]
    if safe(uri) != made["uri"]:
        raise ValueError(f"{folder} was sent to {made['uri']}: set MLFLOW_TRACKING_URI to that address, with its user and password")
    logger = RunLogger(folder, uri, made["experiment"], made["name"], "", made["tags"], system_metrics=False, replaying=True)
    with logger.lock:
        logger.closing = True
        logger.lock.notify()
    logger.thread.join()
    logger.file.close()
    log.info("%s: the server %s %s (run %s)", folder, made["uri"], "has all" if logger.complete else "still lacks some", logger.run_id)
    return logger.complete


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    sys.exit(0 if all(replay(Path(one)) for one in sys.argv[1:]) else 1)
