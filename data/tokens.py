"""Prepared data on disk, named by content hash, and the batches made of it.

A position in the data is a number of optimiser steps: `TrainingBatches` takes the same rows in the same order for each step,
however often it was interrupted and however many processes share the rows.
"""

import hashlib
import json
import logging
import os
import random
import shutil
import socket
from array import array
from collections.abc import Iterator
from dataclasses import dataclass, fields
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import Any, Self

import torch

from data.prompts import Example

log = logging.getLogger(__name__)


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
        self.work = self.path.with_name(f"{self.path.name}.{socket.gethostname()}-{os.getpid()}.partial")

    @property
    def shared(self) -> Path:
        """Where several processes, or several starts, may work on it together."""
        return self.path.with_name(f"{self.path.name}.parts")

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
        try:
            self.work.rename(self.path)
        except OSError:
            if not self.ready:
                raise
            shutil.rmtree(self.work)


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
        starts = torch.tensor([0] + [len(ids) for ids in sequences]).cumsum(0)
        ids = array("i", chain.from_iterable(sequences))  # four bytes an id, where a list takes thirty
        return torch.frombuffer(ids, dtype=torch.int32) if ids else torch.empty(0, dtype=torch.int32), starts

    def save(self, path: Path) -> None:
        """Write as plain tensors."""
        torch.save({field.name: getattr(self, field.name) for field in fields(self)}, path)

    @classmethod
    def load(cls, path: Path) -> Self:
        """Open what `save` wrote; what is not looked at stays on disk."""
        return cls(**torch.load(path, weights_only=True, mmap=True))

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

    def batch(self, rows: list[int]) -> dict[str, Any]:
        """What a model takes at once. rows: int64 (rows,), which rows these are; tokens: how many; the rest is the kind's own."""
        return {"rows": torch.tensor(rows), "tokens": int(self.lengths[rows].sum())}

    def blank(self, batch: dict[str, Any]) -> dict[str, Any]:
        """The batch, made so that it adds nothing to any loss or count."""
        raise NotImplementedError


@dataclass(frozen=True)
class TokenRows(Rows):
    """Rows of prompts and answers; ``trained``: bool (all tokens,), which ids are answers."""

    trained: torch.Tensor

    @classmethod
    def of(cls, examples: list[Example], longest: int) -> Self:
        """Pack examples; ids past ``longest`` are cut off at the end, so a prompt stays whole as long as it fits.

        The first id of a row is never trained: nothing stands before it.
        """
        ids, starts = cls.flatten([example.ids[:longest] for example in examples])
        trained = bytearray(len(ids))
        for example, start in zip(examples, starts.tolist(), strict=False):  # the last start is the end
            for begin, end in example.spans:
                begin, end = max(1, min(begin, longest)), min(end, longest)
                trained[start + begin : start + end] = b"\1" * (end - begin)
        return cls(ids, starts, torch.frombuffer(trained, dtype=torch.bool) if trained else torch.empty(0, dtype=torch.bool))

    @classmethod
    def joined(cls, parts: list[Self]) -> Self:
        """The rows of all parts, one after the other."""
        before = torch.tensor([0] + [len(part.ids) for part in parts]).cumsum(0)
        starts = [part.starts[:-1] + offset for part, offset in zip(parts, before[:-1], strict=True)]
        whole = torch.cat([*starts, before[-1:]])
        return cls(torch.cat([part.ids for part in parts]), whole, torch.cat([part.trained for part in parts]))

    @cached_property
    def sizes(self) -> torch.Tensor:
        """Trained ids in each row. (rows,)"""
        until = torch.cat([torch.zeros(1, dtype=torch.int64), self.trained.cumsum(0)])
        return until[self.starts].diff()

    def batch(self, rows: list[int]) -> dict[str, Any]:
        """Rows on end, without padding.

        input_ids, position_ids: int64 (tokens,), positions starting at 0 in each row. lengths: of the rows, a list. places: int64
        (answer tokens,), where the tokens stand that predict one; targets: int64 (answer tokens,), what they are to predict.
        """
        lengths = self.lengths[rows]
        input_ids, trained = (torch.cat([of[self.starts[row] : self.starts[row + 1]] for row in rows]) for of in (self.ids, self.trained))
        input_ids, answer = input_ids.long(), trained.nonzero().flatten()
        position_ids = torch.arange(len(input_ids)) - (lengths.cumsum(0) - lengths).repeat_interleave(lengths)
        packed = {"input_ids": input_ids, "position_ids": position_ids, "lengths": lengths.tolist()}
        return {**super().batch(rows), **packed, "places": answer - 1, "targets": input_ids[answer]}

    def blank(self, batch: dict[str, Any]) -> dict[str, Any]:
        """No token is trained."""
        return {**batch, "places": batch["places"][:0], "targets": batch["targets"][:0]}


def say_cut_off(counts: dict[str, dict[str, int]]) -> None:
    """Warn of rows that were too long. counts: split -> rows, cut_off, fully_masked"""
    for split, of in counts.items():
        if of["cut_off"]:
            lost = f"{of['fully_masked']} of them leave no answer and are not used"
            log.warning("%s: %d of %d rows are longer than data.max_seq_length and cut off; %s", split, of["cut_off"], of["rows"], lost)


