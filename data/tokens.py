"""Prepared data on disk, named by content hash, and the batches made of it.

A position in the data is (seed, epoch, batch): `Batches` hands out the same rows in the same order whoever asks, however
often it was interrupted, and gives its position as a plain dictionary.
"""

import hashlib
import json
import logging
import random
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Self

import torch

from data.prompts import Example

log = logging.getLogger(__name__)
IGNORED = -100


def digest_of(*parts: Any) -> str:
    """Hex digest (16 digits) of anything that JSON can write; a Path counts by the content of its file."""
    whole = hashlib.sha256()
    for part in parts:
        if isinstance(part, Path):
            with part.open("rb") as file:
                whole.update(hashlib.file_digest(file, "sha256").digest())
        else:
            whole.update(json.dumps(part, sort_keys=True, default=str).encode())
        whole.update(b"\0")
    return whole.hexdigest()[:16]


class Cache:
    """A folder for one piece of prepared data. It is complete or absent: made under another name, renamed when done."""

    def __init__(self, root: Path, name: str, digest: str) -> None:
        self.path = root / f"{name}-{digest}"
        self.work = self.path.with_name(self.path.name + ".partial")

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
        """Give the finished folder its name; if another process was quicker, its equal result stands."""
        if self.ready:
            shutil.rmtree(self.work)
        else:
            self.work.rename(self.path)


