"""This process among those of a run: its rank as a launcher has numbered it, and how it ends."""

import logging
import os
import sys
from collections.abc import Callable

from architectures.training.signals import Interrupted, Signals

log = logging.getLogger("strata")
RANKS = ("RANK", "SLURM_PROCID", "LOCAL_RANK")  # environment variables of launchers


def is_first_process() -> bool:
    """Whether this process is the one that writes and prints."""
    ranks = [os.environ[name] for name in RANKS if name in os.environ]
    return not ranks or int(ranks[0]) == 0


def is_alone() -> bool:
    """Whether no launcher has numbered this process."""
    return not any(name in os.environ for name in RANKS)


def _end_children() -> None:
    """End the processes that this one has started: they would wait for it."""
    import psutil

    for child in psutil.Process().children():
        child.kill()


def run_until_done(task: Callable[[Signals], None]) -> None:
    """Run a task; a user's mistake ends the process with one message and status 1, being told to stop with
    status 75.
    """
    signals = Signals()
    signals.listen()
    try:
        task(signals)
    except Interrupted as reason:
        where = "there" if reason.saved else "the last checkpoint, or from the start if there is none"
        log.warning("stopped (%s); the same command with resume=auto continues from %s", reason, where)
        if not reason.together:
            _end_children()
        # the first process watches the others, and takes a status of theirs for a failure; which it is, if
        # they stop alone
        sys.exit(os.EX_TEMPFAIL if is_first_process() or not reason.together else 0)
    except Exception as error:
        _end_children()
        if os.environ.get("HYDRA_FULL_ERROR") or not isinstance(error, ValueError):
            raise
        sys.exit(f"error: {error}")
