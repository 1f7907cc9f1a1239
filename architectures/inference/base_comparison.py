"""A tuned model beside its base, on what it was not tuned for."""

from collections.abc import Sequence
from dataclasses import dataclass

from architectures.inference.harness import Errors, task_errors
from architectures.inference.losses import Row, tuned_and_base_losses
from architectures.models.fine_tuned import FineTuned


@dataclass(frozen=True)
class BaseComparison:
    """The figures of both models, as the evaluation asks for them."""

    module: FineTuned

    def losses(self, rows: Sequence[Row], name: str) -> tuple[list[float], list[float]]:
        """See `tuned_and_base_losses`."""
        return tuned_and_base_losses(self.module, rows, name)

    def errors(self, task: str, count: int) -> list[Errors]:
        """See `task_errors`."""
        return task_errors(self.module, task, count)
