"""The loss of answer tokens, with its own gradient: logits of a few tokens exist at a time, and only once.

It equals the cross-entropy that torch computes apart from rounding.
"""

from collections.abc import Iterator

import torch
from torch import Tensor

from architectures.models.fused_ops import matmul_dtype
from architectures.values import Context

LOGITS_AT_ONCE = {"cpu": 2**21, "cuda": 2**27}  # logits that exist at once: on a CPU what stays in its caches

TOKENS_AT_ONCE = 512  # whose logits exist at once without gradients
MIN_LOGIT_ROWS = 64  # whose logits exist at once all the same: fewer waste the product


def _cap_logits(logits: Tensor, cap: float, with_slope: bool) -> Tensor | None:
    """Cap logits in place to cap * tanh(logits / cap); a quarter of the slope of that, if it is needed.

    tanh(x) is 2 sigmoid(2 x) - 1, which CPUs compute in a seventh of the time.
    """
    logits.mul_(2 / cap).sigmoid_()
    slope = torch.mul(logits, logits).neg_().add_(logits) if with_slope else None
    logits.mul_(2 * cap).sub_(cap)
    return slope


def _answer_logits(
    states: Tensor, matrix: Tensor, bias: Tensor | None, cap: float, with_slope: bool
) -> tuple[Tensor, Tensor | None]:
    """(logits in float32, capped if ``cap`` is not 0; a quarter of the cap's slope, if it is needed)

    states: (tokens, width); matrix: (vocabulary, width) -> (tokens, vocabulary)
    """
    logits = (states @ matrix.t()).float()
    if bias is not None:
        logits += bias
    return logits, _cap_logits(logits, cap, with_slope) if cap else None


def some_logits(
    states: Tensor, weight: Tensor, bias: Tensor | None, cap: float
) -> Iterator[tuple[slice, Tensor]]:
    """(which tokens, their logits), some tokens at a time, without gradients.

    states: (tokens, width); weight: (vocabulary, width) -> (some tokens, vocabulary) in float32
    """
    dtype = matmul_dtype(states)
    matrix = weight.to(dtype)
    for start in range(0, len(states), TOKENS_AT_ONCE):
        some = slice(start, start + TOKENS_AT_ONCE)
        yield some, _answer_logits(states[some].to(dtype), matrix, bias, cap, with_slope=False)[0]


def _to_gradient(z: Tensor, target: Tensor, slope: Tensor | None, weights: Tensor | None) -> Tensor:
    """Probabilities -> the gradient of the loss by the logits, in place. target, weights: (tokens, labels)"""
    if weights is None:
        weights = torch.ones_like(target, dtype=z.dtype)
    else:
        z.mul_(weights.sum(1, keepdim=True))
    z.scatter_add_(1, target, -weights)
    return z if slope is None else z.mul_(slope).mul_(4)


class AnswerLoss(torch.autograd.Function):
    """Cross-entropy over a vocabulary, summed, and right guesses; the logits of a few rows exist at a time,
    and only once.

    The gradient of the hidden states is computed in the forward pass, while the logits are at hand; so the
    loss may be multiplied by a number afterwards, but the weight of each label of a token (None: 1) is given
    before. The first label is what a right guess is. ``cap``: of the logits, or 0.
    """

    @staticmethod
    def forward(
        ctx: Context,
        hidden: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        labels: Tensor,
        cap: float,
        weights: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """hidden: (tokens, width); weight: (vocabulary, width); labels, weights: (tokens, labels)"""
        dtype = matmul_dtype(hidden)
        states, matrix = hidden.to(dtype), weight.to(dtype)
        wanted = ctx.needs_input_grad
        loss, right = torch.zeros((), device=hidden.device), torch.tensor(0, device=hidden.device)
        grad_hidden = torch.empty_like(states) if wanted[0] else None
        grad_weight = torch.zeros_like(weight, dtype=torch.float32) if wanted[1] else None
        grad_bias = torch.zeros_like(bias, dtype=torch.float32) if bias is not None and wanted[2] else None
        step = max(MIN_LOGIT_ROWS, LOGITS_AT_ONCE.get(hidden.device.type, 2**27) // len(weight))
        for start in range(0, len(labels), step):
            part, target = states[start : start + step], labels[start : start + step]
            z, slope = _answer_logits(part, matrix, bias, cap, any(wanted[:3]))
            share = None if weights is None else weights[start : start + step]
            top, at_target = z.amax(-1, keepdim=True), z.gather(1, target)
            z = z.softmax(-1)
            losses = top - at_target - z.amax(-1, keepdim=True).log()
            loss += losses.sum() if share is None else (losses * share).sum()
            right += (at_target[:, :1] >= top).sum()
            if not any(wanted[:3]):
                continue
            g = _to_gradient(z, target, slope, share).to(dtype)
            if grad_hidden is not None:
                torch.mm(g, matrix, out=grad_hidden[start : start + step])
            if grad_weight is not None:
                grad_weight += g.t() @ part
            if grad_bias is not None:
                grad_bias += z.sum(0)
        ctx.save_for_backward(grad_hidden, grad_weight, grad_bias)
        ctx.kinds = (hidden.dtype, weight.dtype, bias.dtype if bias is not None else None)
        ctx.mark_non_differentiable(right)
        return loss, right

    @staticmethod
    def backward(ctx: Context, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        """The gradients of the forward pass, times that of the loss."""
        scaled: list[Tensor | None] = []
        for gradient, kind in zip(ctx.saved_tensors, ctx.kinds, strict=True):
            scaled.append(None if gradient is None else (gradient * gradients[0]).to(kind))
        return *scaled, None, None, None