@dataclass(frozen=True)
class Rows:
    """Many token sequences in flat tensors: ``ids`` of all rows on end, and where each row ``starts``.

    ids: int32 (all tokens,); starts: int64 (rows + 1,)
    """

    ids: torch.Tensor
    starts: torch.Tensor

    @staticmethod
    def flatten(sequences: list[list[int]]) -> tuple[torch.Tensor, torch.Tensor]:
        """Sequences -> (ids, starts)."""
        lengths = torch.tensor([0] + [len(ids) for ids in sequences])
        return torch.tensor([i for ids in sequences for i in ids], dtype=torch.int32), lengths.cumsum(0)

    def save(self, path: Path) -> None:
        """Write as plain tensors."""
        torch.save({field.name: getattr(self, field.name) for field in fields(self)}, path)

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read what `save` wrote."""
        return cls(**torch.load(path, weights_only=True))

    def __len__(self) -> int:
        return len(self.starts) - 1

    @property
    def lengths(self) -> torch.Tensor:
        """Ids in each row. (rows,)"""
        return self.starts.diff()

    @property
    def sizes(self) -> torch.Tensor:
        """What each row adds to the number that the loss of its optimiser step is divided by. (rows,)"""
        raise NotImplementedError

    def trainable(self) -> torch.Tensor:
        """Indices of the rows that add something to the loss."""
        return (self.sizes > 0).nonzero().flatten()

    def batch(self, rows: list[int]) -> dict[str, torch.Tensor]:
        """Rows padded on the right to the longest of them.

        input_ids: int64 (rows, time). attention_mask: int64 (rows, time), 1 where there is a token, so that padding is never
        told by its id.
        """
        width = int(self.lengths[rows].max())
        input_ids = torch.zeros(len(rows), width, dtype=torch.int64)
        attention_mask = torch.zeros(len(rows), width, dtype=torch.int64)
        for place, row in enumerate(rows):
            ids = self.ids[self.starts[row] : self.starts[row + 1]]
            input_ids[place, : len(ids)] = ids
            attention_mask[place, : len(ids)] = 1
        return {"input_ids": input_ids, "attention_mask": attention_mask}


@dataclass(frozen=True)
class TokenRows(Rows):
    """Rows of a prompt and an answer; ``prompt_lengths``: int64 (rows,)."""

    prompt_lengths: torch.Tensor

    @classmethod
    def of(cls, examples: list[Example], longest: int) -> Self:
        """Pack examples; ids past ``longest`` are cut off at the end, so a prompt stays whole as long as it fits."""
        prompts = torch.tensor([min(e.prompt_length, longest) for e in examples], dtype=torch.int64)
        return cls(*cls.flatten([example.ids[:longest] for example in examples]), prompts)

    @property
    def sizes(self) -> torch.Tensor:
        """Trained ids in each row. (rows,)"""
        return self.lengths - self.prompt_lengths

    def batch(self, rows: list[int]) -> dict[str, torch.Tensor]:
        """As `Rows.batch`, with labels: int64 (rows, time), the ids that are trained, `IGNORED` elsewhere."""
        padded = super().batch(rows)
        places = torch.arange(padded["input_ids"].shape[1])
        trained = (places >= self.prompt_lengths[rows, None]) & (places < self.lengths[rows, None])
        return {**padded, "labels": padded["input_ids"].where(trained, IGNORED)}


class Batches:
    """Batches of rows for a Trainer: rows of like length together, the order fixed by (seed, epoch).

    Every optimiser step takes ``batch_size`` rows in ``batch_size / micro_batch_size`` micro-batches; each of these carries
    ``step_size``, the sum of its whole step's row sizes, by which the loss is normalised.

    Args:
        pool: steps whose rows are sorted by length together before they are cut into batches.
    """

    def __init__(self, rows: Rows, batch_size: int, micro_batch_size: int, seed: int, shuffle: bool, pool: int = 50) -> None:
        self.rows, self.seed, self.shuffle, self.pool = rows, seed, shuffle, pool
        self.batch_size, self.micro_batch_size = batch_size, micro_batch_size
        self.epoch, self.done = 0, 0

    @property
    def steps(self) -> int:
        """Optimiser steps in an epoch."""
        return -(-len(self.rows.trainable()) // self.batch_size)

    def __len__(self) -> int:
        """Micro-batches in an epoch."""
        count = len(self.rows.trainable())
        whole, rest = divmod(count, self.batch_size)
        return whole * -(-self.batch_size // self.micro_batch_size) + -(-rest // self.micro_batch_size)

    def plan(self, epoch: int) -> list[list[list[int]]]:
        """Row indices: steps of micro-batches. Every row occurs once; nothing is dropped.

        The step that has fewer rows than the others comes last, so that steps and micro-batches stay in line.
        """
        order = self.rows.trainable().tolist()
        rng = random.Random(f"{self.seed} {epoch}")
        if self.shuffle:
            rng.shuffle(order)
        lengths = self.rows.lengths.tolist()
        pool = self.batch_size * self.pool
        ordered = [row for i in range(0, len(order), pool) for row in sorted(order[i : i + pool], key=lengths.__getitem__)]
        steps = [ordered[i : i + self.batch_size] for i in range(0, len(ordered), self.batch_size)]
        if self.shuffle:
            last = [steps.pop()] if steps and len(steps[-1]) < self.batch_size else []
            rng.shuffle(steps)
            steps += last
        size = self.micro_batch_size
        return [[step[i : i + size] for i in range(0, len(step), size)] for step in steps]

    def __iter__(self) -> Iterator[dict[str, torch.Tensor]]:
        """The rest of the epoch, from the position on; the position moves on before a batch is handed out."""
        sizes = self.rows.sizes
        start = self.done if self.shuffle else 0
        last, place = len(self), 0
        for step in self.plan(self.epoch):
            step_size = sizes[[row for micro in step for row in micro]].sum()
            for micro in step:
                place += 1
                if place > start:
                    self.epoch, self.done = (self.epoch + 1, 0) if place == last else (self.epoch, place)
                    yield {**self.rows.batch(micro), "step_size": step_size}

    def state_dict(self) -> dict[str, int]:
        """The position: epoch, and micro-batches of it handed out."""
        return {"epoch": self.epoch, "done": self.done}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Continue at a position that `state_dict` gave."""
        self.epoch, self.done = state["epoch"], state["done"]
