"""Answers on disk as they arrive: a file of JSON lines by key, so that work that was stopped goes on, and is never done twice."""

import hashlib
import json
import logging
import threading
from pathlib import Path
from typing import Any

log = logging.getLogger(__name__)


def key_of(*parts: Any) -> str:
    """Hex digest (24 digits) of what a prompt is made of."""
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:24]


class Kept:
    """Key -> answer. Adding is safe from several threads; a line that was cut off is left out when the file is read."""

    def __init__(self, path: Path) -> None:
        self.path, self.lock = path, threading.Lock()
        self.answers: dict[str, Any] = {}
        path.parent.mkdir(parents=True, exist_ok=True)
        content = path.read_bytes() if path.is_file() else b""
        for line in content.splitlines():
            try:
                record = json.loads(line)
                self.answers[record["key"]] = record["answer"]
            except (ValueError, TypeError, KeyError):
                log.warning("%s: a damaged line is left out", path)
        if content and not content.endswith(b"\n"):
            with path.open("ab") as file:
                file.write(b"\n")

    def __contains__(self, key: str) -> bool:
        return key in self.answers

    def get(self, key: str) -> Any:
        """The answer, or None."""
        return self.answers.get(key)

    def add(self, key: str, answer: Any, **more: Any) -> None:
        """Keep an answer, with whatever else is to be on record."""
        with self.lock:
            self.answers[key] = answer
            with self.path.open("a", encoding="utf-8") as file:
                file.write(json.dumps({"key": key, "answer": answer, **more}) + "\n")
