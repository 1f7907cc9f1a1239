"""CausalLM: the training step. Loss over answer tokens alone, AdamW on what is trained, checkpoints that hold
only that.

input_ids   <bos> What is  it  ?  It  is  red <eos> <bos> And  it  ?  It ...     documents on end, no padding
position      0     1   2   3  4   5   6   7   8      0   1    2   3   4
places                         ^   ^   ^   ^                       ^         only they reach the output head
targets                        It  is red <eos>                    It
"""

import math

import torch
from torch import Tensor, nn
from torchmetrics import MetricCollection, SumMetric

from architectures.models import batch_layout, building
from architectures.models.answer_loss import AnswerLoss
from architectures.models.embedding_noise import embedding_noise
from architectures.models.fine_tuned import COUNTED, Counts, FineTuned
from architectures.values import Batch, Settings

INPUTS = ("input_ids", "lengths", "places", "targets")  # of a batch


class CausalLM(FineTuned):
    """A language model that learns to answer. ``model``: arguments of `build_net`; the rest is
    `FineTuned`'s.
    """

    def __init__(self, model: Settings, optimization: Settings, origin: Settings) -> None:
        super().__init__(model, optimization, origin)
        self.on_end: bool | None = None  # whether documents stand on end; None: not tried yet
        self.held = MetricCollection({name: SumMetric() for name in COUNTED}, compute_groups=False)

    def build(self, shapes_only: bool = False) -> nn.Module:
        """A causal LM, with an adapter or trained whole."""
        settings = {**self.model_settings, "init": "random"} if shapes_only else self.model_settings
        net: nn.Module = building.build_net(**settings)
        return net

    def forward(self, input_ids: Tensor, lengths: list[int]) -> Tensor:
        """Hidden states of documents. input_ids: (tokens,) -> (tokens, width)"""
        if self.on_end is None:
            self.on_end = batch_layout.keeps_documents_apart(self.net)
        alpha = float(self.optimization.get("neftune_alpha", 0)) if self.training else 0.0
        with embedding_noise(self.net, lengths, alpha):
            return batch_layout.hidden_states(self.net, input_ids, lengths, self.on_end)

    def answer_states(self, input_ids: Tensor, lengths: list[int], places: Tensor) -> Tensor:
        """The hidden states that predict, as the output head takes them. -> (answers, width)"""
        # not self(...): under FSDP that would free what the head needs
        hidden = self.forward(input_ids, lengths).index_select(0, places)
        factor = batch_layout.output_head(self.net)[3]
        return hidden if factor == 1 else hidden * factor

    def sums(
        self, input_ids: Tensor, lengths: list[int], places: Tensor, targets: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """(loss, right guesses, answer tokens), summed.

        places: (answers,) tokens that predict. targets: (answers,) what comes next.
        """
        hidden = self.answer_states(input_ids, lengths, places)
        weight, bias, cap, _ = batch_layout.output_head(self.net)
        weight = weight if torch.is_grad_enabled() else weight.detach()
        loss, right = AnswerLoss.apply(hidden, weight, bias, targets[:, None], cap)
        return loss, right, torch.tensor(len(targets), device=loss.device)

    def count(self, batch: Batch) -> Counts:
        """Loss and right guesses of a batch."""
        inputs = [batch[name] for name in INPUTS]
        return Counts(*self.sums(*inputs))

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Loss, normalised by the answer tokens of the whole optimiser step, over its micro-batches and
        processes.
        """
        return self.step_loss(self.count(batch), batch)

    def derived(self, loss: float) -> dict[str, float]:
        """Perplexity, of a loss in nats."""
        return {"train/perplexity": math.exp(min(loss, 50))}

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
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
