"""How much arithmetic a training step takes, and how fast this machine multiplies matrices of these shapes:
the limit that tests/benchmarks/speed.py puts beside its figures.
"""

import time
from collections import Counter
from collections.abc import Sequence
from statistics import median
from typing import Any

import torch
from torch import nn
from torch.nn import functional

REPEATS = 9


def shapes_of(net: Any) -> Counter[tuple[int, int]]:
    """(inputs, outputs) of the net's linear layers but the output head, with how many there are."""
    layers = (layer for layer in net.base_model.modules() if isinstance(layer, nn.Linear))
    return Counter((layer.in_features, layer.out_features) for layer in layers)


def step_flops(net: Any, lengths: Sequence[int], supervised: int) -> float:
    """Floating-point operations of the products of one step with a frozen base: forward, and back to the
    inputs.

    Linear layers take 4 for each weight and token, the output head as much for each supervised token, and
    causal attention 12 for each layer, each pair of tokens of which one sees the other, and each feature of
    the heads. LoRA's own products, and whatever is computed a second time, do not count.

    Args:
        lengths: tokens of each row of the step.
        supervised: how many of them are predicted.
    """
    config = net.config
    weights = sum(a * b * count for (a, b), count in shapes_of(net).items())
    head = config.vocab_size * config.hidden_size
    width = config.num_attention_heads * getattr(
        config, "head_dim", config.hidden_size // config.num_attention_heads
    )
    pairs = sum(length * (length + 1) / 2 for length in lengths)
    attention = 12 * pairs * width * config.num_hidden_layers
    return 4 * weights * sum(lengths) + 4 * head * supervised + attention


def product_rate(net: Any, tokens: int, dtype: torch.dtype) -> float:
    """FLOP/s of the products of ``tokens`` rows with the net's linear layers, each shape by its share of the
    work.
    """
    work = spent = 0.0
    for (inputs, outputs), count in shapes_of(net).items():
        values = torch.randn(tokens, inputs).to(dtype)
        weight = torch.randn(outputs, inputs).to(dtype)
        work += 2 * tokens * inputs * outputs * count
        spent += _seconds(values, weight) * count
    return work / spent


@torch.inference_mode()
def _seconds(values: torch.Tensor, weight: torch.Tensor) -> float:
    """Median time of one product, after a first one that does not count."""
    functional.linear(values, weight)
    taken = []
    for _ in range(REPEATS):
        begun = time.perf_counter()
        functional.linear(values, weight)
        taken.append(time.perf_counter() - begun)
    return median(taken)
