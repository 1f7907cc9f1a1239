"""The loss of answer tokens equals torch's cross-entropy, gradients and all."""

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from architectures.models import answer_loss


@pytest.mark.parametrize("cap", [0.0, 3.0])
@pytest.mark.parametrize("with_bias", [False, True])
@pytest.mark.parametrize("count", [0, 1, 3])
def test_answer_loss_is_cross_entropy(
    monkeypatch: pytest.MonkeyPatch, cap: float, with_bias: bool, count: int
) -> None:
    monkeypatch.setattr(answer_loss, "LOGITS_AT_ONCE", {"cpu": 1})
    monkeypatch.setattr(answer_loss, "MIN_LOGIT_ROWS", 5)
    draw = torch.Generator().manual_seed(0)
    hidden, weight = torch.randn(13, 8, generator=draw), 3 * torch.randn(40, 8, generator=draw)
    bias = torch.randn(40, generator=draw) if with_bias else None
    labels = torch.randint(0, 40, (13, max(1, count)), generator=draw)
    weights = torch.randn(13, count, generator=draw) if count else None

    def run(own: bool) -> tuple[Tensor, ...]:
        leaves = [x.clone().requires_grad_() for x in (hidden, weight, bias) if x is not None]
        if own:
            given = [*leaves, *([] if with_bias else [None]), labels, cap, weights]
            loss, right = answer_loss.AnswerLoss.apply(*given)
        else:
            logits = functional.linear(*leaves)
            logits = cap * torch.tanh(logits / cap) if cap else logits
            losses = -logits.log_softmax(-1).gather(1, labels)
            loss = (losses if weights is None else losses * weights).sum()
            right = (logits.argmax(-1) == labels[:, 0]).sum()
        (0.7 * loss).backward()
        return loss, right.float(), *[leaf.grad for leaf in leaves if leaf.grad is not None]

    for mine, wanted in zip(run(True), run(False), strict=True):
        torch.testing.assert_close(mine, wanted, rtol=1e-4, atol=1e-5)


def test_a_loss_that_is_far_off_stays_finite() -> None:
    hidden = torch.full((1, 4), 100.0, requires_grad=True)
    weight = torch.stack([torch.ones(4), -torch.ones(4)])
    loss, _ = answer_loss.AnswerLoss.apply(hidden, weight, None, torch.tensor([[1]]), 0.0)
    assert float(loss) == pytest.approx(800)
