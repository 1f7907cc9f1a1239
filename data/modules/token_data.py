"""What data modules share once their token rows are open: training batches, origin and tokenizer."""

from collections.abc import Mapping
from pathlib import Path

from lightning import LightningDataModule

from data.modules.general import general_examples
from data.modules.preferences import preference_rows, read_pairs
from data.tokens.batches import EvaluationBatches, TrainingBatches
from data.tokens.batching import Batching
from data.tokens.chat_templates import Tokenizer
from data.tokens.example import Example
from data.tokens.prompts import Renderer
from data.tokens.rows import Rows, TokenRows
from data.values import Settings


class TokenDataModule(LightningDataModule):
    """A data module whose ``setup`` opens token rows.

    settings: fields of the configuration group `data`. renderer: of the prompts. rows: of each split. seed:
    of the order. tokenizer: that the rows were made with. digest: of all that the data depend on.
    """

    rows: Mapping[str, Rows]
    settings: Settings
    renderer: Renderer
    seed: int
    tokenizer: Tokenizer
    digest: str

    def check_training_files(self) -> None:
        """Raise ValueError for a file beside the table that holds nothing to learn from. It is called before
        `prepare_data`, which takes longer.
        """
        if preferences := self.settings.get("preferences"):
            read_pairs(Path(preferences))

    def with_preferences(self, rows: dict[str, TokenRows]) -> dict[str, TokenRows]:
        """Token rows, with the pairs of ``preferences`` in the place of those to train on where it is set."""
        if not self.settings.get("preferences"):
            return rows
        return rows | {"train": preference_rows(self.settings, self.renderer)}

    def describe_pairs(self, rows: list[int]) -> str:
        """Name training rows that are pairs of answers."""
        return f"pairs number {', '.join(map(str, rows))} of {self.settings['preferences']}"

    def train_batches(self, batching: Batching) -> TrainingBatches:
        """The training rows, shuffled by (seed, epoch)."""
        return TrainingBatches(self.rows["train"], batching, self.seed)

    def evaluation_batches(self, split: str, rows: int) -> EvaluationBatches:
        """The rows of a split, so many in a forward pass."""
        return EvaluationBatches(self.rows[split], rows)

    @property
    def origin(self) -> Settings:
        """What a model keeps of the data that it was trained on."""
        return {"digest": self.digest}

    def general_examples(self, path: str, count: int) -> list[Example]:
        """Rows of a file that a tuned model is compared with its base on; see `data.modules.general`."""
        return general_examples(path, self.renderer, count, int(self.settings["max_seq_length"]))

    def save_tokenizer(self, folder: Path) -> None:
        """Write the tokenizer."""
        self.tokenizer.save_pretrained(folder)
