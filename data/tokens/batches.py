"""Token rows -> batches: the same rows in the same order, however often a run is interrupted.

A position in the data is a number of optimiser steps: `TrainingBatches` takes the same rows in the same order
for each step, however many processes share the rows.
"""

import random
from collections.abc import Iterator

import torch

from data.tokens.batching import Batching
from data.tokens.rows import Rows
from data.values import Batch


def process_rank() -> tuple[int, int]:
    """(rank of this process, number of processes) that share each step's rows."""
    group = torch.distributed
    if group.is_available() and group.is_initialized():
        return group.get_rank(), group.get_world_size()
    return 0, 1


def _split_evenly(rows: list[int], count: int) -> list[list[int]]:
    """Cut into ``count`` runs whose lengths differ by one at most; some are empty if there are fewer rows."""
    return [rows[i * len(rows) // count : (i + 1) * len(rows) // count] for i in range(count)]


class Batches:
    """What training and evaluation batches share: this process's part of rows that are handed to all
    processes at once.
    """

    def __init__(self, rows: Rows) -> None:
        self.rows = rows

    def by_length(self, rows: list[int]) -> list[int]:
        """Sorted by length, those of one length as they stood."""
        return [rows[i] for i in self.rows.lengths[rows].argsort(stable=True).tolist()]

    def batch(self, rows: list[int], step: list[int]) -> Batch:
        """A batch of ``rows``; of a row of ``step`` that counts for nothing, where this process has none
        left but must take part.
        """
        return self.rows.batch(rows) if rows else self.rows.blank(self.rows.batch(step[:1]))


class TrainingBatches(Batches):
    """All batches of a run: rows of like length together, the order of every epoch fixed by (seed, epoch).

    Every optimiser step takes ``batch_size`` rows (the last of an epoch what is left), shared out evenly
    among the processes and, within each, among ``accumulate`` micro-batches. Each of these carries
    ``step_size``, the sum of its whole step's row sizes over all processes, by which the loss is normalised,
    and ``rows``, which rows these are.

    Args:
        pool: steps whose rows are sorted by length together before they are cut into batches.
    """

    def __init__(self, rows: Rows, batching: Batching, seed: int, pool: int = 50) -> None:
        super().__init__(rows)
        self.batch_size, self.accumulate, self.seed, self.pool = (
            batching.batch_size,
            batching.accumulate,
            seed,
            pool,
        )
        self.epoch_steps = -(-len(rows.trainable()) // batching.batch_size)
        whole = self.epoch_steps * batching.epochs
        self.steps = min(whole, batching.max_steps or whole)
        self.done = 0

    def __len__(self) -> int:
        """Micro-batches of the whole run, in each process."""
        return self.steps * self.accumulate

    def plan(self, epoch: int) -> list[list[int]]:
        """Row indices of each step. Every row occurs once; the step that has fewer rows than the others
        comes last.
        """
        order = self.rows.trainable().tolist()
        rng = random.Random(f"{self.seed} {epoch}")
        rng.shuffle(order)
        pool = self.batch_size * self.pool
        ordered = [row for i in range(0, len(order), pool) for row in self.by_length(order[i : i + pool])]
        steps = [ordered[i : i + self.batch_size] for i in range(0, len(ordered), self.batch_size)]
        last = [steps.pop()] if len(steps[-1]) < self.batch_size else []
        rng.shuffle(steps)
        return steps + last

    def __iter__(self) -> Iterator[Batch]:
        """The rest of the run, from the position on; the position moves on before a step's last
        micro-batch is handed out.
        """
        sizes = self.rows.sizes
        rank, world = process_rank()
        plan: list[list[int]] = []
        planned = -1
        while self.done < self.steps:
            epoch, place = divmod(self.done, self.epoch_steps)
            if epoch != planned:
                plan, planned = self.plan(epoch), epoch
            step = plan[place]
            mine = _split_evenly(step, self.accumulate * world)[rank::world]
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
        return -(-len(self.order) // (self.batch_size * process_rank()[1]))

    def __iter__(self) -> Iterator[Batch]:
        """This process's part."""
        rank, world = process_rank()
        size = self.batch_size * world
        for start in range(0, len(self.order), size):
            together = self.order[start : start + size]
            yield self.batch(_split_evenly(together, world)[rank], together)
