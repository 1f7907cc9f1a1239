"""RetailData: a table of products -> batches for the Trainer, and questions with their scores.

`prepare_data` goes the whole way once (catalogue, questions, splits, token ids) and caches each result under
the digest of all that it depends on; a second run starts from there.
"""

import json
import logging
import shutil
from collections.abc import Iterator
from dataclasses import asdict
from functools import cached_property
from pathlib import Path

import polars as pl

from data.catalogue import versions
from data.catalogue.pairing import read_pairing
from data.catalogue.partitions import Partitions, parse_shard
from data.catalogue.reading import TABLE_FORMATS
from data.files import Cache, digest_of, write_json
from data.modules import agreement, preparation
from data.modules.mixture import mixed_conversations, with_mixture
from data.modules.retail_code import CODE, GROUNDING_CODE, RENDERING_CODE, settings_of_questions
from data.modules.retail_summary import log_prepared, set_aside
from data.modules.token_data import TokenDataModule
from data.questions import filters
from data.questions.follow_ups import earlier_turns
from data.questions.grounding import ROWS, Grounding
from data.questions.listing import one_of_each_kind
from data.questions.products import read_question_products
from data.questions.written import ChatFunction
from data.scoring import lookups, recall, verdicts
from data.tokens.cache import SPLITS, Counts, cached_tokens, log_truncated, write_examples
from data.tokens.display import show_tokens
from data.tokens.escaping import escape_frame
from data.tokens.example import Example
from data.tokens.prompts import Renderer
from data.tokens.rows import TokenRows
from data.values import JsonObject, Settings

log = logging.getLogger(__name__)

RENDERED_AT_ONCE = 16_384  # questions
SPARE_TOKENS = 8  # that an answer may be longer than the longest one in training


