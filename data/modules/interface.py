"""What the entry scripts need of every data module, whatever its task."""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from data.values import Settings

if TYPE_CHECKING:  # these import PyTorch, which takes seconds
    from data.tokens.batches import EvaluationBatches, TrainingBatches
    from data.tokens.batching import Batching
    from data.tokens.rows import Rows

log = logging.getLogger(__name__)


class _DataModule(Protocol):
    """Prepared data of one task.

    settings: fields of the configuration group `data`. digest: of all that the data depend on. training_rows:
    texts, questions or conversations to learn from. rows: token rows of each split, after `setup`.
    """

    settings: Settings
    digest: str

    @property
    def rows(self) -> "Mapping[str, Rows]":
        """Token rows of each split."""
        ...

    @property
    def training_rows(self) -> int:
        """Rows to learn from."""
        ...

    @property
    def origin(self) -> Settings:
        """What a model keeps of the data that it was trained on."""
        ...

    def check_training_files(self) -> None:
        """Raises ValueError for files beside the table that nothing can be learnt from."""
        ...

    def prepare_data(self) -> None:
        """Make what is not in the cache. Raises ValueError for data that nothing can be learnt from."""
        ...

    def setup(self, stage: str | None = None) -> None:
        """Open the prepared token rows."""
        ...

    def log_summary(self) -> None:
        """Log what there is, what was set aside, and what leaks."""
        ...

    def show_example(self) -> str:
        """The first training example as the model sees it."""
        ...

    def describe_rows(self, rows: list[int]) -> str:
        """Name training rows in a message."""
        ...

    def train_batches(self, batching: "Batching") -> "TrainingBatches":
        """The training rows, shuffled by (seed, epoch)."""
        ...

    def evaluation_batches(self, split: str, rows: int) -> "EvaluationBatches":
        """The rows of a split, so many in a forward pass."""
        ...

    def save_tokenizer(self, folder: Path) -> None:
        """Write the tokenizer that the rows were made with."""
        ...


def with_table(origin: Settings, table: str | None) -> Settings:
    """What a model was made of, with another table in the place of its own; as it is without one. A model
    trained on instructions keeps its own, and is asked what the other one holds.

    Raises ValueError if there is no such table.
    """
    if table is None:
        return origin
    if not Path(table).is_file():
        raise ValueError(f"path={table}: there is no such table")
    changed = {"held_out": table}
    if origin["data"]["task"] != "instructions":
        changed = {"path": table, "version": ""}
    return origin | {"data": origin["data"] | changed}


def prepare_as_trained(data: _DataModule, digest: str) -> None:
    """Find the data that a model was trained on, or make them again; warn if they differ."""
    data.prepare_data()
    if data.digest != digest:
        message = "the data differs from what the model was trained on (digest %s, then %s)"
        log.warning(message, data.digest, digest)
