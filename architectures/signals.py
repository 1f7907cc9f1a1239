"""The one owner of SIGTERM, SIGUSR1 and SIGINT, and what a run that was told to stop ends with. Needs no library."""

import logging
import signal
import threading
from typing import Any

log = logging.getLogger(__name__)
RESUME_ME = 75  # exit status of a run that was told to stop and can go on (EX_TEMPFAIL of sysexits.h)
ASKED = (signal.SIGTERM, signal.SIGUSR1, signal.SIGINT)


class Interrupted(Exception):
    """Something made the run stop; it can be resumed. ``together``: whether all of its processes have stopped, at the same step."""

    def __init__(self, reason: str, together: bool = True) -> None:
        super().__init__(reason)
        self.together = together


class Signals:
    """Outside of training a signal ends the run at once; within it, at the end of the step under way, which is saved."""

    def __init__(self) -> None:
        self.received = 0
        self.waiting = False  # whether training will look at `received` before long

    def handle(self, number: int, frame: Any) -> None:
        """Remember the signal, or raise Interrupted; a second Ctrl-C does not wait."""
        again = self.received == signal.SIGINT == number
        self.received = number
        if again or not self.waiting:
            raise Interrupted(signal.Signals(number).name)
        log.warning("%s: saving at the end of this step", signal.Signals(number).name)

    def listen(self) -> None:
        """Take the signals from whoever had them."""
        if threading.current_thread() is threading.main_thread():
            for number in ASKED:
                signal.signal(number, self.handle)
