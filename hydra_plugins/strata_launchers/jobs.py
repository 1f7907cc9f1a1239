"""What all launchers share: which command a job is, the folder that stays its own, and the ledger of a sweep.

A job that is finished is not started again: the same command, typed a second time, runs what is left.
"""

import json
import logging
import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra.core.utils import JobReturn, JobStatus, filter_overrides
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf

from config import runs, schema, sweeps

log = logging.getLogger("strata")
ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Job:
    """One run of a sweep. ``digest``: of what decides its result; ``folder``: where it keeps all it makes."""

    number: int
    overrides: list[str]
    experiment: str
    digest: str
    folder: Path
    config: DictConfig

    def command(self, python: str = sys.executable) -> list[str]:
        """What is run, from the project's root; started again it goes on (resume=never has given the sweep
        a new folder).
        """
        settings = [override for override in self.overrides if not override.startswith("resume=")]
        return [
            python,
            "train.py",
            *settings,
            f"hydra.run.dir='{self.folder}'",
            "hydra.mode=RUN",
            "resume=auto",
        ]

    @property
    def state(self) -> dict[str, Any]:
        """What its folder says of it."""
        return runs.read_state(self.folder)

    @property
    def finished(self) -> bool:
        """Whether there is nothing left to do."""
        return self.state.get("status") == runs.Status.FINISHED


def pairs_of(launcher: str, setting: str, texts: list[str]) -> dict[str, str]:
    """The names and values of a launcher's list of NAME=VALUE. Ends the program with one error for a text
    without a name or an equals sign.
    """
    pairs = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not (name and equals):
            sys.exit(
                f"error: hydra/launcher={launcher}: hydra.launcher.{setting}: {text!r} is not NAME=VALUE"
            )
        pairs[name] = value
    return pairs


def write_ledger(sweep: Path, jobs: Sequence[Job]) -> None:
    """Set down where each job stands; those that an earlier call wrote stay."""
    path = sweep / sweeps.LEDGER
    rows = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else []
    known = {row["number"]: row for row in rows}
    for job in jobs:
        state = {
            name: job.state.get(name) for name in ("status", "metric", "pruned", "run_id", "exit", "job_id")
        }
        overrides = shlex.join(job.overrides)
        known[job.number] = {
            "number": job.number,
            "config": job.digest,
            **state,
            "folder": str(job.folder),
            "overrides": overrides,
        }
    sweep.mkdir(parents=True, exist_ok=True)
    runs.write_json(path, [known[number] for number in sorted(known)])


class JobLauncher(Launcher):
    """Starts each job as a process somewhere; what that means is for `start` to say."""

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Called by Hydra before anything else."""
        self.hydra_context, self.config = hydra_context, config

    def job(self, number: int, overrides: list[str]) -> Job:
        """The job of that number."""
        config = self.hydra_context.config_loader.load_sweep_config(self.config, overrides)
        OmegaConf.set_readonly(config, False)
        OmegaConf.set_struct(config, False)
        sweep = Path(config.hydra.sweep.dir).resolve()
        del config["hydra"]
        digest = runs.digest(runs.identity(schema.typed(config)))
        folder = sweep / f"{number}_{config.experiment}_{digest[:8]}"
        return Job(number, list(filter_overrides(overrides)), str(config.experiment), digest, folder, config)

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Start what is not finished; one result for each job."""
        jobs = [self.job(initial_job_idx + i, list(overrides)) for i, overrides in enumerate(job_overrides)]
        sweep = jobs[0].folder.parent
        left = [job for job in jobs if not job.finished]
        if len(left) < len(jobs):
            log.info(
                "%d of %d jobs are finished already; resume=never runs them anew",
                len(jobs) - len(left),
                len(jobs),
            )
        try:
            self.start(left, sweep)
        except ValueError as error:
            sys.exit(f"error: {error}")
        finally:
            write_ledger(sweep, jobs)
        return [self.returned(job) for job in jobs]

    def start(self, jobs: list[Job], sweep: Path) -> None:
        """Start the jobs."""
        raise NotImplementedError

    def returned(self, job: Job) -> JobReturn:
        """The job's result as a sweeper wants it: the best of the validation metric that it was to watch.

        A search must be told of a failure, which its JobReturn raises; Hydra's own sweeper would end at it,
        so it gets nothing.
        """
        result = JobReturn(
            overrides=job.overrides, cfg=job.config, working_dir=str(job.folder), status=JobStatus.COMPLETED
        )
        result.return_value = job.state.get("metric") if job.finished else None
        if not job.finished and self.config.hydra.sweeper.get("direction"):
            result.status = JobStatus.FAILED
            result.return_value = RuntimeError(f"job {job.number} is not finished: {job.folder}")
        return result
