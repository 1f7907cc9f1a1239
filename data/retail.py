"""RetailData: a table of products -> batches for the Trainer, and questions with their scores for the evaluator.

`prepare_data` goes the whole way once (catalogue, questions, splits, token ids) and keeps each result under the hash of all
that it depends on; a second run starts from there.
"""

import json
import logging
import shutil
from pathlib import Path
from typing import Any

import polars as pl
from lightning import LightningDataModule

from data import preparation, quality, scoring, versions
from data.asked import Ask
from data.parts import Parts, shard_of
from data.prompts import Example, Renderer
from data.tables import KINDS
from data.tokens import Batching, Cache, TokenRows, TrainingBatches, digest_of, say_cut_off

log = logging.getLogger(__name__)
HERE = Path(__file__).parent
CODE = [HERE / f"{name}.py" for name in ("tables", "catalogue", "phrases", "questions", "asked", "splits", "quality", "preparation")]
RENDERING = [HERE / name for name in ("prompts.py", "tokens.py")]
ASKING = {"structured", "concurrency", "retries", "timeout", "per_minute"}  # fields of questions that do not change them
NOT_CONTENT = {
    "name",
    "path",
    "task",
    "texts",
    "vocabulary",
    "max_seq_length",
    "mixture",
    "version",
    "against",
    "images",
    "engine",
    "ray_address",
    "shard",
}  # fields that do not change the questions
AT_ONCE = 16_384  # questions that are rendered at a time
ROOM = 8  # tokens that an answer may be longer than the longest one in training


