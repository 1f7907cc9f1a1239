"""Optimisers by name.

AdamW: Loshchilov and Hutter 2019, https://arxiv.org/abs/1711.05101. In 8 bits: Dettmers et al. 2022,
https://arxiv.org/abs/2110.02861, by bitsandbytes. Adafactor: Shazeer and Stern 2018,
https://arxiv.org/abs/1804.04235. Muon: Jordan et al. 2024, https://kellerjordan.github.io/posts/muon/, with
the step size of Liu et al. 2025, https://arxiv.org/abs/2502.16982, so that learning rates are those of AdamW.
"""

import torch
from torch.optim import Optimizer

from architectures.values import Settings


def build_optimizer(name: str, groups: list[Settings], learning_rate: float, beta2: float) -> Optimizer:
    """An optimiser of parameter groups, each with its weight_decay and lr.

    Args:
        name: adamw, adamw_8bit, paged_adamw_8bit, adafactor or muon, which takes matrices alone. beta2: of
        the forms of AdamW.
    """
    if name == "adafactor":
        return torch.optim.Adafactor(groups, lr=learning_rate)
    if name == "muon":
        return torch.optim.Muon(groups, lr=learning_rate, adjust_lr_fn="match_rms_adamw")
    betas = (0.9, beta2)
    if name == "adamw":
        return torch.optim.AdamW(groups, lr=learning_rate, betas=betas, fused=True)
    from bitsandbytes import optim

    in_8_bits = {"adamw_8bit": optim.AdamW8bit, "paged_adamw_8bit": optim.PagedAdamW8bit}[name]
    optimizer: Optimizer = in_8_bits(groups, lr=learning_rate, betas=betas)
    return optimizer
