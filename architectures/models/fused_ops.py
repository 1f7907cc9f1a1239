"""Operations of a training step with their own gradients: LoRA around a frozen layer, RMSNorm, and the loss.

They equal what PEFT, transformers and torch compute apart from rounding, with fewer passes over memory and
less kept for the backward pass. `fuse` puts the first two into a net that PEFT and transformers have built.
"""

import copy
from functools import partial

import torch
from torch import Tensor, nn

from architectures.compatibility.torch import replace_parameters
from architectures.values import Context, Layer, Net

LOGITS_AT_ONCE = {"cpu": 2**21, "cuda": 2**27}  # logits that exist at once: on a CPU what stays in its caches

MIN_LOGIT_ROWS = 64  # whose logits exist at once all the same: fewer waste the product


def matmul_dtype(x: Tensor) -> torch.dtype:
    """The dtype of products under autocast, if that is on, else x's own."""
    kind = x.device.type
    return torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else x.dtype


def dropout_mask(x: Tensor, dropout: float) -> Tensor:
    """Where dropout leaves x as it is: bool, of x's shape, True with probability 1 - dropout.

    torch draws a CPU's mask one number an element on one thread. Here a number gives four elements, whose 16
    bits each round the probability to 1 / 65,536.
    """
    if x.device.type != "cpu":
        return torch.empty_like(x, dtype=torch.bool).bernoulli_(1 - dropout)
    words = torch.empty((x.numel() + 3) // 4, dtype=torch.int64).random_(-(2**63), None)
    bits = words.view(torch.int16)[: x.numel()].view(x.shape)  # uniform from -32,768 to 32,767
    return bits >= round(dropout * 2**16) - 2**15


class _LoraLinear(torch.autograd.Function):
    """x W' + bias + scale (z A') B' for a frozen W; z is x times ``keep``, a mask of dropout, or x. No copy
    of the result, nothing kept but z and ``keep``.
    """

    @staticmethod
    def forward(
        ctx: Context,
        x: Tensor,
        keep: Tensor | None,
        weight: Tensor,
        bias: Tensor | None,
        a: Tensor,
        b: Tensor,
        scale: float,
    ) -> Tensor:
        """x, keep: (..., in); weight: (out, in); a: (r, in); b: (out, r) -> (..., out)"""
        dtype = matmul_dtype(x)
        flat, weight = x.reshape(-1, x.shape[-1]).to(dtype), weight.to(dtype)
        seen = flat if keep is None else flat * keep.view(flat.shape).to(dtype)
        low = seen @ a.to(dtype).t()  # (tokens, r)
        out = flat @ weight.t() if bias is None else torch.addmm(bias.to(dtype), flat, weight.t())
        out.addmm_(low, b.to(dtype).t(), alpha=scale)
        ctx.save_for_backward(seen, low, weight, a, b, keep)
        ctx.scale, ctx.shape, ctx.kind = scale, x.shape, x.dtype
        return out.view(*x.shape[:-1], -1)

    @staticmethod
    def backward(ctx: Context, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        """Gradients of x, a and b."""
        seen, low, weight, a, b, keep = ctx.saved_tensors
        g = gradients[0].reshape(-1, gradients[0].shape[-1]).to(weight.dtype)
        back = g @ b.to(g.dtype) * ctx.scale  # (tokens, r)
        grad_a = (back.t() @ seen).to(a.dtype)
        grad_b = (low.t() @ g).t().to(b.dtype) * ctx.scale
        grad_x = None
        if ctx.needs_input_grad[0]:
            grad_x = g @ weight
            if keep is None:
                grad_x.addmm_(back, a.to(g.dtype))
            else:
                grad_x.addcmul_(back @ a.to(g.dtype), keep.view(grad_x.shape).to(g.dtype))
            grad_x = grad_x.view(ctx.shape).to(ctx.kind)
        return grad_x, None, None, None, grad_a, grad_b, None


class RMSNorm(torch.autograd.Function):
    """x / rms(x) times a weight, computed in float32. Zhang and Sennrich 2019,
    https://arxiv.org/abs/1910.07467.
    """

    @staticmethod
    def forward(ctx: Context, x: Tensor, weight: Tensor, epsilon: float, shift: float) -> Tensor:
        """x: (..., width); weight: (width,), to which ``shift`` is added -> (..., width) in x's dtype"""
        wide, factor = x.float(), weight.float() + shift
        inverse = (
            torch.linalg.vector_norm(wide, dim=-1, keepdim=True)
            .square_()
            .div_(x.shape[-1])
            .add_(epsilon)
            .rsqrt_()
        )
        ctx.save_for_backward(x, weight, inverse)
        ctx.shift = shift
        return (wide * inverse).mul_(factor).to(x.dtype)

    @staticmethod
    def backward(ctx: Context, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        """Gradients of x and of the weight."""
        x, weight, inverse = ctx.saved_tensors
        normed = x.float() * inverse
        grad_x = grad_weight = None
        if ctx.needs_input_grad[1]:
            grad_weight = (gradients[0].float() * normed).flatten(0, -2).sum(0).to(weight.dtype)
        if ctx.needs_input_grad[0]:
            g = gradients[0] * (weight.float() + ctx.shift)  # float32
            along = torch.linalg.vecdot(g, normed).unsqueeze(-1).div_(x.shape[-1])
            grad_x = g.addcmul_(normed, along, value=-1).mul_(inverse).to(x.dtype)
        return grad_x, grad_weight, None, None


def _cap_logits(logits: Tensor, cap: float, with_slope: bool) -> Tensor | None:
    """Cap logits in place to cap * tanh(logits / cap); a quarter of the slope of that, if it is needed.

    tanh(x) is 2 sigmoid(2 x) - 1, which CPUs compute in a seventh of the time.
    """
    logits.mul_(2 / cap).sigmoid_()
    slope = torch.mul(logits, logits).neg_().add_(logits) if with_slope else None
    logits.mul_(2 * cap).sub_(cap)
    return slope


class AnswerLoss(torch.autograd.Function):
    """Cross-entropy over a vocabulary, summed, and right guesses; the logits of a few rows exist at a time,
    and only once.

    The gradient of the hidden states is computed in the forward pass, while the logits are at hand; so the
    loss may be multiplied by a number afterwards, but each row's share of it may not.
    """

    @staticmethod
    def forward(
        ctx: Context, hidden: Tensor, weight: Tensor, bias: Tensor | None, labels: Tensor, cap: float
    ) -> tuple[Tensor, Tensor]:
        """hidden: (tokens, width); weight: (vocabulary, width); labels: (tokens,); cap of the logits or 0"""
        dtype = matmul_dtype(hidden)
        states, matrix = hidden.to(dtype), weight.to(dtype)
        wanted = ctx.needs_input_grad
        loss = torch.zeros((), device=hidden.device)
        right = torch.zeros((), device=hidden.device, dtype=torch.int64)
        grad_hidden = torch.empty_like(states) if wanted[0] else None
        grad_weight = torch.zeros_like(weight, dtype=torch.float32) if wanted[1] else None
        grad_bias = torch.zeros_like(bias, dtype=torch.float32) if bias is not None and wanted[2] else None
        step = max(MIN_LOGIT_ROWS, LOGITS_AT_ONCE.get(hidden.device.type, 2**27) // len(weight))
        for start in range(0, len(labels), step):
            part, target = states[start : start + step], labels[start : start + step, None]
            z = (part @ matrix.t()).float()
            if bias is not None:
                z += bias
            slope = _cap_logits(z, cap, any(wanted[:3])) if cap else None
            top, at_target = z.amax(-1, keepdim=True), z.gather(1, target)
            z = z.softmax(-1)
            loss += (top - at_target - z.amax(-1, keepdim=True).log()).sum()
            right += (at_target >= top).sum()
            if not any(wanted[:3]):
                continue
            z.scatter_add_(1, target, torch.full_like(top, -1.0))
            if slope is not None:
                z.mul_(slope).mul_(4)
            g = z.to(dtype)
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
        return *scaled, None, None


def _is_plain_lora(layer: Layer) -> bool:
    """Whether a LoRA layer of PEFT is LoRA and nothing else (DoRA and the like), without a bias of its
    own.
    """
    return not layer.lora_variant and not any(layer.lora_bias.values())


def _lora_forward(layer: Layer, x: Tensor, *args: object, **kwargs: object) -> Tensor:
    """What a LoRA layer of PEFT computes, with one adapter; otherwise (merged, switched off, several) PEFT
    does it.
    """
    active = layer.active_adapters
    if layer.disable_adapters or layer.merged or len(active) != 1 or args or kwargs:
        return type(layer).forward(layer, x, *args, **kwargs)
    (name,) = active
    dropout, scale = layer.lora_dropout[name], layer.scaling[name]
    keep = None
    if layer.training and isinstance(dropout, nn.Dropout):
        keep = dropout_mask(x, dropout.p)
        scale /= 1 - dropout.p
    base = layer.get_base_layer()
    return _LoraLinear.apply(
        x,
        keep,
        base.weight,
        base.bias,
        layer.lora_A[name].weight,
        layer.lora_B[name].weight,
        scale,
    )


def _norm_forward(layer: Layer, x: Tensor, epsilon: float, shift: float) -> Tensor:
    """What an RMSNorm of transformers computes."""
    return RMSNorm.apply(x, layer.weight, epsilon, shift)


def _weight_offset(norm: Layer, epsilon: float) -> float | None:
    """What is added to the norm's weight before it multiplies (0, or 1 in Gemma), found by trying; None if
    it is another norm.
    """
    draw = torch.Generator().manual_seed(0)
    alike = copy.copy(norm)  # with a weight of its own, on the CPU whatever the norm is on
    with torch.no_grad(), torch.device("cpu"):
        weight = nn.Parameter(torch.randn(norm.weight.shape, generator=draw))
        replace_parameters(alike, {"weight": weight})
        x = torch.randn(3, norm.weight.numel(), generator=draw)
        expected = alike(x)
        return next(
            (
                s
                for s in (0.0, 1.0)
                if torch.allclose(RMSNorm.apply(x, alike.weight, epsilon, s), expected, atol=1e-6)
            ),
            None,
        )


def _contiguous_input(layer: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """A hook that gives a layer its input without gaps."""
    return inputs[0].contiguous(), *inputs[1:]


def fuse(net: Net) -> Net:
    """Let LoRA layers around float linear layers, and RMSNorms, compute as above; their weights and names
    stay as they are.

    The output head gets its input without gaps: of prompts it reads the last token alone, a slice, and torch
    multiplies a slice of several rows with a copy of the weight for each of them.
    """
    from peft.tuners.lora import Linear

    shifts: dict[type, float | None] = {}
    for module in net.modules():
        if type(module) is Linear and type(module.get_base_layer()) is nn.Linear and _is_plain_lora(module):
            module.forward = partial(_lora_forward, module)  # type: ignore[method-assign]
        elif type(module).__name__.endswith("RMSNorm") and isinstance(
            getattr(module, "weight", None), Tensor
        ):
            epsilon = getattr(module, "variance_epsilon", getattr(module, "eps", None))
            if epsilon is None:
                continue
            if type(module) not in shifts:
                shifts[type(module)] = _weight_offset(module, epsilon)
            shift = shifts[type(module)]
            if shift is not None:
                module.forward = partial(_norm_forward, module, epsilon=epsilon, shift=shift)
    head = net.get_output_embeddings() if hasattr(net, "get_output_embeddings") else None  # tests fuse parts
    if isinstance(head, nn.Linear):
        head.register_forward_pre_hook(_contiguous_input)
    return net
