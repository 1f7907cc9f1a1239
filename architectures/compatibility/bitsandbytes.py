"""Attributes of bitsandbytes' 4-bit layers."""

from torch import nn


def keep_unpacked(net: nn.Module) -> None:
    """Let 4-bit layers be computed in one way on every CPU, in training and in validation.

    On a CPU with AVX-512 bf16, bitsandbytes packs a layer's weights when the layer first answers without a
    gradient. From then on the layer passes no gradient to its input, so that training after the first
    validation is silently wrong; and layers narrower than a block fail.
    """
    for layer in net.modules():
        if "support_avx512bf16_for_cpu" in vars(layer):
            vars(layer)["support_avx512bf16_for_cpu"] = False
