"""A merged model with fewer bits or fewer weights.

Magnitude pruning: Han et al. 2015, https://arxiv.org/abs/1506.02626. LLM.int8(): Dettmers et al. 2022,
https://arxiv.org/abs/2208.07339.
"""

from pathlib import Path

import torch
from torch import nn

from architectures.models.fused_ops import fuse
from architectures.models.loading import BaseSettings, load_base
from architectures.values import Net


def load_variant(merged: Path, name: str) -> Net:
    """A merged model in bfloat16, in 4 or 8 bits, or without a share of the smallest weights of each linear
    layer.

    Args:
        name: as `architectures.inference.options` names them; for a GGUF file, ``merged`` is the folder that
        it was converted back into.
    """
    quantization = name if name in ("nf4", "int8") else "none"
    net = load_base(BaseSettings(str(merged), dtype="bfloat16", quantization=quantization))
    if torch.cuda.is_available() and quantization == "none":
        net = net.to("cuda")
    if name.startswith("pruned-"):
        prune(net, float(name.removeprefix("pruned-")))
    return fuse(net).eval()  # computed as a loaded model is, so that equal weights give equal answers


@torch.no_grad()
def prune(net: Net, share: float) -> None:
    """Set the smallest weights of each linear layer to zero; embeddings and the output head stay whole."""
    head = net.get_output_embeddings()
    for layer in net.modules():
        if isinstance(layer, nn.Linear) and layer is not head:
            sizes = layer.weight.abs().flatten()
            limit = sizes.float().kthvalue(max(1, int(share * sizes.numel()))).values
            layer.weight[layer.weight.abs().float() <= limit] = 0
