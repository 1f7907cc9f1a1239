"""Lightning's logger: first plain local files, then MLflow, from a thread of its own and in batches.

`python -m architectures.tracking FOLDER` sends later what could not be sent during a run.
"""

import logging
import os
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path

from lightning.pytorch.loggers import Logger
from lightning.pytorch.utilities import rank_zero_only

from architectures.compatibility.lightning import is_first_process
from architectures.tracking import sender
from architectures.tracking.locations import redact
from architectures.tracking.mlflow_server import flatten_settings
from architectures.tracking.other_loggers import OtherLoggers
from architectures.tracking.record import TRACKING_FILE, Record, read_records
from architectures.tracking.sender import RunTarget, Sender
from architectures.values import Settings

log = logging.getLogger(__name__)


class RunLogger(Logger):
    """Logs metrics to ``folder/metrics.jsonl`` and to an MLflow run. In a folder that has a record already,
    that one continues.

    Args:
        uri: tracking server. experiment, run_name: of the MLflow run. parent: id of the run to be nested
        under, or ''.
        tags: of the run. system_metrics: sample the use of CPU, memory and GPU. also: names of
        `architectures.tracking.other_loggers`.
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
        also: Sequence[str] = (),
    ) -> None:
        super().__init__()
        self.folder, self.experiment = folder, experiment
        if parent:
            tags = tags | {"mlflow.parentRunId": parent}
        self.target = RunTarget(uri, experiment, run_name, tags)
        self.record: Record | None = None
        self.sender: Sender | None = None
        self.others: OtherLoggers | None = None
        if is_first_process():
            self.record = Record(folder)
            self.sender = Sender(self.record, self.target, system_metrics, replaying=False)
            self.others = OtherLoggers(list(also), folder, experiment, run_name)

    @property
    def name(self) -> str:
        """Name of the experiment."""
        return self.experiment

    @property
    def version(self) -> str | None:
        """Id of the MLflow run, once there is one."""
        return self.run_id

    @property
    def run_id(self) -> str | None:
        """Id of the MLflow run, once there is one."""
        return self.sender.run_id or None if self.sender else None

    @property
    def recorded(self) -> int:
        """Lines of metrics.jsonl."""
        return len(self.record.metrics) if self.record else 0

    def begin(self, recorded: int) -> None:
        """Begin to send the record, less what was recorded after the checkpoint from which the run is
        resumed, which held ``recorded`` lines.
        """
        if self.record and self.sender:
            self.record.rewind(recorded)
            self.sender.start()

    def order(self, do: str, **values: object) -> None:  # plain values that JSON can write
        """Have the server do something, now or as soon as it can be reached."""
        if self.record:
            self.record.add_order({"do": do, **values})

    @rank_zero_only
    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        """Write to the local record at once; the server receives it with the next batch."""
        if self.record and self.sender:
            self.record.add_metrics(metrics, step)
            self.sender.start()
        if self.others:
            self.others.forward("log_metrics", metrics, step)

    @rank_zero_only
    def log_hyperparams(self, params: Settings | Namespace, *args: object, **kwargs: object) -> None:
        """Parameters, by their dotted names."""
        values = flatten_settings(params if isinstance(params, dict) else vars(params))
        self.order("params", values=values)
        if self.others:
            self.others.forward("log_hyperparams", values)

    @rank_zero_only
    def log_artifact(self, path: Path, folder: str | None = None) -> None:
        """A file or a folder, under the artifact path ``folder``."""
        self.order("artifact", path=str(path.resolve()), folder=folder)

    @rank_zero_only
    def log_tag(self, key: str, value: str) -> None:
        """A tag of the run."""
        self.order("tag", key=key, value=value)

    @rank_zero_only
    def log_dataset(self, name: str, digest: str, source: str, rows: int) -> None:
        """The prepared data that the run used, by its digest."""
        self.order("dataset", name=name, digest=digest, source=source, rows=rows)

    def finalize(self, status: str) -> None:
        """Called by the Trainer after each of its loops; the run itself ends with `close`."""

    @rank_zero_only
    def close(self, status: str) -> None:
        """Send what is left, end the run with FINISHED, FAILED or KILLED, and warn if the server lacks a
        part of it.
        """
        if self.record is None or self.sender is None or self.others is None:
            return
        self.others.close("success" if status == "FINISHED" else "failed")
        self.order("end", status=status)
        complete = self.sender.finish(sender.PATIENCE)
        self.record.close()
        if not complete:
            log.warning(
                "the tracking server %s has not received the whole run; its record in %s is"
" complete; send it with:"
                " python -m architectures.tracking %s",
                redact(self.target.uri), self.folder, self.folder,
            )  # fmt: skip


def replay(folder: Path) -> bool:
    """Send the server what it lacks of a run's record; whether it has everything now. Raises ValueError
    without a record.
    """
    orders = [order for order in read_records(folder / TRACKING_FILE) if "uri" in order]
    if not orders:
        raise ValueError(f"{folder} holds no record of a run (there is no {folder / TRACKING_FILE})")
    first = orders[0]
    has_password = "***@" in first["uri"]
    uri = os.environ.get("MLFLOW_TRACKING_URI", "") if has_password else first["uri"]
    if redact(uri) != first["uri"]:
        raise ValueError(
            f"{folder} was sent to {first['uri']}: set MLFLOW_TRACKING_URI to that address, with"
            f" its user and password"
        )
    record = Record(folder)
    target = RunTarget(uri, first["experiment"], first["name"], first["tags"])
    thread = Sender(record, target, system_metrics=False, replaying=True)
    complete = thread.finish(None)
    record.close()
    state = "has everything" if complete else "still lacks a part"
    log.info("%s: the server %s %s (run %s)", folder, first["uri"], state, thread.run_id)
    return complete
