"""LabelledText: texts with labels, of one table or of files a split -> batches for the Trainer, texts for the baselines.

One module for every task: the data configuration says which columns hold text and label, how labels are read (one a row,
several a row, or whether there is any), and which rows are for training where the files do not say so.
"""

import json
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl
import torch
from lightning import LightningDataModule

from data.labelled_rows import SPLITS, files_of, labelled, refuse, text_of, with_splits
from data.splits import balanced
from data.tokens import Batching, Cache, Rows, TrainingBatches, digest_of

log = logging.getLogger(__name__)
HERE = Path(__file__).parent
CODE = [HERE / name for name in ("labelled_text.py", "labelled_rows.py", "splits.py", "tables.py")]
CONTENT = ("text_columns", "label_column", "label_names", "label_kind", "clean", "split_by", "folds", "fold", "validation", "test", "limit")
POOL = 4  # steps whose rows are sorted by length together: enough to save padding, too few to make steps of one kind


@dataclass(frozen=True)
class LabelledRows(Rows):
    """Rows with their labels. ``targets``: int64 (rows,) places in the list of labels, or float32 (rows, labels) of 0 and 1."""

    targets: torch.Tensor
    pad_id: int

    @property
    def sizes(self) -> torch.Tensor:
        """Every row counts once. (rows,)"""
        return torch.ones(len(self), dtype=torch.int64)

    def batch(self, rows: list[int]) -> dict[str, Any]:
        """Rows padded on the right to the longest of them.

        input_ids: int64 (rows, time). attention_mask: int64 (rows, time), 1 where there is a token, so that padding is never
        told by its id. targets: as the rows have them. counted: bool (rows,), which rows add to the loss.
        """
        lengths = self.lengths[rows]
        there = torch.arange(int(lengths.max())) < lengths[:, None]
        own = torch.cat([self.ids[self.starts[row] : self.starts[row + 1]] for row in rows]).long()
        input_ids = torch.full(there.shape, self.pad_id).masked_scatter(there, own)
        padded = {"input_ids": input_ids, "attention_mask": there.long()}
        return {**super().batch(rows), **padded, "targets": self.targets[rows], "counted": torch.ones(len(rows), dtype=torch.bool)}

    def blank(self, batch: dict[str, Any]) -> dict[str, Any]:
        """No row is counted."""
        return {**batch, "counted": torch.zeros_like(batch["counted"])}


