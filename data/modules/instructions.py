"""InstructionData: instruction pairs and conversations -> batches, with loss on the assistant's turns alone;
mixtures of several sets.

A trained model is asked the held-out conversations up to their last answer, which is the reference.
"""

import json
import logging
from collections.abc import Iterator
from functools import cached_property
from itertools import chain
from pathlib import Path

import polars as pl
from tqdm import tqdm

from data.catalogue.reading import read_table
from data.catalogue.sources import find_files
from data.catalogue.text_files import TextForm
from data.files import Cache, digest_of, source_files, write_json
from data.modules import conversation_files, conversations, message_forms
from data.modules.conversation_files import read_parts, write_conversations
from data.modules.reading_code import READING_CODE
from data.modules.token_data import TokenDataModule
from data.questions import filters
from data.scoring.lookups import spread
from data.tokens import chat_templates, example, prompts
from data.tokens import rows as token_rows
from data.tokens.cache import SPLITS, Counts, cached_tokens, log_truncated, write_examples
from data.tokens.display import show_tokens
from data.tokens.example import Example
from data.tokens.prompts import Renderer
from data.tokens.rows import TokenRows
from data.values import Settings

log = logging.getLogger(__name__)

CODE = [
    Path(__file__),
    *READING_CODE,
    *source_files(conversations, conversation_files, message_forms, filters),
]
RENDERING_CODE = source_files(prompts, chat_templates, example, token_rows)
# Fields of data that decide which conversations there are.
CONTENT = ("mixture", "validation", "test", "held_out_rows", "limit", "encoding", "separator")
RENDERED_AT_ONCE = 4096  # conversations
HELD_OUT = ("validation", "test")
OTHER = "other"  # split of a file that is not of the data


