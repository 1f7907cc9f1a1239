"""LabelledText: texts with labels, of one table or of files for each split -> batches for the Trainer, texts
for the baselines.

One module for every task: the data configuration says which columns hold text and label, how labels are read
(one a row, several a row, or whether there is any), and which rows are for training where the files do not
say so.
"""

import json
import logging
from functools import cached_property
from pathlib import Path

import polars as pl
import torch

from data.catalogue.sources import find_files
from data.files import Cache, digest_of, source_files, write_json
from data.modules import label_forms, labelled_rows
from data.modules.labelled_rows import SPLITS, check_counts, load_labelled, text_expression, with_splits
from data.modules.reading_code import READING_CODE
from data.modules.token_data import TokenDataModule
from data.questions import splits
from data.questions.splits import balanced
from data.tokens import labelled
from data.tokens import rows as token_rows
from data.tokens.batches import EvaluationBatches, TrainingBatches
from data.tokens.batching import Batching
from data.tokens.cache import Counts, cached_tokens
from data.tokens.chat_templates import Tokenizer
from data.tokens.labelled import LabelledRows
from data.tokens.rows import Rows
from data.values import JsonObject, Settings

log = logging.getLogger(__name__)

CODE = [Path(__file__), *READING_CODE, *source_files(labelled_rows, label_forms, splits)]
TOKEN_CODE = source_files(token_rows, labelled)
COLUMN_FIELDS = (
    "encoding",
    "separator",
    "text_columns",
    "label_column",
    "label_names",
    "label_kind",
    "clean",
    "min_label_rows",
)
SPLIT_FIELDS = ("split_by", "folds", "fold", "validation", "test", "limit")
CONTENT = (*COLUMN_FIELDS, *SPLIT_FIELDS)  # fields of data that decide which texts there are
# steps whose rows are sorted by length together: enough to save padding, too few to make steps of one kind
POOL = 4


