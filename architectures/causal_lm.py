"""CausalLM: the training step. Loss over answer tokens alone, AdamW on what is trained, checkpoints that hold only that.

input_ids   <bos> What is  it  ?  It  is  red <eos> <bos> And  it  ?  It ...     documents on end, no padding
position      0     1   2   3  4   5   6   7   8      0   1    2   3   4
places                         ^   ^   ^   ^                       ^             they alone reach the output head
targets                        It  is red <eos>                    It
"""

import math
from typing import Any

import torch
from torch import Tensor, nn
from torchmetrics import MetricCollection, SumMetric

from architectures import adapters
from architectures.fine_tuning import COUNTED, Counts, FineTuned
from architectures.lean import AnswerLoss


class CausalLM(FineTuned):
    """A language model that learns to answer. ``model``: arguments of `adapters.build`; the rest is `FineTuned`'s."""

    def __init__(self, model: dict[str, Any], optimization: dict[str, Any], origin: dict[str, Any]) -> None:
        super().__init__(model, optimization, origin)
        self.held = MetricCollection({name: SumMetric() for name in COUNTED}, compute_groups=False)

    def build(self, shapes_only: bool = False) -> nn.Module:
        """A causal LM, with an adapter or trained whole."""
        return adapters.build(**self.model_settings | ({"init": "random"} if shapes_only else {}))

    def forward(self, input_ids: Tensor, position_ids: Tensor, lengths: list[int]) -> Tensor:
        """Hidden states of documents on end. input_ids, position_ids: (tokens,) -> (tokens, width)"""
        return adapters.hidden_states(self.net, input_ids, position_ids, lengths)

    def sums(
        self, input_ids: Tensor, position_ids: Tensor, lengths: list[int], places: Tensor, targets: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """(loss, right guesses, answer tokens), summed. places: (answers,) tokens that predict; targets: (answers,) what comes next."""
        hidden = self.forward(input_ids, position_ids, lengths)  # not self(...): under FSDP that would free what the head needs
        weight, bias, cap = adapters.head_of(self.net)
        weight = weight if torch.is_grad_enabled() else weight.detach()
        loss, right = AnswerLoss.apply(hidden.index_select(0, places), weight, bias, targets, cap)
        return loss, right, torch.tensor(len(targets), device=loss.device)

    def count(self, batch: dict[str, Any]) -> Counts:
        """Loss and right guesses of a batch."""
        return Counts(*self.sums(*(batch[name] for name in ("input_ids", "position_ids", "lengths", "places", "targets"))))

    def training_step(self, batch: dict[str, Any], batch_idx: int) -> Tensor:
        """Loss, normalised by the answer tokens of the whole optimiser step, over its micro-batches and processes."""
        return self.step_loss(self.count(batch), batch)

    def derived(self, loss: float) -> dict[str, float]:
        """Perplexity, of a loss in nats."""
        return {"train/perplexity": math.exp(min(loss, 50))}

    def validation_step(self, batch: dict[str, Any], batch_idx: int) -> None:
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
