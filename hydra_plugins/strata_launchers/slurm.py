"""hydra/launcher=slurm: each job is one sbatch script, kept in its folder, that starts one task a GPU and
puts itself back in the queue.

Time limit: SLURM sends SIGUSR1 some minutes before; preemption: SIGTERM. The run saves and notes that it was
interrupted, upon which the script requeues the job, and the run goes on from its checkpoint. Lightning's own
requeueing is off.
"""

import logging
import os
import re
import shlex
import subprocess
import time
from pathlib import Path

from config import runs
from hydra_plugins.strata_launchers.jobs import ROOT, Job, JobLauncher

log = logging.getLogger("strata")
SCRIPT = "job.sh"
POLL = 5  # seconds between looks at the queue, where the launcher waits
# Environment variables that jobs get.
HANDED_ON = (
    "HF_HUB_OFFLINE",
    "HF_HOME",
    "MLFLOW_TRACKING_URI",
    "STRATA_PARENT_RUN",
)

MASTER_ADDRESS = (
    'export MASTER_ADDR="${MASTER_ADDR:-$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)}"'
)


class SlurmLauncher(JobLauncher):
    """Jobs as SLURM batch jobs.

    Args:
        partition, account, qos, constraint, time, memory: as sbatch takes them; empty: the cluster's default.
        nodes: machines a job. gpus_per_node: GPUs, and so tasks, on each; 0: tasks_per_node tasks without a
        GPU.
        cpus_per_task: cores a task. grace: seconds before the time limit at which the run is told to save.
        setup: shell lines before the run (modules, environments). python: the interpreter on the nodes.
        options: further '#SBATCH' options. dry_run: print the scripts, submit nothing. wait: return when all
        jobs have ended.
    """

    def __init__(
        self,
        partition: str,
        account: str,
        qos: str,
        constraint: str,
        time: str,
        memory: str,
        nodes: int,
        gpus_per_node: int,
        tasks_per_node: int,
        cpus_per_task: int,
        grace: int,
        setup: list[str],
        python: str,
        options: list[str],
        dry_run: bool,
        wait: bool,
    ) -> None:
        super().__init__()
        self.asked = {
            "partition": partition,
            "account": account,
            "qos": qos,
            "constraint": constraint,
            "time": time,
            "mem": memory,
        }
        self.nodes, self.gpus, self.tasks, self.cpus = (
            nodes,
            gpus_per_node,
            gpus_per_node or tasks_per_node,
            cpus_per_task,
        )
        self.grace, self.setup_lines, self.python, self.options = grace, setup, python, options
        self.dry_run, self.wait = dry_run, wait

    def script(self, job: Job) -> str:
        """The sbatch script of a job."""
        devices = [f"trainer.devices={self.tasks}", f"trainer.nodes={self.nodes}"]
        command = shlex.join([*job.command(self.python), *devices])
        handed = [
            f"export {name}={shlex.quote(os.environ[name])}" for name in HANDED_ON if name in os.environ
        ]
        state = shlex.quote(str(job.folder / runs.STATE_FILE))
        lines = ["#!/bin/bash", *self.directives(job), "", f"cd {shlex.quote(str(ROOT))}", *handed]
        lines += [*self.setup_lines, MASTER_ADDRESS, "export MASTER_PORT=$((20000 + SLURM_JOB_ID % 20000))"]
        lines += [f"srun --kill-on-bad-exit=1 {command}", "status=$?"]
        lines.append("# stopped and saved, or one of its tasks ran out of memory: it continues from there")
        lines.append(f"grep -q interrupted {state} && scontrol requeue $SLURM_JOB_ID")
        return "\n".join([*lines, 'exit "$status"', ""])

    def directives(self, job: Job) -> list[str]:
        """The lines of the script that sbatch reads."""
        asked: dict[str, object] = {name: value for name, value in self.asked.items() if value}
        asked |= {
            "job-name": f"strata-{job.number}-{job.experiment}",
            "nodes": self.nodes,
            "ntasks-per-node": self.tasks,
        }
        asked |= {"cpus-per-task": self.cpus, "output": f"{job.folder}/slurm-%j.out", "open-mode": "append"}
        asked |= {"gpus-per-node": self.gpus} if self.gpus else {}
        asked |= {"signal": f"USR1@{self.grace}"}
        lines = [f"#SBATCH --{name}={value}" for name, value in asked.items()] + ["#SBATCH --requeue"]
        return lines + [f"#SBATCH {option}" for option in self.options]

    def start(self, jobs: list[Job], sweep: Path) -> None:
        """Write the scripts and submit them, but for jobs that are in the queue already."""
        job_ids = [str(job.state.get("job_id", "")) for job in jobs]
        queued = [] if self.dry_run else self.queue(job_ids)
        submitted = []
        for job in jobs:
            if str(job.state.get("job_id")) in queued:
                log.info("job %d is in the queue already, as %s", job.number, job.state["job_id"])
                submitted.append(str(job.state["job_id"]))
                continue
            job.folder.mkdir(parents=True, exist_ok=True)
            path = job.folder / SCRIPT
            path.write_text(self.script(job), encoding="utf-8")
            if self.dry_run:
                print(f"# {path}\n{path.read_text(encoding='utf-8')}")
                continue
            number = self.submit(path)
            runs.write_state(job.folder, job_id=number, status=runs.Status.SUBMITTED)
            submitted.append(number)
            log.info(
                "job %d: submitted as %s; its output: %s",
                job.number,
                number,
                job.folder / f"slurm-{number}.out",
            )
        if submitted:
            print(f"status:  squeue --jobs={','.join(submitted)}    # or: sacct --jobs=...")
        while self.wait and self.queue(submitted):
            time.sleep(POLL)

    def submit(self, script: Path) -> str:
        """The id under which SLURM took a script. Raises ValueError, with SLURM's reason, if it did not."""
        try:
            done = subprocess.run(
                ["sbatch", "--parsable", str(script)], capture_output=True, text=True, check=False
            )
        except FileNotFoundError:
            raise ValueError(
                "hydra/launcher=slurm: there is no sbatch here; submit from a login node of the cluster"
            ) from None
        if done.returncode:
            raise ValueError(f"hydra/launcher=slurm: sbatch refused {script}: {done.stderr.strip()}")
        return re.split(r"[;\s]", done.stdout.strip())[0]

    def queue(self, ids: list[str]) -> list[str]:
        """Those of the ids that wait or run."""
        known = [number for number in ids if number]
        if not known:
            return []
        # all jobs, not --jobs=...: squeue fails as a whole if it has forgotten one of them
        done = subprocess.run(
            ["squeue", "--noheader", "--format=%i"], capture_output=True, text=True, check=False
        )
        return [number for number in known if number in done.stdout.split()]