class RetailData(LightningDataModule):
    """Questions about a catalogue.

    Args:
        settings: fields of the data configuration, as a plain dictionary.
        base: the model's folder or Hub name, for its tokenizer.
        cache: folder for prepared data. seed: of questions, splits and order. ask: who answers where a model writes the questions.
    """

    def __init__(self, settings: dict[str, Any], base: str, cache: Path, seed: int, ask: Ask | None = None) -> None:
        super().__init__()
        self.settings, self.seed, self.cache, self.ask = settings, seed, cache, ask
        self.renderer = Renderer(base)
        self.tokenizer = self.renderer.tokenizer

    def prepare_data(self) -> None:
        """Make what is not there yet. Raises ValueError for a table or settings that nothing can be learnt from."""
        self.folder = versions.found(self.settings["version"], self.cache) if self.settings["version"] else self.made()
        self.digest = self.folder.name.removeprefix("questions-")
        key = digest_of(
            self.digest, self.renderer.template, self.renderer.tokenizer.get_vocab(), self.settings["max_seq_length"], *RENDERING
        )
        tokens = Cache(self.cache, "tokens", key)
        if not tokens.ready:
            self.make_tokens(tokens)
        self.token_folder = tokens.path
        self.report = json.loads((self.folder / "report.json").read_text(encoding="utf-8"))
        self.token_report = json.loads((self.token_folder / "report.json").read_text(encoding="utf-8"))
        self.training_rows = self.token_report["train"]["rows"]

    def made(self) -> Path:
        """The folder with products and questions, made from the table if need be."""
        table = Path(self.settings["path"])
        if not table.is_file():
            raise ValueError(f"no table at data.path={table}: give the path of a {KINDS} file")
        content = {key: value for key, value in self.settings.items() if key not in NOT_CONTENT}
        content["questions"] = {key: value for key, value in content["questions"].items() if key not in ASKING}
        if content["questions"]["source"] == "templates":
            content["questions"] = "templates"
        elif content["questions"]["system_prompt"]:
            content["questions"]["system_prompt"] = self.instruction()
        content["quality"] = quality.content_of(content["quality"])
        table_digest = digest_of(table)
        questions = Cache(self.cache, "questions", digest_of(table_digest, content, self.seed, pl.__version__, *CODE))
        if not questions.ready:
            try:
                self.make_questions(table, table_digest, content, questions)
            except ValueError:  # nothing that a second start could go on with
                shutil.rmtree(questions.shared, ignore_errors=True)
                shutil.rmtree(questions.work, ignore_errors=True)
                raise
            except OSError:
                if not questions.ready:  # else another process has put everything in its place, and cleared away
                    raise
        return questions.path

    def make_questions(self, table: Path, table_digest: str, content: dict[str, Any], target: Cache) -> None:
        """Table -> products, questions with splits, quarantine, and a report of every step's count and of leakage."""
        s = self.settings
        parts = Parts(target.shared, s["engine"], s["ray_address"], shard_of(s["shard"]))
        folder = target.begin()
        report = preparation.prepare(table, parts, s, self.seed, self.ask, self.instruction(), folder)
        (folder / "report.json").write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
        made_from = {"table": str(table), "table_digest": table_digest, "settings": content, "seed": self.seed}
        digest = target.path.name.removeprefix("questions-")
        versions.write_lineage(folder, digest, **made_from, polars=pl.__version__, code=digest_of(*CODE))
        target.commit()
        shutil.rmtree(target.shared, ignore_errors=True)

    def instruction(self) -> str:
        """What the model that writes questions is told; '' for the usual. Raises ValueError if the file is not there."""
        name = self.settings["questions"]["system_prompt"]
        if name and not Path(name).is_file():
            raise ValueError(f"data.questions.system_prompt={name}: there is no such file")
        return Path(name).read_text(encoding="utf-8") if name else ""

    def make_tokens(self, target: Cache) -> None:
        """Questions -> token ids, a file for each split, with what was cut off or lost, counted."""
        longest = self.settings["max_seq_length"]
        folder = target.begin()
        counts: dict[str, dict[str, int]] = {}
        for split in ("train", "validation", "test"):
            parts, answers, prompts, cut_off = [TokenRows.of([], longest)], [0], list[int](), 0
            for some in self.questions(split).iter_slices(AT_ONCE):  # as Python lists of ids they take thirty times the memory
                examples = self.render(some)
                parts.append(TokenRows.of(examples, longest))
                answers += [len(e.ids) - e.prompt_length for e in examples]
                cut_off += sum(len(e.ids) > longest for e in examples)
                prompts += [e.prompt_length for e in examples]
            rows = TokenRows.joined(parts)
            rows.save(folder / f"{split}.pt")
            counts[split] = {
                "rows": len(rows),
                "tokens": int(rows.lengths.sum()),
                "answer_tokens": int(rows.sizes.sum()),
                "longest_answer": max(answers),
                "cut_off": cut_off,
                "fully_masked": len(rows) - len(rows.trainable()),
            }
            if split == "validation" and not len(rows):
                raise ValueError(
                    "no question is left for validation, by which the best model is chosen: raise data.validation or data.limit"
                )
            if split == "train" and not len(rows.trainable()):
                raise ValueError(
                    f"no training row has room for an answer: {len(rows)} rows, the shortest prompt {min(prompts, default=0)} tokens and"
                    f" data.max_seq_length={longest}; raise it, or lower data.test, data.validation and data.unseen if there are no rows"
                )
        (folder / "report.json").write_text(json.dumps(counts, indent=2) + "\n", encoding="utf-8")
        target.commit()

    def render(self, questions: pl.DataFrame) -> list[Example]:
        """Questions with their answers -> examples."""
        return self.renderer.render_all(*(questions[c].to_list() for c in ("context", "question", "answer")))

    def shown(self) -> str:
        """The first training example as the model sees it; what is not trained is dimmed."""
        return self.renderer.show(self.render(self.questions("train").head(1))[0])

    def say(self) -> None:
        """Log every step's count, what was set aside, what was cut off, and what leaks."""
        for name, count in self.report["counts"]:
            log.info("%7d  %s", count, name)
        for reason, count in self.report["quarantined"]:
            log.warning("%7d  set aside: %s (%s)", count, reason, self.folder / "quarantine.parquet")
        for reason, count in self.report["written_set_aside"]:
            log.warning("%7d  written questions set aside: %s (%s)", count, reason, self.folder / "questions_set_aside.parquet")
        for what, count in self.report["written_repaired"]:
            log.info("%7d  written questions repaired: %s", count, what)
        quality.say(self.report["quality"], self.folder)
        log.info("questions: %s", ", ".join(f"{count} {name}" for name, count in self.report["splits"]))
        for row in self.report["leakage"]:
            shared = f"{row['same_question']} share a question with training, {row['same_answer']} an answer"
            log.info("leakage: of %d %s rows %s, %d a product", row["rows"], row["split"], shared, row["same_product"])
        say_cut_off(self.token_report)

    def setup(self, stage: str | None = None) -> None:
        """Open the prepared token ids."""
        self.rows = {split: TokenRows.load(self.token_folder / f"{split}.pt") for split in ("train", "validation", "test")}

    def train_batches(self, batching: Batching) -> TrainingBatches:
        """The training rows, shuffled by (seed, epoch)."""
        return TrainingBatches(self.rows["train"], batching, self.seed)

    @property
    def max_new_tokens(self) -> int:
        """Longest answer that a prediction may take."""
        return int(self.token_report["train"]["longest_answer"]) + ROOM

    @property
    def products(self) -> pl.DataFrame:
        """The catalogue that answers are scored against."""
        return pl.read_parquet(self.folder / "products.parquet")

    def questions(self, split: str) -> pl.DataFrame:
        """Questions of a split, with context, answer and truth."""
        return pl.read_parquet(self.folder / "questions.parquet").filter(pl.col("split") == split)

    def described(self, rows: list[int]) -> str:
        """Which questions some training rows are."""
        asked = self.questions("train")[rows].select("product_id", "question").rows()
        return "; ".join(f"product {product}: {question!r}" for product, question in asked)

    def prompts(self, questions: pl.DataFrame) -> list[list[int]]:
        """Token ids that prediction starts from."""
        nothing: list[str | None] = [None] * questions.height
        return [e.ids for e in self.renderer.render_all(questions["context"].to_list(), questions["question"].to_list(), nothing)]

    def judge(self, questions: pl.DataFrame, predictions: list[str | None]) -> pl.DataFrame:
        """Questions with ``prediction`` and verdict."""
        return scoring.judge(questions.with_columns(prediction=pl.Series(predictions, dtype=pl.String)), self.products)
