"""Operations of a training step with their own gradients: LoRA around a frozen layer, and RMSNorm.

They equal what PEFT, transformers and torch compute apart from rounding, with fewer passes over memory and
less kept for the backward pass. `fuse` puts them into a net that PEFT and transformers have built.
"""

import copy
from functools import partial

import torch
from torch import Tensor, nn

from architectures.compatibility.torch import replace_parameters
from architectures.models.adapter_start import START
from architectures.values import Context, Layer, Net


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


def _is_plain_lora(layer: Layer) -> bool:
    """Whether a LoRA layer of PEFT is LoRA and nothing else (DoRA and the like), without a bias of its
    own.
    """
    return not layer.lora_variant and not any(layer.lora_bias.values())


def _lora_forward(layer: Layer, x: Tensor, *args: object, **kwargs: object) -> Tensor:
    """What a LoRA layer of PEFT computes, with one adapter, and with a second one that takes away what it
    began with; otherwise (merged, switched off, others) PEFT does it.
    """
    name, *others = layer.active_adapters
    is_known = others in ([], [START])
    if layer.disable_adapters or layer.merged or not is_known or args or kwargs:
        return type(layer).forward(layer, x, *args, **kwargs)
    a, b = layer.lora_A[name].weight, layer.lora_B[name].weight
    if others:
        a = torch.cat([a, layer.lora_A[START].weight])
        b = torch.cat([b, layer.lora_B[START].weight], dim=1)
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
        a,
        b,
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
