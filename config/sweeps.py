"""A sweep: its name, which the same command gives again, its folder, and the ledger of its jobs."""

import json
import logging
import re
import shlex
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from config import runs
from config.schema import TrainConfig
from config.schema.fields import Values

log = logging.getLogger("strata")

NAME_VARIABLE, PARENT_VARIABLE = "STRATA_SWEEP", "STRATA_PARENT_RUN"  # environment variables of the jobs
LEDGER = "ledger.json"
# Where and how many, not which jobs.
PLACEMENT = (
    "hydra/launcher",
    "hydra.launcher",
    "hydra.sweeper.n_trials",
    "-",
)


@dataclass(frozen=True)
class Sweep:
    """A sweep that a command line describes."""

    name: str
    outputs: Path
    command: str
    has_own_parent: bool  # a workspace nests its jobs itself; a dry run has none

    @property
    def folder(self) -> Path:
        """Where its jobs have their folders."""
        return self.outputs / "sweeps" / self.name

    @classmethod
    def of(cls, arguments: list[str], config: TrainConfig) -> "Sweep":
        """The sweep of a command line, whose outputs folder is made.

        The same command has the same sweep, unless resume=never.

        Args:
            config: of its first job.
        """
        pairs = [argument.partition("=") for argument in arguments]
        given = {key.lstrip("+"): value.strip("'\"") for key, _, value in pairs}
        decisive = sorted(argument for argument in arguments if not argument.startswith(PLACEMENT))
        anew = datetime.now().strftime("_%Y-%m-%d_%H-%M-%S") if given.get("resume") == "never" else ""
        experiments = re.sub(r"[^a-z0-9-]+", "_", given.get("experiment", "none"))
        digest = runs.digest({"arguments": decisive})[:8]
        elsewhere = given.get("hydra/launcher") in ("azureml", "kubernetes")
        outputs = Path(config.outputs)
        outputs.mkdir(parents=True, exist_ok=True)
        return cls(
            name=f"{experiments}-{digest}{anew}",
            outputs=outputs,
            command=f"python train.py {shlex.join(arguments)}",
            has_own_parent=elsewhere or given.get("hydra.launcher.dry_run") == "true",
        )

    def jobs(self) -> list[Values]:
        """The ledger: number, status, folder and overrides of each job."""
        path = self.folder / LEDGER
        return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else []


def unfinished(jobs: list[Values]) -> list[Values]:
    """The jobs that are not finished, each with a warning."""
    left = [job for job in jobs if job["status"] != runs.Status.FINISHED]
    for job in left:
        log.warning(
            "job %d is not finished (%s): %s", job["number"], job["status"] or "not started", job["folder"]
        )
    return left
