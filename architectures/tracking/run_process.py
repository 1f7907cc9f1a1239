"""A command of this project as a process of its own, with its output in a file: started, watched, stopped."""

import os
import signal
import subprocess
import sys
from pathlib import Path

SHOWN = 20_000  # bytes of output that are shown


class RunProcess:
    """At most one command at a time.

    Args:
        root: of the project. log: file of the output.
    """

    def __init__(self, root: Path, log: Path) -> None:
        self.root, self.log = root, log
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def is_running(self) -> bool:
        """Whether the command has not ended."""
        return self.process is not None and self.process.poll() is None

    def start(self, arguments: list[str]) -> None:
        """Start ``python ARGUMENTS`` in the root. Raises ValueError while another command runs."""
        if self.is_running:
            raise ValueError("A command is running: wait for its end, or stop it.")
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, *arguments],
                cwd=self.root,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**os.environ, "PYTHONUNBUFFERED": "1"},
                start_new_session=True,
            )

    def stop(self) -> None:
        """Ask the command to end, as Ctrl-C does: a run in training saves, and can be resumed."""
        if self.process and self.is_running:
            self.process.send_signal(signal.SIGINT)

    @property
    def status(self) -> str:
        """In words."""
        if self.process is None:
            return "nothing was started"
        if self.is_running:
            return "running"
        return "ended" if self.process.returncode == 0 else f"ended with status {self.process.returncode}"

    def output(self) -> str:
        """The end of what the command has printed, of a progress bar its last state."""
        if self.process is None:
            return ""
        with self.log.open("rb") as file:
            file.seek(max(0, self.log.stat().st_size - SHOWN))
            text = file.read().decode("utf-8", "replace")
        lines = []
        for line in text.replace("\r\n", "\n").split("\n"):
            lines.append(line.rstrip("\r").rpartition("\r")[2])
        return "\n".join(lines).strip()