class RetailData(TokenDataModule):
    """Questions about a catalogue.

    Args:
        settings: fields of the configuration group `data`, as a plain dictionary.
        base: the model's folder or Hub name, for its tokenizer. cache: folder for prepared data.
        seed: of questions, splits and order. chat: answers requests where a model writes the questions.
        download: gets the data of an MLflow run.
    """

    def __init__(
        self,
        settings: Settings,
        base: str,
        cache: Path,
        seed: int,
        chat: ChatFunction | None = None,
        download: versions.Download | None = None,
    ) -> None:
        super().__init__()
        self.settings, self.seed, self.cache = settings, seed, cache
        self.chat, self.download = chat, download
        self.is_grounded = settings.get("grounding") == ROWS
        self.renderer = Renderer(base, bool(settings.get("thinking")))
        self.tokenizer = self.renderer.tokenizer

    def prepare_data(self) -> None:
        """Make what is not in the cache. Raises ValueError for a table or settings that nothing can be
        learnt from.
        """
        version = self.settings["version"]
        if version and self.download:
            version = versions.resolve_version(version, self.cache, self.download)
        self.folder = versions.find_version(version, self.cache) if version else self.prepared_folder()
        self.digest = self.folder.name.removeprefix("questions-")
        self.report = json.loads((self.folder / "report.json").read_text(encoding="utf-8"))
        vocabulary, longest = self.tokenizer.get_vocab(), self.settings["max_seq_length"]
        content = [self.digest, self.renderer.template, vocabulary, longest, *RENDERING_CODE]
        if self.is_grounded:
            content += [self.settings["grounding_rows"], *GROUNDING_CODE]
        self.token_folder, self.token_report = cached_tokens(self.cache, content, self.write_tokens)

    def check_training_files(self) -> None:
        """Raise ValueError for a file beside the table that holds nothing to learn from."""
        super().check_training_files()
        for path in self.settings["mixture"]:
            mixed_conversations(path)

    @property
    def training_rows(self) -> int:
        """Questions to learn from."""
        return self.token_report["train"]["rows"]

    def prepared_folder(self) -> Path:
        """The folder with products and questions, made from the table if it is not in the cache."""
        table = Path(self.settings["path"])
        if not table.is_file():
            raise ValueError(f"no table at data.path={table}: give the path of a {TABLE_FORMATS} file")
        content, table_digest = self.content(), digest_of(table)
        digest = digest_of(table_digest, content, self.seed, pl.__version__, *CODE)
        cache = Cache(self.cache, "questions", digest)
        if not cache.ready:
            try:
                self.make_questions(table, table_digest, content, cache)
            except ValueError:  # nothing that a second start could continue
                shutil.rmtree(cache.shared, ignore_errors=True)
                shutil.rmtree(cache.work, ignore_errors=True)
                raise
            except OSError:
                # Otherwise another process has finished it, and cleared the shared folder.
                if not cache.ready:
                    raise
        return cache.path

    def content(self) -> Settings:
        """The settings as far as they change the questions."""
        content = settings_of_questions(self.settings)
        if content["questions"]["system_prompt"]:
            content["questions"]["system_prompt"] = self.system_prompt()
        if content["questions"]["source"] == "templates":
            content["questions"] = "templates"
        content["quality"] = filters.content_settings(content["quality"])
        content["pairing"] = asdict(read_pairing(content["pairing"]))
        return content

    def make_questions(self, table: Path, table_digest: str, content: Settings, cache: Cache) -> None:
        """Table -> products, questions with splits, quarantine, and a report of counts and leakage."""
        s = self.settings
        partitions = Partitions(cache.shared, s["engine"], s["ray_address"], parse_shard(s["shard"]))
        folder = cache.begin()
        report = preparation.prepare(table, partitions, s, self.seed, self.chat, self.system_prompt(), folder)
        write_json(folder / "report.json", report)
        made_from: JsonObject = {"table": str(table), "table_digest": table_digest}
        made_from |= {"settings": content, "seed": self.seed}
        digest = cache.path.name.removeprefix("questions-")
        versions.write_lineage(folder, digest, **made_from, polars=pl.__version__, code=digest_of(*CODE))
        cache.commit()
        shutil.rmtree(cache.shared, ignore_errors=True)

    def system_prompt(self) -> str:
        """What instructs the model that writes questions; '' for the default. Raises ValueError if the
        file is missing.
        """
        name = self.settings["questions"]["system_prompt"]
        if name and not Path(name).is_file():
            raise ValueError(f"data.questions.system_prompt={name}: there is no such file")
        return Path(name).read_text(encoding="utf-8") if name else ""

    def write_tokens(self, folder: Path) -> Counts:
        """Questions -> token rows, a file for each split. Raises ValueError if nothing is left to learn
        from.
        """
        longest = self.settings["max_seq_length"]
        counts: Counts = {}
        for split in SPLITS:
            batches = self.render_split(split)
            counts[split] = write_examples(batches, folder / f"{split}.pt", longest, self.renderer)
        if self.grounding:
            asked = self.questions("test")
            counts["test"] |= recall.recall(asked, self.grounding.names(asked), self.products)
        counts["train"] |= agreement.check_tokenizer(self.renderer, self.questions("train"), self.products)
        if not counts["validation"]["rows"]:
            raise ValueError(
                "no question is left for validation, by which the best model is chosen: raise"
                f" data.validation or data.limit{set_aside(self.report, self.folder)}"
            )
        train = counts["train"]
        if train["rows"] == train["fully_masked"]:
            raise ValueError(
                f"no training row has room for an answer: {train['rows']} rows, the shortest prompt"
                f" {train['shortest_prompt']} tokens and data.max_seq_length={longest}; raise it,"
                f" or lower data.test,"
                " data.validation and data.unseen if there are no rows"
            )
        return counts

    def render_split(self, split: str) -> Iterator[list[Example]]:
        """The examples of a split, some at a time."""
        for some in self.questions(split).iter_slices(RENDERED_AT_ONCE):
            yield self.render(some, for_training=split == "train")

    def render(self, questions: pl.DataFrame, for_training: bool) -> list[Example]:
        """Questions with their answers -> examples."""
        texts = questions["question"].to_list(), questions["answer"].to_list()
        turns = earlier_turns(questions)
        return self.renderer.render_all(self.contexts(questions, for_training), *texts, turns)

    @cached_property
    def grounding(self) -> Grounding | None:
        """What puts rows of the catalogue into prompts; None without grounding."""
        return Grounding(self.products, self.settings["grounding_rows"]) if self.is_grounded else None

    @property
    def retrieval(self) -> dict[str, int]:
        """Rows in a prompt, and how many test questions find a right one; {} without grounding."""
        if not self.is_grounded:
            return {}
        count, held = self.settings["grounding_rows"], self.token_report["test"]
        return {"rows": count, "found": held["found"], "questions": held["answered"]}

    def contexts(self, questions: pl.DataFrame, for_training: bool) -> list[str]:
        """The contexts of questions, with their rows if there is grounding."""
        if self.grounding:
            return self.grounding.contexts(questions, for_training)
        return questions["context"].to_list()

    def show_example(self) -> str:
        """A training question of each kind, and one as the model sees it: what is not trained is dimmed."""
        asked = self.questions("train")
        tokens = show_tokens(self.renderer.tokenizer, self.render(asked.head(1), True)[0])
        return f"{one_of_each_kind(asked)}\n\n{tokens}"

    def log_summary(self) -> None:
        """Log every step's count, what was set aside, what was cut off, and what leaks."""
        log_prepared(self.report, self.token_report, self.folder)
        if self.is_grounded:
            found = "retrieval: %(found)d of %(questions)d test questions find a row that answers them"
            log.info(found, self.retrieval)
        log_truncated(self.token_report)

    def setup(self, stage: str | None = None) -> None:
        """Open the prepared token rows."""
        rows = {split: TokenRows.load(self.token_folder / f"{split}.pt") for split in SPLITS}
        if self.settings.get("mixture"):
            rows["train"] = with_mixture(rows["train"], self.settings, self.renderer, self.seed)
        self.rows = self.with_preferences(rows)

    @property
    def origin(self) -> Settings:
        """What a model keeps of the data that it was trained on."""
        return {"digest": self.digest, "max_new_tokens": self.max_new_tokens}

    @property
    def max_new_tokens(self) -> int:
        """Tokens that a predicted answer may take."""
        return int(self.token_report["train"]["longest_answer"]) + SPARE_TOKENS

    @property
    def products(self) -> pl.DataFrame:
        """The catalogue that answers are scored against."""
        return escape_frame(read_question_products(self.folder / versions.PRODUCTS), self.renderer.special)

    def questions(self, split: str) -> pl.DataFrame:
        """Questions of a split, with context, answer and truth."""
        questions = pl.read_parquet(self.folder / "questions.parquet")
        return escape_frame(questions.filter(pl.col("split") == split), self.renderer.special)

    def evaluation_questions(self, count: int) -> pl.DataFrame:
        """The questions that models are compared on: ``count`` of each test split; 0: all."""
        return pl.concat([lookups.spread(self.questions(split), count) for split in verdicts.SPLITS])

    def validation_questions(self, count: int) -> pl.DataFrame:
        """``count`` of the validation questions, by whose answers a checkpoint may be chosen."""
        return lookups.spread(self.questions("validation"), count)

    def describe_rows(self, rows: list[int]) -> str:
        """Which questions some training rows are."""
        if self.settings.get("preferences"):
            return self.describe_pairs(rows)
        asked = self.questions("train")
        pairs = asked[[row for row in rows if row < asked.height]].select("product_id", "question").rows()
        named = [f"product {product}: {question!r}" for product, question in pairs]
        mixed = len(rows) - len(pairs)
        return "; ".join([*named, f"{mixed} rows of data.mixture"] if mixed else named)

    def prompts(self, questions: pl.DataFrame) -> list[list[int]]:
        """Token ids that prediction starts from."""
        contexts, texts = self.contexts(questions, False), questions["question"].to_list()
        return self.renderer.prompts(contexts, texts, earlier_turns(questions))

    def save_tokenizer(self, folder: Path) -> None:
        """Write the tokenizer, and the catalogue if the model answers from its rows."""
        super().save_tokenizer(folder)
        if self.is_grounded:
            shutil.copy(self.folder / versions.PRODUCTS, folder)

    def judge(self, questions: pl.DataFrame, predictions: list[str | None]) -> pl.DataFrame:
        """Questions with ``prediction`` and verdict."""
        answers = pl.Series(predictions, dtype=pl.String)
        return verdicts.judge(questions.with_columns(prediction=answers), self.products)

    def judge_all(self, questions: pl.DataFrame, answers: dict[str, list[str | None]]) -> pl.DataFrame:
        """The judged answers of several models, by name."""
        frames = [
            self.judge(questions, texts).with_columns(model=pl.lit(name)) for name, texts in answers.items()
        ]
        return pl.concat(frames)
