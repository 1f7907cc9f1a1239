"""How long each part of a program's start takes."""

import time
from itertools import pairwise


class StartupTimer:
    """Marks what was done, and when, since the process was created."""

    def __init__(self) -> None:
        import psutil

        self.marks = [("", psutil.Process().create_time()), ("imports", time.time())]

    def mark(self, name: str) -> None:
        """Note that ``name`` is done."""
        self.marks.append((name, time.time()))

    def summary(self) -> str:
        """'started in 3.1 s: imports 2.0, data 1.1'"""
        parts = [f"{name} {end - begin:.1f}" for (_, begin), (name, end) in pairwise(self.marks)]
        total = self.marks[-1][1] - self.marks[0][1]
        return f"started in {total:.1f} s: {', '.join(parts)}"
