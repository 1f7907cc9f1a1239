"""Stop a job of a sweep that falls behind the others: the median rule of Golovin et al. 2017,
https://doi.org/10.1145/3097983.3098043.

The jobs of a sweep write their records into folders side by side. A job compares its best validation so far
with what the others had reached by the same step.
"""

import json
import logging
import statistics
from pathlib import Path

from lightning import Callback, LightningModule, Trainer

log = logging.getLogger(__name__)

MIN_OTHER_JOBS = 2  # that must have got as far before one is stopped
RECORD = "metrics.jsonl"


class SweepPruning(Callback):
    """Stop the Trainer if this job's best validation is worse than the median of the others'.

    Args:
        folder: of this job. monitor: the metric, as it is recorded. mode: min or max, whichever is better.
    """

    def __init__(self, folder: Path, monitor: str, mode: str) -> None:
        self.folder, self.monitor, self.best = folder, monitor, min if mode == "min" else max
        self.pruned = False

    def validations(self, folder: Path) -> list[tuple[int, float]]:
        """(step, metric) of each validation of a job; a line that is being written is skipped."""
        lines = (folder / RECORD).read_text(encoding="utf-8").splitlines()
        records = [json.loads(line) for line in lines if line.endswith("}")]
        return [(record["step"], record[self.monitor]) for record in records if self.monitor in record]

    def best_until(self, folder: Path, step: int) -> float | None:
        """Best validation of a job up to a step; None if the job has not got as far."""
        validations = self.validations(folder)
        if not validations or max(at for at, _ in validations) < step:
            return None
        return float(self.best(value for at, value in validations if at <= step))

    def is_behind(self) -> bool:
        """Whether this job's best validation is worse than the median of the others'."""
        folders = [path.parent for path in self.folder.parent.glob(f"*/{RECORD}")]
        step = max(at for at, _ in self.validations(self.folder))
        mine = self.best_until(self.folder, step)
        reached = [self.best_until(folder, step) for folder in folders if folder != self.folder]
        others = [value for value in reached if value is not None]
        if len(others) < MIN_OTHER_JOBS or mine is None:
            return False
        median = statistics.median(others)
        behind = self.best(mine, median) != mine
        if behind:
            message = "pruned at step %d: %s %.4f is worse than the other jobs' median, %.4f"
            log.warning(message, step, self.monitor, mine, median)
        return behind

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Compare, in the process that writes the record; all stop together."""
        compares = trainer.is_global_zero and not trainer.sanity_checking
        stop = compares and self.is_behind()
        if trainer.strategy.broadcast(stop):
            self.pruned = trainer.should_stop = True
