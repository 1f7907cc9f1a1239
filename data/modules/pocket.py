"""PocketData: generated texts -> a tokenizer and batches, from which the embedded base model is trained
from nothing.
"""

import json
import logging
from pathlib import Path

from data.files import Cache, digest_of, source_files, write_json
from data.modules import (
    pocket_products,
    pocket_rows,
    pocket_shelves,
    pocket_text,
    pocket_turns,
    pocket_wordings,
)
from data.modules.pocket_text import Text, pocket_texts
from data.modules.token_data import TokenDataModule
from data.questions import asked_keys, grounding, matches, words
from data.sample import vocabulary
from data.tokens import prompts
from data.tokens.display import show_tokens
from data.tokens.example import Example
from data.tokens.prompts import END, START, Renderer
from data.tokens.rows import TokenRows
from data.values import Settings

log = logging.getLogger(__name__)


CODE = [
    Path(__file__),
    *source_files(pocket_products, pocket_rows, pocket_turns, pocket_shelves, pocket_text, pocket_wordings),
    *source_files(asked_keys, grounding, matches, words, prompts, vocabulary),
]

SPECIAL = ["<pad>", "<eos>", "<bos>", "<unk>", START, END]

TOKENIZER_TEXTS = 20_000

SHOP_WORDS = (
    "user model Context Online shopping Product Category Details"  # words of prompts that the texts lack
)

HELD_OUT = 300  # texts for validation


def _train_tokenizer(seed: int, vocabulary: int, folder: Path) -> None:
    """Byte-level BPE with Gemma's turn tokens and a token for each digit, trained on generated texts, written
    as a transformers tokenizer.
    """
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    digits = pre_tokenizers.Digits(individual_digits=True)  # a price is copied digit by digit, as Gemma's is
    bytes_of_words = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([digits, bytes_of_words])
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary, special_tokens=SPECIAL, initial_alphabet=alphabet, show_progress=False
    )
    of_shop = " ".join(f"{word} {word.lower()}" for word in SHOP_WORDS.split())
    drawn = pocket_texts(seed, TOKENIZER_TEXTS, pocket_text.WORDS)
    texts = (f"{of_shop}\n{of_shop}\n{text.user}\n{text.reply}" for text in drawn)
    tokenizer.train_from_iterator(texts, trainer)
    names = {"pad_token": "<pad>", "eos_token": "<eos>", "bos_token": "<bos>", "unk_token": "<unk>"}
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, **names, additional_special_tokens=[START, END]
    )
    fast.save_pretrained(folder)


class PocketData(TokenDataModule):
    """Texts of `data.modules.pocket_text`. The arguments are those of `data.modules.retail.RetailData`;
    ``base`` is not read.
    """

    def __init__(self, settings: Settings, base: str, cache: Path, seed: int) -> None:
        super().__init__()
        self.settings, self.seed, self.cache = settings, seed, cache

    def prepare_data(self) -> None:
        """Train the tokenizer, draw the texts, turn them into token rows; cached by all that they depend
        on.
        """
        s = self.settings
        self.digest = digest_of(s["texts"], s["vocabulary"], s["max_seq_length"], self.seed, *CODE)
        cache = Cache(self.cache, "pocket", self.digest)
        if not cache.ready:
            folder = cache.begin()
            _train_tokenizer(self.seed, s["vocabulary"], folder / "tokenizer")
            self.renderer = Renderer(str(folder / "tokenizer"))
            counts = {"train": self.write(folder / "train.pt", self.seed + 1, s["texts"])}
            counts["validation"] = self.write(folder / "validation.pt", self.seed + 2, HELD_OUT)
            write_json(folder / "report.json", counts)
            cache.commit()
        self.folder = cache.path
        self.renderer = Renderer(str(self.folder / "tokenizer"))
        self.tokenizer = self.renderer.tokenizer
        self.token_report = json.loads((self.folder / "report.json").read_text(encoding="utf-8"))

    @property
    def training_rows(self) -> int:
        """Texts to learn from."""
        return self.token_report["train"]["rows"]

    def write(self, path: Path, seed: int, count: int) -> dict[str, int]:
        """Draw ``count`` texts and write their token rows."""
        rows = TokenRows.of(self.render(list(pocket_texts(seed, count))), self.settings["max_seq_length"])
        rows.save(path)
        return {"rows": len(rows), "tokens": int(rows.lengths.sum()), "answer_tokens": int(rows.sizes.sum())}

    def render(self, texts: list[Text]) -> list[Example]:
        """Texts -> examples: conversations as any other; running text between BOS and EOS, trained as a
        whole.
        """
        conversations = [text.conversation() for text in texts if text.user]
        answered = iter(self.renderer.render_conversations(conversations))
        running = iter(self.renderer.encode([text.reply for text in texts if not text.user]))
        bos, eos = self.renderer.tokenizer.bos_token_id, self.renderer.tokenizer.eos_token_id
        examples = []
        for text in texts:
            examples.append(next(answered) if text.user else Example.turn([bos, *next(running), eos], 1))
        return examples

    def show_example(self) -> str:
        """The first training example as the model sees it; what is not trained is dimmed."""
        return show_tokens(self.renderer.tokenizer, self.render(list(pocket_texts(self.seed + 1, 1)))[0])

    def describe_rows(self, rows: list[int]) -> str:
        """Which texts some training rows are."""
        return f"texts number {', '.join(map(str, rows))}"

    def log_summary(self) -> None:
        """Log what there is."""
        for split, counts in self.token_report.items():
            log.info("%s: %s", split, ", ".join(f"{count} {name}" for name, count in counts.items()))

    def setup(self, stage: str | None = None) -> None:
        """Open the prepared token ids."""
        self.rows = {split: TokenRows.load(self.folder / f"{split}.pt") for split in ("train", "validation")}
