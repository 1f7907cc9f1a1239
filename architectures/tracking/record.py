"""The local record of a run, which is the truth: metrics, and orders for the tracking server, as JSON lines.

A tracking server that is slow, down or gone costs a warning and no training time; it receives what it lacks
later.
"""

import json
import os
import threading
import time
from pathlib import Path

from architectures.values import JsonObject

METRICS_FILE, TRACKING_FILE = "metrics.jsonl", "tracking.jsonl"
NOT_METRICS = ("step", "time")
Order = JsonObject  # what the server is to do: the key "do", and plain values


def read_records(path: Path) -> list[JsonObject]:
    """The records of a file. A last line that was being written when its process was killed is cut off the
    file.
    """
    if not path.is_file():
        return []
    content = path.read_bytes()
    end = content.rfind(b"\n") + 1
    if end < len(content):
        os.truncate(path, end)
    return [json.loads(line) for line in content[:end].splitlines()]


class Record:
    """Metrics and orders of a run. In a folder that has a record already, that one continues.

    changed: is notified when there is an order; it is also the lock of all that a thread may change.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self.changed = folder, threading.Condition()
        self.metrics = read_records(folder / METRICS_FILE)
        self.orders: list[Order] = read_records(folder / TRACKING_FILE)
        self.begun = self.metrics[0]["time"] if self.metrics else time.time()
        self.rewound = 0  # times that metrics were forgotten
        self.file = (folder / METRICS_FILE).open("a", encoding="utf-8")

    def add_metrics(self, metrics: dict[str, float], step: int | None) -> None:
        """Write a line at once."""
        values = {name: float(value) for name, value in metrics.items() if name != "epoch"}
        line = {"step": step, "time": time.time(), **values}
        with self.changed:
            self.metrics.append(line)
            self.file.write(json.dumps(line) + "\n")
            self.file.flush()

    def add_order(self, order: Order) -> None:
        """Write down what the server is to do; following an order twice does no harm."""
        with self.changed:
            self.orders.append(order)
            with (self.folder / TRACKING_FILE).open("a", encoding="utf-8") as file:
                file.write(json.dumps(order) + "\n")
            self.changed.notify()

    def rewind(self, lines: int) -> None:
        """Forget the metrics after the first ``lines``: those that were recorded after the checkpoint of a
        resumed run.
        """
        with self.changed:
            self.file.close()
            self.metrics = self.metrics[:lines]
            partial = self.folder / f"{METRICS_FILE}.partial"
            content = [json.dumps(line) + "\n" for line in self.metrics]
            partial.write_text("".join(content), encoding="utf-8")
            partial.replace(self.folder / METRICS_FILE)
            self.file = (self.folder / METRICS_FILE).open("a", encoding="utf-8")
            self.rewound += 1

    def close(self) -> None:
        """Close the file."""
        self.file.close()