class LabelledText(LightningDataModule):
    """Texts with labels. The arguments are those of `data.retail.RetailData`; without ``base`` there are texts but no batches."""

    def __init__(self, settings: dict[str, Any], base: str, cache: Path, seed: int) -> None:
        super().__init__()
        self.settings, self.base, self.seed, self.cache = settings, base, seed, cache
        self.multi_label = settings["label_kind"] == "multiple"
        self.labels: list[str] = []

    def prepare_data(self) -> None:
        """Read, clean and split the texts and turn them into token ids, unless that is done. Raises ValueError for unusable data."""
        files = files_of(self.settings["path"], self.settings["label_names"])
        content = {key: self.settings[key] for key in CONTENT}
        self.digest = digest_of(*[f.name for f in files], *files, content, self.seed, pl.__version__, *CODE)
        target = Cache(self.cache, "texts", self.digest)
        if not target.ready:
            self.make_texts(target)
        self.folder = target.path
        self.report = json.loads((self.folder / "report.json").read_text(encoding="utf-8"))
        self.labels = self.report["labels"]
        if self.base:
            self.make_tokens()

    def make_texts(self, target: Cache) -> None:
        """Files -> rows with text, labels and split, and a report of what is where."""
        frame, aside, labels = labelled(self.settings["path"], self.settings, [])
        frame = with_splits(frame, self.settings, self.seed)
        if self.settings["limit"]:
            frame = balanced(frame, self.settings["limit"], self.seed)
        frame = frame.with_row_index("row")
        counts = {split: self.count(frame.filter(pl.col("split") == split), labels) for split in SPLITS}
        train_texts = frame.filter(pl.col("split") == "train")["text"].implode()
        others = frame.filter(pl.col("split") != "train").group_by("split").agg(pl.col("text").is_in(train_texts).sum())
        report = {
            "labels": labels,
            "set_aside": aside.group_by("reason").len().sort("reason").rows(),
            "splits": counts,
            "also_in_train": dict(others.rows()),
        }
        refuse(counts, labels)
        folder = target.begin()
        frame.write_parquet(folder / "rows.parquet")
        (folder / "report.json").write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
        target.commit()

    @staticmethod
    def count(frame: pl.DataFrame, labels: list[str]) -> dict[str, Any]:
        """Rows of a split, and rows of each label."""
        found = dict(frame.select(pl.col("labels").explode().value_counts(name="rows")).unnest("labels").rows())
        return {"rows": frame.height, "labels": {label: found.get(label, 0) for label in labels}}

    @property
    def tokenizer(self) -> Any:
        """The base's own tokenizer."""
        from transformers import AutoTokenizer

        try:
            return AutoTokenizer.from_pretrained(self.base)
        except (OSError, ValueError) as error:
            raise ValueError(f"no tokenizer for model.base={self.base}: {str(error).splitlines()[0]}") from None

    def make_tokens(self) -> None:
        """Texts -> token ids with targets, a file for each split, with what was cut off, counted."""
        tokenizer = self.tokenizer
        longest = self.settings["max_seq_length"]
        how = [longest, self.settings["truncate"], len(self.labels), self.multi_label]
        rules = json.loads(tokenizer.backend_tokenizer.to_str())
        target = Cache(self.cache, "tokens", digest_of(self.digest, how, rules, HERE / "tokens.py"))
        if not target.ready:
            folder = target.begin()
            counts = {}
            for split in SPLITS:
                frame = self.rows_of(split)
                rows, cut_off = self.encode(frame["text"].to_list(), self.targets(frame["labels"].to_list()), tokenizer)
                rows.save(folder / f"{split}.pt")
                counts[split] = {"rows": len(rows), "tokens": int(rows.lengths.sum()), "cut_off": cut_off}
            (folder / "report.json").write_text(json.dumps(counts, indent=2) + "\n", encoding="utf-8")
            target.commit()
        self.token_folder = target.path
        self.token_report = json.loads((self.token_folder / "report.json").read_text(encoding="utf-8"))

    def encode(self, texts: list[str], targets: torch.Tensor, tokenizer: Any) -> tuple[LabelledRows, int]:
        """(rows of token ids, how many were cut off): at the end, or (``truncate=middle``) so that beginning and end stay."""
        longest = self.settings["max_seq_length"]
        empty = tokenizer("")["input_ids"]  # the special tokens alone: those at the end are kept
        ending = len(empty) - sum(1 for i in empty[:1] if i in (tokenizer.bos_token_id, tokenizer.cls_token_id))
        tail = longest // 2 if self.settings["truncate"] == "middle" else ending
        whole = tokenizer(texts, verbose=False)["input_ids"] if texts else []
        kept = [ids if len(ids) <= longest else ids[: longest - tail] + ids[len(ids) - tail :] for ids in whole]
        pad = next((i for i in (tokenizer.pad_token_id, tokenizer.eos_token_id) if i is not None), 0)
        return LabelledRows(*Rows.flatten(kept), targets, pad), sum(len(ids) > longest for ids in whole)

    def targets(self, labels: list[list[str]]) -> torch.Tensor:
        """Names -> int64 (rows,) places, or float32 (rows, labels) of 0 and 1 where there can be several."""
        place = {label: i for i, label in enumerate(self.labels)}
        if not self.multi_label:
            return torch.tensor([place[row[0]] for row in labels], dtype=torch.int64)
        return torch.tensor([[float(label in row) for label in self.labels] for row in labels]).view(-1, len(self.labels))

    def texts(self, raw: list[str]) -> list[str]:
        """Texts that somebody typed, cleaned as those of the table were."""
        return (
            pl.DataFrame({"typed": raw}, schema={"typed": pl.String})
            .select(text_of(["typed"], self.settings["clean"]))
            .to_series()
            .to_list()
        )

    def rows_of(self, split: str) -> pl.DataFrame:
        """Rows of a split: row, text, labels, words, split, file, line, and the table's own columns."""
        return pl.read_parquet(self.folder / "rows.parquet").filter(pl.col("split") == split)

    def other_rows(self, path: str, labels: list[str]) -> pl.DataFrame:
        """Rows of another table with the same columns, read, labelled and cleaned as this one; its split is 'other'."""
        frame, aside, _ = labelled(path, self.settings, labels)
        if aside.height:
            log.warning("%7d  rows of %s have no text or no label and are left out", aside.height, path)
        if frame.is_empty():
            raise ValueError(f"{path} holds no row with text and label")
        return frame.with_columns(split=pl.lit("other")).with_row_index("row")

    def described(self, rows: list[int]) -> str:
        """Which texts some training rows are."""
        found = self.rows_of("train")[rows].select("file", "line", "text").rows()
        return "; ".join(f"{file} line {line}: {text[:60]!r}" for file, line, text in found)

    def shown(self) -> str:
        """The first training text, its tokens as the model sees them, and its labels."""
        first = self.rows_of("train").row(0, named=True)
        lines = [f"text:   {first['text']}", f"labels: {'; '.join(first['labels']) or 'none'}"]
        if self.base:
            rows, _ = self.encode([first["text"]], self.targets([first["labels"]]), self.tokenizer)
            lines.insert(1, f"tokens: {' '.join(self.tokenizer.convert_ids_to_tokens(rows.ids.tolist()))}")
        return "\n".join(lines)

    @property
    def training_rows(self) -> int:
        """Rows to learn from."""
        return int(self.report["splits"]["train"]["rows"])

    def class_weights(self) -> list[float]:
        """By what the loss of each label is multiplied, so that rare ones count as much: rows / (labels x rows of the label).

        Where a text can have several: rows without the label / rows with it, for the loss of those with it.
        """
        rows, counts = self.training_rows, self.report["splits"]["train"]["labels"].values()
        return [(rows - n) / n if self.multi_label else rows / (len(self.labels) * n) for n in counts]

    def say(self) -> None:
        """Log what is where, what was set aside or cut off, and what leaks."""
        for reason, count in self.report["set_aside"]:
            log.warning("%7d  rows set aside: %s", count, reason)
        for split, counts in self.report["splits"].items():
            names = ", ".join(f"{count} {label}" for label, count in counts["labels"].items())
            leak = self.report["also_in_train"].get(split, 0)
            log.info("%7d  %s rows: %s%s", counts["rows"], split, names, f"; {leak} texts also stand in train" if leak else "")
        for split, counts in self.token_report.items() if self.base else []:
            if counts["cut_off"]:
                log.warning("%s: %d of %d texts are longer than data.max_seq_length and cut", split, counts["cut_off"], counts["rows"])

    def setup(self, stage: str | None = None) -> None:
        """Open the prepared token ids."""
        if self.base:
            self.rows = {split: LabelledRows.load(self.token_folder / f"{split}.pt") for split in SPLITS}

    def train_batches(self, batching: Batching) -> TrainingBatches:
        """The training rows, shuffled by (seed, epoch)."""
        return TrainingBatches(self.rows["train"], batching, self.seed, POOL)
