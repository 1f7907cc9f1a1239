"""Files that are complete or absent, and caches named by the content that they depend on."""

import hashlib
import json
import os
import shutil
import socket
from pathlib import Path
from types import ModuleType


def digest_of(*parts: object) -> str:  # any values that JSON can write, and paths
    """Hex digest (16 digits) of anything that JSON can write; a Path counts by the content of its file."""
    digest = hashlib.sha256()
    for part in parts:
        if isinstance(part, Path):
            with part.open("rb") as file:
                digest.update(hashlib.file_digest(file, "sha256").digest())
        else:
            digest.update(json.dumps(part, sort_keys=True, default=str).encode())
        digest.update(b"\0")
    return digest.hexdigest()[:16]


def source_files(*modules: ModuleType) -> list[Path]:
    """The files of modules, for digests of what their code decides."""
    return [Path(str(module.__file__)) for module in modules]


def write_json(path: Path, content: object) -> None:  # any value that JSON can write
    """Write a file that is complete at any time."""
    partial = path.with_name(f"{path.name}.partial")
    partial.write_text(json.dumps(content, indent=2, default=str) + "\n", encoding="utf-8")
    partial.replace(path)


class Cache:
    """A folder for one piece of prepared data. It is complete or absent: made under another name, renamed
    when done.
    """

    def __init__(self, root: Path, name: str, digest: str) -> None:
        self.path = root / f"{name}-{digest}"
        self.work = self.path.with_name(f"{self.path.name}.{socket.gethostname()}-{os.getpid()}.partial")

    @property
    def shared(self) -> Path:
        """A folder in which several processes, or several starts, work on it together."""
        return self.path.with_name(f"{self.path.name}.partitions")

    @property
    def ready(self) -> bool:
        """Whether the data is there."""
        return self.path.is_dir()

    def begin(self) -> Path:
        """An empty folder to write into."""
        shutil.rmtree(self.work, ignore_errors=True)
        self.work.mkdir(parents=True)
        return self.work

    def commit(self) -> None:
        """Give the finished folder its name; if another process was faster, its equal result stays."""
        try:
            self.work.rename(self.path)
        except OSError:
            if not self.ready:
                raise
            shutil.rmtree(self.work)
