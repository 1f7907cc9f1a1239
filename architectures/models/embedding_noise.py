"""NEFTune: uniform noise on the embeddings of training texts (Jain et al. 2023,
https://arxiv.org/abs/2310.05914).
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from architectures.values import Net


def noise_scale(lengths: list[int], width: int, alpha: float, positions: int) -> Tensor:
    """The largest noise at each position: alpha / sqrt(tokens of the document * width). (positions, 1)

    Args:
        lengths: of documents on end. positions: of the input, which may hold filler behind the documents.
    """
    sizes = torch.tensor([*lengths, *[1] * (positions - sum(lengths))], dtype=torch.float32)
    scale = alpha / (sizes * width).sqrt()
    return scale.repeat_interleave(sizes.long())[:, None]


@contextmanager
def embedding_noise(net: Net, lengths: list[int], alpha: float) -> Iterator[None]:
    """Within it the net's input embeddings are noisy; alpha 0: as they are.

    Args:
        lengths: of the documents of the batch, which stand on end or side by side.
    """
    if not alpha:
        yield
        return

    def add_noise(_: nn.Module, __: object, states: Tensor) -> Tensor:
        rows, positions, width = states.shape
        if rows == 1:
            scale = noise_scale(lengths, width, alpha, positions)
        else:
            documents = [noise_scale([length], width, alpha, length)[:1] for length in lengths]
            scale = torch.stack(documents)
        return states + torch.empty_like(states).uniform_(-1, 1) * scale.to(states)

    hook = net.get_input_embeddings().register_forward_hook(add_noise)
    try:
        yield
    finally:
        hook.remove()
