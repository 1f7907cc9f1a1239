"""InstructionData: instruction pairs and conversations -> batches, with loss on the assistant's turns alone; mixtures of several sets.

The arguments and what it offers are those of `data.retail.RetailData`; there are no questions to score, so a run ends with the loss on test
rows.
"""

import json
import logging
from itertools import chain
from pathlib import Path
from typing import Any

import polars as pl
from lightning import LightningDataModule

from data import conversations, quality
from data.labelled_rows import files_of
from data.prompts import Example, Renderer
from data.tables import read_table
from data.tokens import Batching, Cache, TokenRows, TrainingBatches, digest_of, say_cut_off

log = logging.getLogger(__name__)
HERE = Path(__file__).parent
CODE = [HERE / name for name in ("conversations.py", "instructions.py", "tables.py", "quality.py")]
RENDERING = [HERE / name for name in ("prompts.py", "tokens.py")]
SPLITS = ("train", "validation", "test")
CONTENT = ("mixture", "validation", "test", "limit")  # fields of the settings that decide which conversations there are
AT_ONCE = 4096  # conversations that are rendered at a time


class InstructionData(LightningDataModule):
    """Conversations of ``path`` and, as often as their weights say, of ``mixture`` (path -> weight)."""

    def __init__(self, settings: dict[str, Any], base: str, cache: Path, seed: int) -> None:
        super().__init__()
        self.settings, self.seed, self.cache = settings, seed, cache
        self.renderer = Renderer(base)
        self.tokenizer = self.renderer.tokenizer

    def prepare_data(self) -> None:
        """Read, split and tokenize what is not there yet. Raises ValueError for files in which there is nothing to learn."""
        s = self.settings
        files = {path: files_of(path, []) for path in [s["path"], *s["mixture"]]}
        content = {key: s[key] for key in CONTENT} | {"quality": quality.content_of(s["quality"])}
        self.digest = digest_of(content, self.seed, pl.__version__, *chain.from_iterable(files.values()), *CODE)
        rows = Cache(self.cache, "conversations", self.digest)
        if not rows.ready:
            self.make_rows(files, rows)
        self.folder = rows.path
        tokens = Cache(self.cache, "tokens", digest_of(
            self.digest, self.renderer.template, self.tokenizer.get_vocab(), s["max_seq_length"], *RENDERING))  # fmt: skip
        if not tokens.ready:
            self.make_tokens(tokens)
        self.token_folder = tokens.path
        self.report = json.loads((self.folder / "report.json").read_text(encoding="utf-8"))
        self.token_report = json.loads((self.token_folder / "report.json").read_text(encoding="utf-8"))
        self.training_rows = self.token_report["train"]["rows"]

    def make_rows(self, files: dict[str, list[Path]], target: Cache) -> None:
        """Files -> conversations with splits, quarantine, and a report of the counts."""
        s, sources, aside, counts = self.settings, [], [], list[dict[str, Any]]()
        weights = {file.name: weight for path, weight in {s["path"]: 1.0, **s["mixture"]}.items() for file in files[path]}
        for file in chain.from_iterable(files.values()):
            frame, unread = read_table(file)
            try:
                good, bad, ended = conversations.read(frame)
            except ValueError as error:
                raise ValueError(f"{file}: {error}") from None
            count = {"file": file.name, "rows": frame.height, "set_aside": bad.height + unread.height, "end_tokens": ended}
            counts.append({**count, "twins": frame.height - bad.height - good.height, "weight": weights[file.name]})
            if s["limit"]:
                good = good.sample(min(s["limit"], good.height), seed=self.seed, shuffle=True)
            sources.append(good.with_columns(source=pl.lit(file.name)))
            aside += [
                f.with_columns(source=pl.lit(file.name)) for f in (bad, unread.select(pl.col("row").cast(pl.UInt32), "reason", "raw"))
            ]
        quarantine = pl.concat(aside)
        whole = conversations.split(
            pl.concat(sources).unique("messages", keep="first", maintain_order=True), s["validation"], s["test"], self.seed
        )
        folder, judged = target.begin(), list[Any]()
        if s["quality"]["filters"]:
            text = pl.col("messages").list.eval(pl.element().struct.field("content")).list.join("\n")
            whole, judged = quality.keep(whole, text, pl.col("source"), s["quality"], folder)
        whole = pl.concat([conversations.weighted(whole.filter(pl.col("source") == name), w, self.seed) for name, w in weights.items()])
        for count in counts:
            of_file = whole.filter(pl.col("source") == count["file"])
            count |= {split: of_file.filter(pl.col("split") == split).height for split in SPLITS}
        why = f", for example: {quarantine['reason'][0]}" if quarantine.height else ""
        for split in ("train", "validation"):
            if not whole.filter(pl.col("split") == split).height:
                raise ValueError(
                    f"no conversation is left for {split} of {sum(c['rows'] for c in counts)} rows"
                    f" ({quarantine.height} were set aside{why}): mend data.path, data.validation or data.test"
                )
        whole.write_parquet(folder / "conversations.parquet")
        quarantine.write_parquet(folder / "quarantine.parquet")
        reasons = quarantine.group_by("reason").len().sort("reason").rows()
        (folder / "report.json").write_text(
            json.dumps({"files": counts, "quarantined": reasons, "quality": judged}, indent=2) + "\n", encoding="utf-8"
        )
        target.commit()

    def make_tokens(self, target: Cache) -> None:
        """Conversations -> token ids, a file for each split, with what was cut off or lost, counted."""
        longest, folder = self.settings["max_seq_length"], target.begin()
        counts: dict[str, dict[str, int]] = {}
        for split in SPLITS:
            parts, cut_off = [TokenRows.of([], longest)], 0
            for some in self.rows_of(split).iter_slices(AT_ONCE):
                examples = self.render(some)
                parts.append(TokenRows.of(examples, longest))
                cut_off += sum(len(e.ids) > longest for e in examples)
            rows = TokenRows.joined(parts)
            rows.save(folder / f"{split}.pt")
            counts[split] = {"rows": len(rows), "tokens": int(rows.lengths.sum()), "answer_tokens": int(rows.sizes.sum())}
            counts[split] |= {"cut_off": cut_off, "fully_masked": len(rows) - len(rows.trainable())}
        if not counts["train"]["answer_tokens"]:
            raise ValueError(f"no training row has room for an answer within data.max_seq_length={longest}: raise it")
        (folder / "report.json").write_text(json.dumps(counts, indent=2) + "\n", encoding="utf-8")
        target.commit()

    def rows_of(self, split: str) -> pl.DataFrame:
        """Conversations of a split."""
        return pl.read_parquet(self.folder / "conversations.parquet").filter(pl.col("split") == split)

    def render(self, rows: pl.DataFrame) -> list[Example]:
        """Conversations -> examples."""
        return self.renderer.render_conversations(rows["messages"].to_list())

    def shown(self) -> str:
        """The first training example as the model sees it; what is not trained is dimmed."""
        return self.renderer.show(self.render(self.rows_of("train").head(1))[0])

    def say(self) -> None:
        """Log what was read, set aside, cut off."""
        for c in self.report["files"]:
            lost = f"{c['set_aside']} set aside, {c['twins']} twice, an end token taken off {c['end_tokens']} answers"
            splits = ", ".join(f"{c[split]} {split}" for split in SPLITS)
            log.info("%7d  rows of %s: %s; %s (weight %g)", c["rows"], c["file"], lost, splits, c["weight"])
        for why, count in self.report["quarantined"]:
            log.warning("%7d  set aside: %s (%s)", count, why, self.folder / "quarantine.parquet")
        quality.say(self.report["quality"], self.folder)
        say_cut_off(self.token_report)

    def setup(self, stage: str | None = None) -> None:
        """Open the prepared token ids."""
        self.rows = {split: TokenRows.load(self.token_folder / f"{split}.pt") for split in SPLITS}

    def train_batches(self, batching: Batching) -> TrainingBatches:
        """The training rows, shuffled by (seed, epoch)."""
        return TrainingBatches(self.rows["train"], batching, self.seed)

    def described(self, rows: list[int]) -> str:
        """How some training rows begin."""
        training = self.rows_of("train")
        if training.height != len(self.rows["train"]):  # a conversation may be several rows of tokens
            return f"rows number {', '.join(map(str, rows))} of {self.token_folder / 'train.pt'}"
        openings = [str(messages[0]["content"])[:80] for messages in training[rows]["messages"].to_list()]
        return "; ".join(repr(text) for text in openings)