def share_of() -> tuple[int, int]:
    """(rank of this process, number of processes) that share each step's rows."""
    group = torch.distributed
    return (group.get_rank(), group.get_world_size()) if group.is_available() and group.is_initialized() else (0, 1)


def parts(rows: list[int], count: int) -> list[list[int]]:
    """Cut into ``count`` runs whose lengths differ by one at most; some are empty if there are fewer rows."""
    return [rows[i * len(rows) // count : (i + 1) * len(rows) // count] for i in range(count)]


class Batches:
    """What training and evaluation batches share: this process's part of rows that are handed to all processes at once."""

    def __init__(self, rows: Rows) -> None:
        self.rows = rows

    def by_length(self, rows: list[int]) -> list[int]:
        """Sorted by length, those of one length as they stood."""
        return [rows[i] for i in self.rows.lengths[rows].argsort(stable=True).tolist()]

    def batch(self, rows: list[int], step: list[int]) -> dict[str, Any]:
        """A batch of ``rows``; of a row of ``step`` that counts for nothing, where this process has none left but must take part."""
        return self.rows.batch(rows) if rows else self.rows.blank(self.rows.batch(step[:1]))


@dataclass(frozen=True)
class Batching:
    """How rows become optimiser steps.

    batch_size: rows a step, over all processes. accumulate: micro-batches a step in each process. epochs: times that every row
    is taken. max_steps: steps after which the run ends at the latest; 0: no such limit.
    """

    batch_size: int
    accumulate: int = 1
    epochs: int = 1
    max_steps: int = 0


class TrainingBatches(Batches):
    """All batches of a run: rows of like length together, the order of every epoch fixed by (seed, epoch).

    Every optimiser step takes ``batch_size`` rows (the last of an epoch what is left), shared out evenly among the processes
    and, within each, among ``accumulate`` micro-batches. Each of these carries ``step_size``, the sum of its whole step's row
    sizes over all processes, by which the loss is normalised, and ``rows``, which rows these are.

    Args:
        pool: steps whose rows are sorted by length together before they are cut into batches.
    """

    def __init__(self, rows: Rows, batching: Batching, seed: int, pool: int = 50) -> None:
        super().__init__(rows)
        self.batch_size, self.accumulate, self.seed, self.pool = batching.batch_size, batching.accumulate, seed, pool
        self.epoch_steps = -(-len(rows.trainable()) // batching.batch_size)
        whole = self.epoch_steps * batching.epochs
        self.steps = min(whole, batching.max_steps or whole)
        self.done = 0

    def __len__(self) -> int:
        """Micro-batches of the whole run, in each process."""
        return self.steps * self.accumulate

    def plan(self, epoch: int) -> list[list[int]]:
        """Row indices of each step. Every row occurs once; the step that has fewer rows than the others comes last."""
        order = self.rows.trainable().tolist()
        rng = random.Random(f"{self.seed} {epoch}")
        rng.shuffle(order)
        pool = self.batch_size * self.pool
        ordered = [row for i in range(0, len(order), pool) for row in self.by_length(order[i : i + pool])]
        steps = [ordered[i : i + self.batch_size] for i in range(0, len(ordered), self.batch_size)]
        last = [steps.pop()] if len(steps[-1]) < self.batch_size else []
        rng.shuffle(steps)
        return steps + last

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """The rest of the run, from the position on; the position moves on before a step's last micro-batch is handed out."""
        sizes = self.rows.sizes
        rank, world = share_of()
        plan: list[list[int]] = []
        planned = -1
        while self.done < self.steps:
            epoch, place = divmod(self.done, self.epoch_steps)
            if epoch != planned:
                plan, planned = self.plan(epoch), epoch
            step = plan[place]
            mine = parts(step, self.accumulate * world)[rank::world]
            for number, rows in enumerate(mine, start=1):
                if number == self.accumulate:
                    self.done += 1
                yield {**self.batch(rows, step), "step_size": sizes[step].sum()}

    def state_dict(self) -> dict[str, int]:
        """The position: optimiser steps taken."""
        return {"steps": self.done}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Continue at a position that `state_dict` gave."""
        self.done = state["steps"]


class EvaluationBatches(Batches):
    """Every row that adds something to the loss, once, in a fixed order, rows of like length together.

    ``batch_size`` rows at once in each process; all processes hand out as many batches as the others.
    """

    def __init__(self, rows: Rows, batch_size: int) -> None:
        super().__init__(rows)
        self.batch_size = batch_size
        self.order = self.by_length(rows.trainable().tolist())

    def __len__(self) -> int:
        """Batches, in each process."""
        return -(-len(self.order) // (self.batch_size * share_of()[1]))

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """This process's part."""
        rank, world = share_of()
        size = self.batch_size * world
        for start in range(0, len(self.order), size):
            together = self.order[start : start + size]
            yield self.batch(parts(together, world)[rank], together)
