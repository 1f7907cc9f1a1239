"""Answers on disk as they arrive: JSON lines by key, so that interrupted work continues and nothing is
computed twice.
"""

import hashlib
import json
import logging
import threading
from pathlib import Path

from architectures.values import Json, JsonObject

log = logging.getLogger(__name__)


def cache_key(*parts: object) -> str:  # any values that JSON can write
    """Hex digest (24 digits) of the values that an answer depends on."""
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:24]


class AnswerCache:
    """Key -> answer. Adding is safe from several threads; a line that was cut off is skipped when the file
    is read.
    """

    def __init__(self, path: Path) -> None:
        self.path, self.lock = path, threading.Lock()
        self.answers: JsonObject = {}
        path.parent.mkdir(parents=True, exist_ok=True)
        content = path.read_bytes() if path.is_file() else b""
        for line in content.splitlines():
            try:
                record = json.loads(line)
                self.answers[record["key"]] = record["answer"]
            except (ValueError, TypeError, KeyError):
                log.warning("%s: a damaged line is skipped", path)
        if content and not content.endswith(b"\n"):
            with path.open("ab") as file:
                file.write(b"\n")

    def __contains__(self, key: str) -> bool:
        return key in self.answers

    def get(self, key: str) -> Json:
        """The answer, or None."""
        return self.answers.get(key)

    def add(self, key: str, answer: str | list[int], **details: int) -> None:
        """Store an answer, with details for the record."""
        record = {"key": key, "answer": answer, **details}
        with self.lock:
            self.answers[key] = answer
            with self.path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(record) + "\n")
