"""Lightning's own loggers beside the record of a run: CSV files, TensorBoard, Weights & Biases,
Comet.

They get what the MLflow run gets: parameters and metrics. One that fails is left out from then on, with a
warning, so that an outage never stops training.
"""

import hashlib
import logging
from pathlib import Path

from lightning.pytorch.loggers import CometLogger, CSVLogger, Logger, TensorBoardLogger, WandbLogger

log = logging.getLogger(__name__)

# Methods that end a service's record of a run, which Lightning leaves to the end of the process.
ENDS = {"wandb": "finish", "comet": "end"}


def _build(name: str, folder: Path, project: str, run_name: str) -> Logger:
    """One logger. A resumed run goes on in the run that the service has of it, and in CSV files of its own,
    since the logger replaces those that are there.

    Args:
        name: csv, tensorboard, wandb or comet. folder: of the run; local files go to ``folder/name``.
    """
    if name == "csv":
        attempt = len(list(folder.glob("csv*"))) + 1
        return CSVLogger(folder, name="", version="csv" if attempt == 1 else f"csv_{attempt}")
    if name == "tensorboard":
        return TensorBoardLogger(folder, name="", version="tensorboard", default_hp_metric=False)
    own_folder = folder / name
    own_folder.mkdir(exist_ok=True)
    if name == "comet":
        key = hashlib.sha256(folder.name.encode()).hexdigest()[:40]
        return CometLogger(
            project=project,
            experiment_key=key,
            mode="get_or_create",
            name=run_name,
            offline_directory=str(own_folder),
        )
    return WandbLogger(run_name, save_dir=own_folder, id=folder.name, project=project, resume="allow")


class OtherLoggers:
    """Loggers that get what the run's record gets.

    Args:
        names: of `tracking.also`. folder: of the run. project: the experiment. run_name: of the run.
    """

    def __init__(self, names: list[str], folder: Path, project: str, run_name: str) -> None:
        self._loggers: dict[str, Logger] = {}
        for name in names:
            try:
                self._loggers[name] = _build(name, folder, project, run_name)
            except Exception as error:  # noqa: BLE001 - a logger must not stop training
                self._leave_out(name, error)

    def forward(self, method: str, *values: object) -> None:
        """Call a method of all loggers."""
        for name, logger in list(self._loggers.items()):
            try:
                getattr(logger, method)(*values)
            except Exception as error:  # noqa: BLE001 - an outage must not stop training
                self._leave_out(name, error)

    def close(self, status: str) -> None:
        """End the runs, so that the next run of this process gets one of its own."""
        self.forward("finalize", status)
        for name, logger in self._loggers.items():
            try:
                if name in ENDS:
                    getattr(logger.experiment, ENDS[name])()  # type: ignore[attr-defined]  # all of these have it
            except Exception as error:  # noqa: BLE001 - an outage must not stop training
                self._warn(name, error)

    def _leave_out(self, name: str, error: Exception) -> None:
        """From now on nothing is sent to a logger."""
        self._loggers.pop(name, None)
        self._warn(name, error)

    @staticmethod
    def _warn(name: str, error: Exception) -> None:
        """Say which logger failed, and why."""
        lines = str(error).splitlines() or [type(error).__name__]
        log.warning("tracking.also: %s: %s; the run continues without it", name, lines[0])
