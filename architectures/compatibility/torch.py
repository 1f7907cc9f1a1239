"""Private APIs of torch: CPU features, the gradient of softmax, trees of tensors, a module's own
parameters.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
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