class LabelledText(TokenDataModule):
    """Texts with labels.

    Args:
        settings: fields of the configuration group `data`. base: the model's folder or Hub name; '': texts
        without batches.
        cache: folder for prepared data. seed: of splits and order. labels: names in order; empty: read from
        the data.
    """

    rows: dict[str, LabelledRows]

    def __init__(
        self, settings: Settings, base: str, cache: Path, seed: int, labels: list[str] | None = None
    ) -> None:
        super().__init__()
        self.settings, self.base, self.seed, self.cache = settings, base, seed, cache
        self.multi_label = settings["label_kind"] == "multiple"
        self.labels = labels or []

    def prepare_data(self) -> None:
        """Read, clean, split and tokenise the texts that are not in the cache. Raises ValueError for
        unusable data.
        """
        files = find_files(self.settings["path"], self.settings["label_names"])
        names = [file.name for file in files]
        content = {key: self.settings[key] for key in CONTENT}
        self.digest = digest_of(*names, *files, content, self.seed, pl.__version__, *CODE)
        cache = Cache(self.cache, "texts", self.digest)
        if not cache.ready:
            self.make_texts(cache)
        self.folder = cache.path
        self.report = json.loads((self.folder / "report.json").read_text(encoding="utf-8"))
        self.labels = self.report["labels"]
        if self.base:
            options = [self.settings["max_seq_length"], self.settings["truncate"], len(self.labels)]
            rules = json.loads(self.tokenizer.backend_tokenizer.to_str())
            tokens = [self.digest, options, self.multi_label, rules, *TOKEN_CODE]
            self.token_folder, self.token_report = cached_tokens(self.cache, tokens, self.write_tokens)

    @property
    def training_rows(self) -> int:
        """Texts to learn from."""
        return int(self.report["splits"]["train"]["rows"])

    def make_texts(self, cache: Cache) -> None:
        """Files -> rows with text, labels and split, and a report of the counts."""
        frame, aside, labels = load_labelled(self.settings["path"], self.settings, [])
        frame = with_splits(frame, self.settings, self.seed)
        if self.settings["limit"]:
            frame = balanced(frame, self.settings["limit"], self.seed)
        frame = frame.with_row_index("row")
        counts = {split: _count_labels(frame.filter(pl.col("split") == split), labels) for split in SPLITS}
        check_counts(counts, labels)
        train_texts = frame.filter(pl.col("split") == "train")["text"].implode()
        others = frame.filter(pl.col("split") != "train").group_by("split")
        report = {
            "labels": labels,
            "set_aside": aside.group_by("reason").len().sort("reason").rows(),
            "splits": counts,
            "also_in_train": dict(others.agg(pl.col("text").is_in(train_texts).sum()).rows()),
        }
        folder = cache.begin()
        frame.write_parquet(folder / "rows.parquet")
        write_json(folder / "report.json", report)
        cache.commit()

    @cached_property
    def tokenizer(self) -> Tokenizer:
        """The base's own tokenizer. Raises ValueError if there is none."""
        from transformers import AutoTokenizer

        try:
            return AutoTokenizer.from_pretrained(self.base)
        except (OSError, ValueError) as error:
            reason = str(error).splitlines()[0]
            raise ValueError(f"no tokenizer for model.base={self.base}: {reason}") from None

    def write_tokens(self, folder: Path) -> Counts:
        """Texts -> token rows with targets, a file for each split."""
        counts: Counts = {}
        for split in SPLITS:
            frame = self.rows_of(split)
            rows, cut_off = self.encode(frame["text"].to_list(), self.targets(frame["labels"].to_list()))
            rows.save(folder / f"{split}.pt")
            counts[split] = {"rows": len(rows), "tokens": int(rows.lengths.sum()), "cut_off": cut_off}
        return counts

    def encode(self, texts: list[str], targets: torch.Tensor) -> tuple[LabelledRows, int]:
        """(rows of token ids, how many were cut off): at the end, or (``truncate=middle``) so that
        beginning and end stay.
        """
        tokenizer, longest = self.tokenizer, self.settings["max_seq_length"]
        special = tokenizer("")["input_ids"]  # the special tokens alone: those at the end are kept
        opens = special[:1] and special[0] in (tokenizer.bos_token_id, tokenizer.cls_token_id)
        tail = longest // 2 if self.settings["truncate"] == "middle" else len(special) - bool(opens)
        sequences = tokenizer(texts, verbose=False)["input_ids"] if texts else []
        cut_off = 0
        for place, ids in enumerate(sequences):
            if len(ids) > longest:
                sequences[place] = ids[: longest - tail] + ids[len(ids) - tail :]
                cut_off += 1
        pads = [i for i in (tokenizer.pad_token_id, tokenizer.eos_token_id, 0) if i is not None]
        return LabelledRows(*Rows.flatten(sequences), targets, pads[0]), cut_off

    def text_batches(self, texts: list[str], batch_size: int) -> EvaluationBatches:
        """Batches of texts without labels, for prediction."""
        rows, _ = self.encode(texts, torch.zeros(len(texts)))  # targets that are not used
        return EvaluationBatches(rows, batch_size)

    def targets(self, labels: list[list[str]]) -> torch.Tensor:
        """Names -> int64 (rows,) places, or float32 (rows, labels) of 0 and 1 where there can be several."""
        place = {label: i for i, label in enumerate(self.labels)}
        if not self.multi_label:
            return torch.tensor([place[row[0]] for row in labels], dtype=torch.int64)
        targets = torch.zeros(len(labels), len(self.labels))
        for number, row in enumerate(labels):
            targets[number, [place[label] for label in row]] = 1
        return targets

    def texts(self, raw: list[str]) -> list[str]:
        """Typed texts, cleaned as those of the table are."""
        frame = pl.DataFrame({"typed": raw}, schema={"typed": pl.String})
        return frame.select(text_expression(["typed"], self.settings["clean"])).to_series().to_list()

    def rows_of(self, split: str) -> pl.DataFrame:
        """Rows of a split: row, text, labels, words, split, file, line, and the table's own columns."""
        return pl.read_parquet(self.folder / "rows.parquet").filter(pl.col("split") == split)

    def other_rows(self, path: str) -> pl.DataFrame:
        """Rows of another table with the same columns, read, labelled and cleaned as this one; its split
        is 'other'.
        """
        frame, aside, _ = load_labelled(path, self.settings, self.labels)
        if aside.height:
            log.warning("%7d  rows of %s have no text or no label and are left out", aside.height, path)
        if frame.is_empty():
            raise ValueError(f"{path} holds no row with text and label")
        self.digest, self.report = digest_of(Path(path)), {"also_in_train": {}}
        return frame.with_columns(split=pl.lit("other")).with_row_index("row")

    def describe_rows(self, rows: list[int]) -> str:
        """Which texts some training rows are."""
        places = self.rows_of("train")[rows].select("file", "line", "text").rows()
        return "; ".join(f"{file} line {line}: {text[:60]!r}" for file, line, text in places)

    def show_example(self) -> str:
        """The first training text, its tokens as the model sees them, and its labels."""
        first = self.rows_of("train").row(0, named=True)
        lines = [f"text:   {first['text']}", f"labels: {'; '.join(first['labels']) or 'none'}"]
        if self.base:
            rows, _ = self.encode([first["text"]], self.targets([first["labels"]]))
            tokens = self.tokenizer.convert_ids_to_tokens(rows.ids.tolist())
            lines.insert(1, f"tokens: {' '.join(tokens)}")
        return "\n".join(lines)

    def head(self, weighted: bool) -> JsonObject:
        """What a classifier's head must know of the labels; ``weighted``: with weights of the labels'
        losses.
        """
        names = {"labels": self.labels, "multi_label": self.multi_label}
        weights = self.class_weights() if weighted else []
        return names | {"class_weights": weights, "pad_id": self.rows["train"].pad_id}

    def training_texts(self) -> tuple[list[str], torch.Tensor]:
        """(texts, targets) to fit a baseline on."""
        rows = self.rows_of("train")
        return rows["text"].to_list(), self.targets(rows["labels"].to_list())

    def class_weights(self) -> list[float]:
        """Factors of each label's loss, so that rare labels count as much: rows / (labels x rows of the
        label).

        Where a text can have several: rows without the label / rows with it, for the loss of those with it.
        """
        rows, counts = self.training_rows, self.report["splits"]["train"]["labels"].values()
        if self.multi_label:
            return [(rows - count) / count for count in counts]
        return [rows / (len(self.labels) * count) for count in counts]

    def log_summary(self) -> None:
        """Log the counts, what was set aside or cut off, and what leaks."""
        for reason, count in self.report["set_aside"]:
            log.warning("%7d  rows set aside: %s", count, reason)
        for split, counts in self.report["splits"].items():
            names = ", ".join(f"{count} {label}" for label, count in counts["labels"].items())
            leaked = self.report["also_in_train"].get(split, 0)
            leak = f"; {leaked} texts also occur in train" if leaked else ""
            log.info("%7d  %s rows: %s%s", counts["rows"], split, names, leak)
        if not self.base:
            return
        message = "%s: %d of %d texts are longer than data.max_seq_length and cut off"
        for split, counts in self.token_report.items():
            if counts["cut_off"]:
                log.warning(message, split, counts["cut_off"], counts["rows"])

    def setup(self, stage: str | None = None) -> None:
        """Open the prepared token rows."""
        if self.base:
            self.rows = {split: LabelledRows.load(self.token_folder / f"{split}.pt") for split in SPLITS}

    def train_batches(self, batching: Batching) -> TrainingBatches:
        """The training rows, shuffled by (seed, epoch)."""
        return TrainingBatches(self.rows["train"], batching, self.seed, POOL)


def _count_labels(frame: pl.DataFrame, labels: list[str]) -> JsonObject:
    """Rows of a split, and rows of each label."""
    counted = frame.select(pl.col("labels").explode().value_counts(name="rows")).unnest("labels")
    rows = dict(counted.rows())
    return {"rows": frame.height, "labels": {label: rows.get(label, 0) for label in labels}}
