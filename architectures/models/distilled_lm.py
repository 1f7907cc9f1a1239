"""DistilledLM: learns answers together with the token probabilities of a bigger model, the teacher.

Hinton et al. 2015, https://arxiv.org/abs/1503.02531, with the teacher's most likely tokens alone: their
probabilities, scaled to a sum of 1, are computed once for all training rows and kept in a file.
"""

import os
from collections.abc import Callable, Iterable
from pathlib import Path

import torch
from torch import Tensor
from tqdm import tqdm

from architectures.models import batch_layout
from architectures.models.answer_loss import AnswerLoss, some_logits
from architectures.models.causal_lm import CausalLM
from architectures.models.fine_tuned import Counts
from architectures.values import Batch, Settings


class DistilledLM(CausalLM):
    """A student. Validation and test are `CausalLM`'s.

    Args:
        optimization: `CausalLM`'s, with teacher_weight (share of the loss that the teacher's probabilities
        have) and teacher_tokens (how many of its tokens are kept for each answer token).
    """

    def __init__(self, model: Settings, optimization: Settings, origin: Settings) -> None:
        super().__init__(model, optimization, origin)
        self.likely: Tensor | None = None  # int32 (answer tokens of all rows, tokens), their ids
        self.chances: Tensor | None = None  # float16, of the same shape, which sum to 1
        self.starts: list[int] = []  # where each row's answer tokens begin; rows + 1 of them

    def learn_from(self, teacher: CausalLM | None, rows: Callable[[], Iterable[Batch]], path: Path) -> None:
        """Load the teacher's probabilities for all training rows. With a teacher they are computed first and
        written to the file, with a progress bar; without one the file is there.

        Args:
            rows: gives every row once, in any order.
        """
        if teacher is not None:
            content = _ask(teacher, rows(), int(self.optimization["teacher_tokens"]))
            partial = path.with_name(f"{path.name}.{os.getpid()}.partial")
            torch.save(content, partial)
            partial.replace(path)
        content = torch.load(path, weights_only=True, mmap=True)
        self.likely, self.chances = content["likely"], content["chances"]
        self.starts = content["starts"].tolist()

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Loss, normalised by the answer tokens of the whole optimiser step."""
        return self.step_loss(self.learn(batch), batch)

    def learn(self, batch: Batch) -> Counts:
        """(cross-entropy with answers and teacher, right guesses of the answers, answer tokens), summed."""
        assert self.likely is not None and self.chances is not None
        targets, share = batch["targets"], float(self.optimization["teacher_weight"])
        weight, bias, cap, _ = batch_layout.output_head(self.net)
        states = self.answer_states(batch["input_ids"], batch["lengths"], batch["places"])
        places = [torch.arange(self.starts[row], self.starts[row + 1]) for row in batch["rows"].tolist()]
        if not len(targets):  # a process without rows of its own
            places = []
        chosen = torch.cat([torch.empty(0, dtype=torch.int64), *places])
        likely = self.likely[chosen].to(targets.device, torch.int64)
        chances = self.chances[chosen].to(targets.device, torch.float32) * share
        labels = torch.cat([targets[:, None], likely], 1)
        weights = torch.cat([torch.full_like(chances[:, :1], 1 - share), chances], 1)
        loss, right = AnswerLoss.apply(states, weight, bias, labels, cap, weights)
        return Counts(loss, right, torch.tensor(len(targets), device=loss.device))


@torch.inference_mode()
def _ask(teacher: CausalLM, batches: Iterable[Batch], count: int) -> dict[str, Tensor]:
    """The teacher's most likely tokens in the place of each answer token, row after row."""
    teacher.eval()
    by_row: dict[int, tuple[Tensor, Tensor]] = {}
    for batch in tqdm(batches, desc="teacher", delay=2, leave=False):
        here = teacher.transfer_batch_to_device(batch, teacher.device, 0)
        states = teacher.answer_states(here["input_ids"], here["lengths"], here["places"])
        likely, chances = _likeliest(teacher, states, count)
        ends = torch.tensor(batch["lengths"]).cumsum(0)
        sizes = torch.bincount(
            torch.bucketize(batch["places"], ends, right=True), minlength=len(ends)
        ).tolist()
        parts = zip(likely.split(sizes), chances.split(sizes), strict=True)
        by_row |= dict(zip(batch["rows"].tolist(), parts, strict=True))
    rows = range(max(by_row) + 1)
    nothing = torch.empty(0, count, dtype=torch.int32), torch.empty(0, count, dtype=torch.float16)
    ids, shares = zip(*[by_row.get(row, nothing) for row in rows], strict=True)
    starts = torch.tensor([0, *map(len, ids)]).cumsum(0)
    return {"likely": torch.cat(ids), "chances": torch.cat(shares), "starts": starts}


def _likeliest(teacher: CausalLM, states: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """(ids, probabilities that sum to 1) of the likeliest tokens. -> (tokens, count) each, on the CPU"""
    weight, bias, cap, _ = batch_layout.output_head(teacher.net)
    found, shares = list[Tensor](), list[Tensor]()
    for _, logits in some_logits(states, weight, bias, cap):
        top = logits.topk(count)
        found.append(top.indices.int().cpu())
        shares.append(top.values.softmax(-1).half().cpu())
    return torch.cat(found), torch.cat(shares)
