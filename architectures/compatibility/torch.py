"""Private APIs of torch: CPU features, the gradient of softmax, trees of tensors, a module's own
parameters, the arithmetic of Muon.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import _muon
from torch.utils._pytree import tree_map

from architectures.values import State


def cpu_multiplies_bfloat16() -> bool:
    """Whether the CPU has instructions for products in bfloat16 (AVX-512 or AMX)."""
    return torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()


def softmax_gradient(gradient: Tensor, output: Tensor) -> Tensor:
    """The gradient of softmax over the last dimension, in float32. Both: (..., size)"""
    result: Tensor = torch.ops.aten._softmax_backward_data(gradient, output, -1, torch.float32)
    return result


def map_tensors(function: Callable[[Any], Any], tree: State) -> State:
    """Apply a function to every leaf of nested dictionaries and lists."""
    result: State = tree_map(function, tree)
    return result


def replace_parameters(module: nn.Module, parameters: dict[str, nn.Parameter]) -> None:
    """Give a copied module parameters of its own."""
    module._parameters = dict(parameters)


def _orthogonalised(
    grad: Tensor, ns_coefficients: tuple[float, float, float], ns_steps: int, eps: float
) -> Tensor:
    """What Muon's Newton-Schulz iteration makes of a gradient, as torch does it, in float32."""
    a, b, c = ns_coefficients
    is_tall = grad.size(0) > grad.size(1)
    result = grad.float().T if is_tall else grad.float()
    result = result / result.norm().clamp(min=eps)
    for _ in range(ns_steps):
        gram = result @ result.T
        update = torch.addmm(gram, gram, gram, beta=b, alpha=c)
        result = torch.addmm(result, update, result, beta=a)
    return result.T if is_tall else result


@contextmanager
def muon_in_float32() -> Iterator[None]:
    """Let `torch.optim.Muon`, which multiplies in bfloat16, multiply in float32.

    On a CPU without instructions for bfloat16 that is thirty times as fast.
    """
    original = _muon._zeropower_via_newtonschulz
    _muon._zeropower_via_newtonschulz = _orthogonalised
    try:
        yield
    finally:
        _muon._zeropower_via_newtonschulz = original
