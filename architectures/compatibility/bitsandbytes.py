"""Attributes of bitsandbytes' 4-bit layers."""

from torch import nn

BLOCK = 64  # weights of a row that share a scale
PACKED_ROWS = 32  # that its CPU kernel reads at once


def keep_narrow_layers_unpacked(net: nn.Module) -> None:
    """Let 4-bit layers whose width is no multiple of a block be computed as on a CPU without AVX-512 bf16.

    On a CPU with it, bitsandbytes packs a layer for its own kernel when the layer first answers, and fails at
    a width that is no multiple of the block.
    """
    for layer in net.modules():
        own = vars(layer)
        if "support_avx512bf16_for_cpu" in own:
            fits = own["in_features"] % BLOCK == 0 and own["out_features"] % PACKED_ROWS == 0
            own["support_avx512bf16_for_cpu"] &= fits
