"""Checkpoint files that are whole or absent: written under another name, synced, sealed with a digest, and
only then renamed.

A checkpoint is a zip file, as torch writes it; the digest stands in the comment that ends a zip file, so that
torch reads it too.
"""

import hashlib
import logging
import os
from pathlib import Path

import torch
from lightning.fabric.plugins import CheckpointIO

from architectures.values import State

log = logging.getLogger(__name__)

MARK = b"sha256:"

SEAL = len(MARK) + 64  # bytes of the comment

COMMENT_LENGTH = 2  # bytes at the end of a zip file without comment that tell how long it is

PREFIX = "step-"  # of the files that a run is resumed from


def _seal(path: Path) -> None:
    """Put the digest of all that is before it into the comment of a zip file, and bring it onto the disk."""
    with path.open("r+b") as file:
        file.seek(-COMMENT_LENGTH, os.SEEK_END)
        file.write(SEAL.to_bytes(COMMENT_LENGTH, "little"))
        file.seek(0)
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        file.seek(0, os.SEEK_END)
        file.write(MARK + digest.encode())
        file.flush()
        os.fsync(file.fileno())


def is_intact(path: Path) -> bool:
    """Whether the file is the one that was written."""
    try:
        with path.open("rb") as file:
            file.seek(-SEAL, os.SEEK_END)
            size, found = file.tell(), file.read()
            file.seek(0)
            told = hashlib.sha256()
            while size > 0 and (block := file.read(min(size, 1 << 22))):
                told.update(block)
                size -= len(block)
    except OSError:
        return False
    return found == MARK + told.hexdigest().encode()


def write_checkpoint(content: object, path: Path) -> None:
    """Write a checkpoint; what stood there before stays until the new one is whole. Raises ValueError if
    that fails.
    """
    part = path.with_name(f"{path.name}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        torch.save(content, part)
        _seal(part)
        part.replace(path)
        folder = os.open(path.parent, os.O_RDONLY)
        os.fsync(folder)
        os.close(folder)
    except (OSError, RuntimeError) as error:
        part.unlink(missing_ok=True)
        cause = str(error).splitlines()[0]
        raise ValueError(
            f"the checkpoint {path} could not be written ({cause}); those before it are untouched: "
            "make room on that disk, then start the same command again with resume=auto"
        ) from None


def read_checkpoint(path: Path) -> State:
    """Read a checkpoint: plain types and tensors, on the CPU. Raises ValueError if it is not the one that
    was written.
    """
    if not is_intact(path):
        raise ValueError(
            f"ckpt={path} is not a checkpoint of this project, or is damaged: its digest does not fit"
        )
    return torch.load(path, map_location="cpu", weights_only=True)


def newest_intact(folder: Path) -> Path | None:
    """The newest checkpoint to resume from; a damaged one is named and passed over."""
    for path in sorted(folder.glob(f"{PREFIX}*.ckpt"), reverse=True):
        if is_intact(path):
            return path
        log.warning("the checkpoint %s is damaged; taking the one before", path)
    return None


class AtomicCheckpointIO(CheckpointIO):
    """What the Trainer writes and reads checkpoints with."""

    def save_checkpoint(self, checkpoint: State, path: str | Path, storage_options: object = None) -> None:
        """As `write`."""
        write_checkpoint(checkpoint, Path(path))

    def load_checkpoint(
        self, path: str | Path, map_location: object = None, weights_only: bool | None = None
    ) -> State:
        """As `read`."""
        return read_checkpoint(Path(path))

    def remove_checkpoint(self, path: str | Path) -> None:
        """Delete the file."""
        Path(path).unlink(missing_ok=True)
