"""PocketData: generated texts -> a tokenizer and batches, from which the embedded base model is trained from nothing."""

import json
import logging
from pathlib import Path
from typing import Any

from lightning import LightningDataModule

from data.pocket_text import Text, pocket_texts
from data.prompts import END, START, Example, Renderer
from data.tokens import Batching, Cache, TokenRows, TrainingBatches, digest_of

log = logging.getLogger(__name__)
HERE = Path(__file__).parent
CODE = [HERE / name for name in ("pocket_text.py", "prompts.py", "pocket.py", "sample/vocabulary.py")]
SPECIAL = ["<pad>", "<eos>", "<bos>", "<unk>", START, END]
TOKENIZER_TEXTS = 20_000
SHOP_WORDS = "user model Context Online shopping Product Category Details"  # words of prompts that the texts lack
HELD_OUT = 1_000  # texts for validation


def train_tokenizer(seed: int, vocabulary: int, folder: Path) -> None:
    """Byte-level BPE with Gemma's turn tokens, trained on generated texts, written as a transformers tokenizer."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=vocabulary, special_tokens=SPECIAL, initial_alphabet=alphabet, show_progress=False)
    words = " ".join(f"{word} {word.lower()}" for word in SHOP_WORDS.split())
    texts = (f"{words}\n{words}\n{t.user}\n{t.reply}" for t in pocket_texts(seed, TOKENIZER_TEXTS))
    tokenizer.train_from_iterator(texts, trainer)
    names = {"pad_token": "<pad>", "eos_token": "<eos>", "bos_token": "<bos>", "unk_token": "<unk>"}
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, **names, additional_special_tokens=[START, END])
    fast.save_pretrained(folder)


class PocketData(LightningDataModule):
    """Texts of `data.pocket_text`. The arguments are those of `data.retail.RetailData`; ``base`` is not read."""

    def __init__(self, settings: dict[str, Any], base: str, cache: Path, seed: int) -> None:
        super().__init__()
        self.settings, self.seed, self.cache = settings, seed, cache

    def prepare_data(self) -> None:
        """Train the tokenizer, draw the texts, turn them into token ids; kept under the hash of all that they depend on."""
        s = self.settings
        self.digest = digest_of(s["texts"], s["vocabulary"], s["max_seq_length"], self.seed, *CODE)
        target = Cache(self.cache, "pocket", self.digest)
        if not target.ready:
            folder = target.begin()
            train_tokenizer(self.seed, s["vocabulary"], folder / "tokenizer")
            self.renderer = Renderer(str(folder / "tokenizer"))
            counts = {
                "train": self.write(folder / "train.pt", self.seed + 1, s["texts"]),
                "validation": self.write(folder / "validation.pt", self.seed + 2, HELD_OUT),
            }
            (folder / "report.json").write_text(json.dumps(counts, indent=2) + "\n", encoding="utf-8")
            target.commit()
        self.folder = target.path
        self.renderer = Renderer(str(self.folder / "tokenizer"))
        self.tokenizer = self.renderer.tokenizer
        self.token_report = json.loads((self.folder / "report.json").read_text(encoding="utf-8"))
        self.training_rows = self.token_report["train"]["rows"]

    def write(self, path: Path, seed: int, count: int) -> dict[str, int]:
        """Draw ``count`` texts and write their token ids."""
        rows = TokenRows.of(self.render(list(pocket_texts(seed, count))), self.settings["max_seq_length"])
        rows.save(path)
        return {"rows": len(rows), "tokens": int(rows.lengths.sum()), "answer_tokens": int(rows.sizes.sum())}

    def render(self, texts: list[Text]) -> list[Example]:
        """Texts -> examples: a reply to a turn by the one `render`, running text between BOS and EOS, trained as a whole."""
        tokenizer = self.renderer.tokenizer
        turns = self.renderer.render_all([""] * len(texts), [t.user for t in texts], [t.reply for t in texts])
        running = iter(self.renderer.encode([t.reply for t in texts if not t.user]))
        ends = [tokenizer.bos_token_id], [tokenizer.eos_token_id]
        return [turn if text.user else Example.turn(ends[0] + next(running) + ends[1], 1) for text, turn in zip(texts, turns, strict=True)]

    def shown(self) -> str:
        """The first training example as the model sees it; what is not trained is dimmed."""
        return self.renderer.show(self.render(list(pocket_texts(self.seed + 1, 1)))[0])

    def described(self, rows: list[int]) -> str:
        """Which texts some training rows are."""
        return f"texts number {', '.join(map(str, rows))}"

    def say(self) -> None:
        """Log what there is."""
        for split, counts in self.token_report.items():
            log.info("%s: %s", split, ", ".join(f"{count} {name}" for name, count in counts.items()))

    def setup(self, stage: str | None = None) -> None:
        """Open the prepared token ids."""
        self.rows = {split: TokenRows.load(self.folder / f"{split}.pt") for split in ("train", "validation")}

    def train_batches(self, batching: Batching) -> TrainingBatches:
        """The training rows, shuffled by (seed, epoch)."""
        return TrainingBatches(self.rows["train"], batching, self.seed)
