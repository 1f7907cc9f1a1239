"""PreferenceLM: learns which of two answers is preferred, by direct preference optimisation.

DPO: Rafailov et al. 2023, https://arxiv.org/abs/2305.18290; with the likelihood of the preferred answer as a
second term: Pang et al. 2024, https://arxiv.org/abs/2404.19733. Both answers of a pair stand in one batch, on
end and without padding. The reference is the model as training begins (its base, or the adapter that it goes
on from), whose log-probabilities are computed once.
"""

from collections.abc import Iterable

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, logsigmoid
from tqdm import tqdm

from architectures.models import batch_layout
from architectures.models.answer_loss import AnswerLoss, some_logits
from architectures.models.causal_lm import CausalLM
from architectures.models.fine_tuned import Counts
from architectures.values import Batch, Settings

REFERENCE = "reference"  # its key in a checkpoint


class PreferenceLM(CausalLM):
    """A language model that is trained on pairs of answers. Validation and test are `CausalLM`'s.

    Args:
        optimization: `CausalLM`'s, with dpo_beta and sft_weight.
    """

    def __init__(self, model: Settings, optimization: Settings, origin: Settings) -> None:
        super().__init__(model, optimization, origin)
        self.reference: Tensor | None = None  # (rows, 2) log-probabilities of both answers

    @torch.no_grad()
    def log_probabilities(self, states: Tensor, batch: Batch) -> Tensor:
        """Of both answers of each pair, in nats. -> (pairs, 2) float32, the preferred answer first"""
        weight, bias, cap, _ = batch_layout.output_head(self.net)
        losses = []
        for some, logits in some_logits(states, weight, bias, cap):
            losses.append(cross_entropy(logits, batch["targets"][some], reduction="none"))
        sums = torch.zeros(2 * len(batch["rows"]), device=states.device)
        if losses:
            sums.index_add_(0, batch["sequences"], -torch.cat(losses).float())
        return sums.view(-1, 2)

    @torch.no_grad()
    def remember_reference(self, batches: Iterable[Batch]) -> None:
        """Compute the log-probabilities of the reference, which this model is at the moment; with a progress
        bar.
        """
        was_training = self.training
        self.eval()
        found: dict[int, Tensor] = {}
        for batch in tqdm(batches, desc="reference", delay=2, leave=False):
            here = self.transfer_batch_to_device(batch, self.device, 0)
            states = self.answer_states(here["input_ids"], here["lengths"], here["places"])
            pairs = self.log_probabilities(states, here)
            found |= dict(zip(batch["rows"].tolist(), pairs, strict=True))
        self.reference = torch.zeros(max(found) + 1, 2, device=self.device)
        self.reference[list(found)] = torch.stack(list(found.values()))
        self.train(was_training)

    def compare(self, batch: Batch) -> Counts:
        """(loss, pairs whose preferred answer gained more than the other, pairs), summed.

        The loss of a pair is -log sigmoid(beta * margin) - sft_weight * log p(preferred) / its tokens, where
        the margin is how much more the preferred answer has gained over the reference than the other one.
        """
        assert self.reference is not None
        states = self.answer_states(batch["input_ids"], batch["lengths"], batch["places"])
        sequences = batch["sequences"]
        beta, sft = float(self.optimization["dpo_beta"]), float(self.optimization["sft_weight"])
        found = self.log_probabilities(states, batch)
        gains = found - self.reference.to(found.device)[batch["rows"]]
        margins = beta * (gains[:, 0] - gains[:, 1])
        tokens = torch.bincount(sequences, minlength=found.numel()).view(-1, 2).clamp(min=1)
        likelihood = found[:, 0] / tokens[:, 0]
        loss = (-logsigmoid(margins) - sft * likelihood).sum()
        # the gradient: what the loss of each token counts, computed while the logits are at hand
        push = beta * torch.sigmoid(-margins)
        shares = torch.stack([push + sft / tokens[:, 0], -push], 1).flatten()
        weight, bias, cap, _ = batch_layout.output_head(self.net)
        targets, weights = batch["targets"][:, None], shares[sequences][:, None]
        weighted, _ = AnswerLoss.apply(states, weight, bias, targets, cap, weights)
        right, size = (margins > 0).sum(), torch.tensor(len(margins), device=loss.device)
        return Counts(weighted + (loss - weighted.detach()), right, size)

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Loss, normalised by the pairs of the whole optimiser step."""
        return self.step_loss(self.compare(batch), batch)

    def derived(self, loss: float) -> dict[str, float]:
        """Nothing: the loss is of pairs, not of tokens."""
        return {}

    def on_save_checkpoint(self, checkpoint: Settings) -> None:
        """What is trained, and the reference, which later weights could not give."""
        super().on_save_checkpoint(checkpoint)
        checkpoint[REFERENCE] = self.reference

    def on_load_checkpoint(self, checkpoint: Settings) -> None:
        """Restore the reference, too."""
        super().on_load_checkpoint(checkpoint)
        self.reference = checkpoint[REFERENCE]