class InstructionData(TokenDataModule):
    """Conversations of ``path`` and, as often as their weights say, of ``mixture`` (path -> weight)."""

    def __init__(self, settings: Settings, base: str, cache: Path, seed: int) -> None:
        super().__init__()
        self.settings, self.seed, self.cache = settings, seed, cache
        self.renderer = Renderer(base, bool(settings.get("thinking")))
        self.tokenizer = self.renderer.tokenizer

    def prepare_data(self) -> None:
        """Read, split and tokenise what is not in the cache. Raises ValueError for files that nothing can
        be learnt from.
        """
        s = self.settings
        files = {path: find_files(path, []) for path in [s["path"], *s["mixture"]]}
        content = {key: s[key] for key in CONTENT} | {"quality": filters.content_settings(s["quality"])}
        every_file = list(chain.from_iterable(files.values()))
        names = [file.name for file in every_file]  # they say the split
        self.digest = digest_of(names, content, self.seed, pl.__version__, *every_file, *CODE)
        cache = Cache(self.cache, "conversations", self.digest)
        if not cache.ready:
            self.make_rows(files, cache)
        self.folder = cache.path
        self.report = json.loads((self.folder / "report.json").read_text(encoding="utf-8"))
        vocabulary, longest = self.tokenizer.get_vocab(), s["max_seq_length"]
        tokens = [self.digest, self.renderer.template, vocabulary, longest, *RENDERING_CODE]
        self.token_folder, self.token_report = cached_tokens(self.cache, tokens, self.write_tokens)
        if s.get("held_out"):
            self.digest = digest_of(self.digest, Path(s["held_out"]))

    @property
    def training_rows(self) -> int:
        """Conversations to learn from."""
        return self.token_report["train"]["rows"]

    def make_rows(self, files: dict[str, list[Path]], cache: Cache) -> None:
        """Files -> conversations with splits, quarantine, and a report of the counts."""
        folder = cache.begin()
        report = write_conversations(self.weights(files), self.settings, self.seed, folder)
        write_json(folder / "report.json", report)
        cache.commit()

    def weights(self, files: dict[str, list[Path]]) -> dict[str, float]:
        """How often the rows of each file are seen in an epoch, by its path."""
        weights: dict[str, float] = {}
        for path, weight in {self.settings["path"]: 1.0, **self.settings["mixture"]}.items():
            weights |= {str(file): weight for file in files[path]}
        return weights

    def write_tokens(self, folder: Path) -> Counts:
        """Conversations -> token rows, a file for each split. Raises ValueError if no answer is left to
        learn from.
        """
        longest = self.settings["max_seq_length"]
        counts: Counts = {}
        for split in SPLITS:
            batches = self.render_split(split)
            counts[split] = write_examples(batches, folder / f"{split}.pt", longest, self.renderer)
        if not counts["train"]["answer_tokens"]:
            raise ValueError(
                f"no training row has room for an answer within data.max_seq_length={longest}: raise it"
            )
        return counts

    def render_split(self, split: str) -> Iterator[list[Example]]:
        """The examples of a split, some at a time."""
        total = sum(count[split] for count in self.report["files"])
        with tqdm(total=total, desc=f"tokens, {split}", unit="conversation", delay=2) as progress:
            for part in read_parts(self.folder, split):
                for some in part.iter_slices(RENDERED_AT_ONCE):
                    yield self.render(some)
                    progress.update(some.height)

    def rows_of(self, split: str) -> pl.DataFrame:
        """Conversations of a split."""
        return pl.concat(read_parts(self.folder, split))

    def rows_of_file(self, path: str) -> pl.DataFrame:
        """Conversations of another file. Raises ValueError if it holds none."""
        frame, unread = read_table(Path(path), TextForm.of(self.settings))
        try:
            found = conversations.read_conversations(frame)
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from None
        aside = pl.concat([found.bad["reason"], unread["reason"]])
        for reason, count in aside.value_counts().rows():
            log.warning("%7d  rows of %s set aside: %s", count, path, reason)
        if not found.good.height:
            raise ValueError(f"path={path}: no conversation is left of {len(aside)} rows")
        return found.good.with_columns(split=pl.lit(OTHER))

    def render(self, rows: pl.DataFrame) -> list[Example]:
        """Conversations -> examples."""
        return self.renderer.render_conversations(rows["messages"].to_list(), rows["untrained"].to_list())

    @property
    def origin(self) -> Settings:
        """What a model keeps of the data that it was trained on."""
        return super().origin | {"max_new_tokens": self.max_new_tokens}

    @property
    def max_new_tokens(self) -> int:
        """Tokens that a predicted answer may take."""
        return min(int(self.token_report["train"]["longest_answer"]), int(self.settings["max_seq_length"]))

    @cached_property
    def training_questions(self) -> pl.DataFrame:
        """The training conversations in the form of `evaluation_questions`."""
        return questions_of(self.rows_of("train").unique("messages", maintain_order=True))

    def evaluation_questions(self, count: int) -> pl.DataFrame:
        """The questions that models are compared on, ``count`` of each held-out split; 0: all. With the
        setting ``held_out``, those of that file.

        Columns: split, row (its number in the split), messages (before the answer), question (the last
        user's text), reference (the answer). A prompt longer than data.max_seq_length is left out.
        """
        held_out = self.settings.get("held_out")
        if held_out:
            return self.fitting_questions(self.rows_of_file(held_out), count)
        return pl.concat([self.fitting_questions(self.rows_of(split), count) for split in HELD_OUT])

    def validation_questions(self, count: int) -> pl.DataFrame:
        """``count`` of the validation questions, by whose answers a checkpoint may be chosen."""
        return self.fitting_questions(self.rows_of("validation"), count)

    def fitting_questions(self, rows: pl.DataFrame, count: int) -> pl.DataFrame:
        """``count`` of the questions of a split whose prompts are not too long."""
        asked = questions_of(rows)
        lengths = pl.Series(list(map(len, self.prompts(asked))), dtype=pl.Int64)
        fitting = asked.filter(lengths <= int(self.settings["max_seq_length"]))
        if fitting.height < asked.height:
            left_out, split = asked.height - fitting.height, asked["split"][0]
            log.warning("%s: %d prompts are longer than data.max_seq_length: left out", split, left_out)
        return spread(fitting, count)

    def prompts(self, questions: pl.DataFrame) -> list[list[int]]:
        """Token ids that prediction starts from."""
        texts = [self.renderer.prompt_text(messages) for messages in questions["messages"].to_list()]
        return self.renderer.encode(texts) if texts else []

    def show_example(self) -> str:
        """The first training example as the model sees it; what is not trained is dimmed."""
        return show_tokens(self.renderer.tokenizer, self.render(self.rows_of("train").head(1))[0])

    def log_summary(self) -> None:
        """Log what was read, set aside, cut off."""
        for c in self.report["files"]:
            splits = ", ".join(f"{c[split]} {split}" for split in SPLITS)
            log.info(
                ("%7d  rows of %s: %d set aside, %d repeated, an end token removed from %d answers;"
" %s (weight %g)"),
                c["rows"], c["file"], c["set_aside"], c["repeated"], c["end_tokens"], splits, c["weight"],
            )  # fmt: skip
            log.info("         read from the columns %s", ", ".join(c["used"]))
            for column, count in c["unused"].items():
                log.warning("%7d  rows of %s have a column %r, which is not used", count, c["file"], column)
        for reason, count in self.report["quarantined"]:
            log.warning("%7d  set aside: %s (%s)", count, reason, self.folder / "quarantine.parquet")
        filters.log_filters(self.report["quality"], self.folder)
        log_truncated(self.token_report)

    def setup(self, stage: str | None = None) -> None:
        """Open the prepared token rows."""
        rows = {split: TokenRows.load(self.token_folder / f"{split}.pt") for split in SPLITS}
        self.rows = self.with_preferences(rows)

    def describe_rows(self, rows: list[int]) -> str:
        """How some training rows begin."""
        if self.settings.get("preferences"):
            return self.describe_pairs(rows)
        training = self.rows_of("train")
        if training.height != len(self.rows["train"]):  # a conversation may be several rows of tokens
            return f"rows number {', '.join(map(str, rows))} of {self.token_folder / 'train.pt'}"
        conversations = training[rows]["messages"].to_list()
        return "; ".join(repr(str(messages[0]["content"])[:80]) for messages in conversations)


def questions_of(rows: pl.DataFrame) -> pl.DataFrame:
    """Conversations -> split, row, messages, question, reference (see `InstructionData`)."""
    content = pl.element().struct.field("content")
    of_user = pl.element().filter(pl.element().struct.field("role") == "user").struct.field("content")
    return rows.with_row_index("row").select(
        "split",
        "row",
        messages=pl.col("messages").list.head(pl.col("messages").list.len() - 1),
        question=pl.col("messages").list.eval(of_user).list.last(),
        reference=pl.col("messages").list.eval(content).list.last(),
    )
