"""How rows become optimiser steps: of how many rows, in how many micro-batches, for how long."""

from dataclasses import dataclass

from data.values import Settings


@dataclass(frozen=True)
class Batching:
    """How rows become optimiser steps.

    batch_size: rows a step, over all processes. accumulate: micro-batches a step in each process. epochs:
    times that every row is taken. max_steps: steps after which the run ends at the latest; 0: no such limit.
    """

    batch_size: int
    accumulate: int = 1
    epochs: int = 1
    max_steps: int = 0

    @classmethod
    def of(cls, trainer: Settings, micro_batch: int, processes: int) -> "Batching":
        """From the fields of the configuration group `trainer`, for so many rows in a forward pass in each
        process.
        """
        size = trainer["batch_size"]
        return cls(size, -(-size // (micro_batch * processes)), trainer["epochs"], trainer["max_steps"])
