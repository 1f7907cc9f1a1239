"""hydra/launcher=local: the jobs of a sweep on this machine, one after the other, or one on each GPU.

A job that fails does not end the others. One that was told to stop, or ran out of memory beside other
processes, is started again; Ctrl-C or SIGTERM stops the sweep, and the same command goes on with it.
"""

import logging
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter, deque
from pathlib import Path

from config import runs
from hydra_plugins.strata_launchers.jobs import ROOT, Job, JobLauncher, write_ledger

log = logging.getLogger("strata")
POLL = 0.5  # seconds between looks at the jobs


def gpus() -> list[str]:
    """The GPUs that this process may use."""
    told = os.environ.get("CUDA_VISIBLE_DEVICES")
    if told is not None:
        return [name for name in told.split(",") if name]
    if not shutil.which("nvidia-smi"):
        return []
    listed = subprocess.run(
        ["nvidia-smi", "--query-gpu=index", "--format=csv,noheader"],
        capture_output=True,
        text=True,
        check=False,
    )
    return listed.stdout.split()


class LocalLauncher(JobLauncher):
    """Jobs as processes of this machine.

    Args:
        parallel: jobs at once; 0: one for each GPU, and one where there is none. restarts: times that a job
        which can go on is
            started again.
    """

    def __init__(self, parallel: int, restarts: int) -> None:
        super().__init__()
        self.parallel, self.restarts = parallel, restarts
        self.stopped = 0

    def places(self, job: Job) -> list[dict[str, str]]:
        """What tells jobs that run at once apart: each gets as many GPUs as it has processes."""
        there, each = gpus(), int(job.config.trainer.devices) or 1
        shares = [there[i : i + each] for i in range(0, len(there) - each + 1, each)]
        if len(shares) < 2 and self.parallel < 2:
            return [{}]
        given = [{"CUDA_VISIBLE_DEVICES": ",".join(share)} for share in shares] or [{}]
        return [given[i % len(given)] for i in range(self.parallel or len(given))]

    def start(self, jobs: list[Job], sweep: Path) -> None:
        """Run all of them."""
        if not jobs:
            return
        places = deque(self.places(jobs[0]))
        quiet = len(places) > 1
        waiting, tries = deque(jobs), Counter[int]()
        running: dict[int, tuple[subprocess.Popen[bytes], Job, dict[str, str]]] = {}

        def stop(number: int, frame: object) -> None:
            self.stopped = number
            for process, _, _ in running.values():
                process.send_signal(signal.SIGTERM)

        before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            while running or (waiting and not self.stopped):
                while waiting and places and not self.stopped:
                    job, place = waiting.popleft(), places.popleft()
                    running[job.number] = (self.begin(job, place, quiet), job, place)
                time.sleep(POLL)
                for process, job, place in list(running.values()):
                    if process.poll() is None:
                        continue
                    del running[job.number]
                    places.append(place)
                    if self.goes_on(job, process.returncode, tries):
                        waiting.appendleft(job)
                    write_ledger(sweep, jobs)
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
        if self.stopped:
            log.warning("the sweep was stopped; the same command goes on with it")
            sys.exit(os.EX_TEMPFAIL)

    def goes_on(self, job: Job, status: int, tries: "Counter[int]") -> bool:
        """Whether a job that ended with an exit status is started again; if it failed, record that.

        Args:
            tries: restarts of each job so far, to which this one is added.
        """
        interrupted = runs.Status.INTERRUPTED
        again = status == os.EX_TEMPFAIL or (status != 0 and job.state.get("status") == interrupted)
        if again and not self.stopped and tries[job.number] < self.restarts:
            tries[job.number] += 1
            return True
        if status:
            outcome = interrupted if again else runs.Status.FAILED
            runs.write_state(job.folder, status=outcome, exit=status)
            log.warning("job %d %s (status %d): %s", job.number, outcome, status, job.folder)
        return False

    def begin(self, job: Job, place: dict[str, str], quiet: bool) -> "subprocess.Popen[bytes]":
        """Start a job; of several at once each writes into its own folder."""
        job.folder.mkdir(parents=True, exist_ok=True)
        log.info("job %d: %s", job.number, " ".join(job.overrides))
        if not quiet:
            return subprocess.Popen(job.command(), cwd=ROOT, env=os.environ | place)
        log.info("  its output: %s", job.folder / "output.txt")
        with (job.folder / "output.txt").open("ab") as out:
            return subprocess.Popen(job.command(), cwd=ROOT, env=os.environ | place, stdout=out, stderr=out)
