"""What data modules share once their token rows are open: training batches, origin and tokenizer."""

from collections.abc import Mapping
from pathlib import Path

from lightning import LightningDataModule

from data.modules.general import general_examples
from data.tokens.batches import Batching, TrainingBatches
from data.tokens.chat_templates import Tokenizer
from data.tokens.example import Example
from data.tokens.prompts import Renderer
from data.tokens.rows import Rows
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

    def train_batches(self, batching: Batching) -> TrainingBatches:
        """The training rows, shuffled by (seed, epoch)."""
        return TrainingBatches(self.rows["train"], batching, self.seed)

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
