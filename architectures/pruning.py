"""Stop a job of a sweep that the others have left behind: the median rule of Golovin et al. 2017, https://doi.org/10.1145/3097983.3098043.

The jobs of a sweep write their records into folders side by side; a job compares its best validation so far with what the
others had reached by the same step.
"""

import json
import logging
import statistics
from pathlib import Path
from typing import Any

from lightning import Callback

log = logging.getLogger(__name__)
LEAST_OTHERS = 2  # jobs that must have got as far before one is stopped


class Pruning(Callback):
    """Ask the Trainer to stop if this job's best validation is worse than the median of the others'.

    Args:
        folder: of this job. monitor: the metric, as it is recorded. mode: min or max, what is better.
    """

    def __init__(self, folder: Path, monitor: str, mode: str) -> None:
        self.folder, self.monitor, self.best = folder, monitor, min if mode == "min" else max
        self.pruned = False

    def reached(self, folder: Path, step: int) -> float | None:
        """Best validation of a job up to a step; None if it has not been trained as far."""
        found = []
        for line in (folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines():
            record = json.loads(line) if line.endswith("}") else {}
            if self.monitor in record:
                found.append((record["step"], record[self.monitor]))
        if not found or max(at for at, _ in found) < step:
            return None
        return float(self.best(value for at, value in found if at <= step))

    def on_validation_end(self, trainer: Any, pl_module: Any) -> None:
        """Compare, in the process that writes the record; all stop together."""
        stop = False
        if trainer.is_global_zero and not trainer.sanity_checking:
            records = [path.parent for path in self.folder.parent.glob("*/metrics.jsonl")]
            step = self.last_step()
            others = [value for path in records if path != self.folder and (value := self.reached(path, step)) is not None]
            mine = self.reached(self.folder, step)
            if len(others) >= LEAST_OTHERS and mine is not None:
                middle = statistics.median(others)
                stop = self.best(mine, middle) != mine
                if stop:
                    log.warning("pruned at step %d: %s %.4f, and half of the other jobs had %.4f", step, self.monitor, mine, middle)
        if trainer.strategy.broadcast(stop):
            self.pruned = trainer.should_stop = True

    def last_step(self) -> int:
        """Step of this job's newest validation."""
        lines = (self.folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
        return max(json.loads(line)["step"] for line in lines if self.monitor in line)
