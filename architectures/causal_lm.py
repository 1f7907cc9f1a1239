"""CausalLM: the training step. Loss over answer tokens alone, AdamW on what is trained, checkpoints that hold only that.

input_ids   <bos> What is  it  ?  It  is  red <eos> <pad>
labels       -     -   -   -   -  It  is  red <eos>  -        (- is IGNORED)
reach the output head:         ^   ^   ^   ^
"""

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint
from torchmetrics import MetricCollection, SumMetric

from architectures import adapters
from architectures.fine_tuning import COUNTED, Counts, FineTuned

IGNORED = -100  # label of a token that is not trained
HEAD_ROWS = 1024  # answer tokens whose logits are held at once


class CausalLM(FineTuned):
    """A language model that learns to answer. ``model``: arguments of `adapters.build`; the rest is `FineTuned`'s."""

    def __init__(self, model: dict[str, Any], optimization: dict[str, Any], origin: dict[str, Any]) -> None:
        super().__init__(model, optimization, origin)
        self.held = MetricCollection({name: SumMetric() for name in COUNTED}, compute_groups=False)

    def build(self, shapes_only: bool = False) -> nn.Module:
        """A causal LM, with an adapter or trained whole."""
        return adapters.build(**self.model_settings | ({"init": "random"} if shapes_only else {}))

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Hidden states. input_ids, attention_mask: (batch, time) -> (batch, time, width)"""
        return adapters.hidden_states(self.net, input_ids, attention_mask)

    def head(self, hidden: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """(summed loss, right guesses) of answer tokens. hidden: (tokens, width); labels: (tokens,)"""
        logits = adapters.logits_of(self.net, hidden)  # (tokens, vocabulary)
        return functional.cross_entropy(logits, labels, reduction="sum"), (logits.argmax(-1) == labels).sum()

    def sums(self, input_ids: Tensor, attention_mask: Tensor, labels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(loss, right guesses, answer tokens), summed. (batch, time) each. The logits of at most `HEAD_ROWS` tokens exist at once."""
        hidden = self.forward(input_ids, attention_mask)  # not self(...): under FSDP that would free what the head needs
        kept = labels[:, 1:] != IGNORED  # (batch, time - 1)
        hidden, labels = hidden[:, :-1][kept], labels[:, 1:][kept]
        if len(labels) <= HEAD_ROWS:
            return *self.head(hidden, labels), kept.sum()
        pairs = zip(hidden.split(HEAD_ROWS), labels.split(HEAD_ROWS), strict=True)
        parts = [checkpoint(self.head, h, y, use_reentrant=False) for h, y in pairs]
        return torch.stack([p[0] for p in parts]).sum(), torch.stack([p[1] for p in parts]).sum(), kept.sum()

    def count(self, batch: dict[str, Tensor]) -> Counts:
        """Loss and right guesses of a batch."""
        return Counts(*self.sums(batch["input_ids"], batch["attention_mask"], batch["labels"]))

    def training_step(self, batch: dict[str, Tensor], batch_idx: int) -> Tensor:
        """Loss, normalised by the answer tokens of the whole optimiser step, over its micro-batches and processes."""
        return self.step_loss(self.count(batch), batch)

    def derived(self, loss: float) -> dict[str, float]:
        """Perplexity, of a loss in nats."""
        return {"train/perplexity": math.exp(min(loss, 50))}

    def validation_step(self, batch: dict[str, Tensor], batch_idx: int) -> None:
        """Count; nothing is averaged before the end."""
        counts = self.count(batch)
        for name in COUNTED:
            self.held[name].update(getattr(counts, name))

    def log_split(self, split: str) -> None:
        """Loss, perplexity and token accuracy of a split."""
        held = self.held.compute()
        loss, accuracy = held["loss"] / held["size"], held["right"] / held["size"]
        self.held.reset()
        self.log(f"{split}/loss", loss, prog_bar=True)
        self.log(f"{split}/perplexity", loss.exp())
        self.log(f"{split}/accuracy", accuracy)
