"""The one owner of SIGTERM, SIGUSR1 and SIGINT. Needs no library."""

import logging
import signal
import threading
from types import FrameType

log = logging.getLogger(__name__)

HANDLED = (signal.SIGTERM, signal.SIGUSR1, signal.SIGINT)


class Interrupted(Exception):
    """The run stopped and can be resumed. ``together``: whether all of its processes stopped at the same
    step. ``saved``: whether a checkpoint of that step was written.
    """

    def __init__(self, reason: str, together: bool = True, saved: bool = True) -> None:
        super().__init__(reason)
        self.together, self.saved = together, saved


class Signals:
    """Outside of training a signal ends the run at once; within it, at the end of the current step, which
    is saved.
    """

    def __init__(self) -> None:
        self.received = 0
        self.waiting = False  # whether training will look at `received` before long

    def handle(self, number: int, frame: FrameType | None) -> None:
        """Remember the signal, or raise Interrupted; a second Ctrl-C does not wait."""
        is_second = self.received == signal.SIGINT == number
        self.received = number
        if is_second or not self.waiting:
            raise Interrupted(signal.Signals(number).name, saved=False)
        log.warning("%s: saving at the end of this step", signal.Signals(number).name)

    def listen(self) -> None:
        """Install the handlers."""
        if threading.current_thread() is threading.main_thread():
            for number in HANDLED:
                signal.signal(number, self.handle)
