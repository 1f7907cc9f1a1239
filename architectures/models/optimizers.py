"""Optimisers by name.

AdamW: Loshchilov and Hutter 2019, https://arxiv.org/abs/1711.05101. In 8 bits: Dettmers et al. 2022,
https://arxiv.org/abs/2110.02861, by bitsandbytes. Adafactor: Shazeer and Stern 2018,
https://arxiv.org/abs/1804.04235. Muon: Jordan et al. 2024, https://kellerjordan.github.io/posts/muon/, with
the step size of Liu et al. 2025, https://arxiv.org/abs/2502.16982, so that learning rates are those of AdamW.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import overload

import torch
from torch.optim import Optimizer

from architectures.compatibility.torch import cpu_multiplies_bfloat16, muon_in_float32
from architectures.values import Settings


def is_hidden_matrix(name: str, parameter: torch.Tensor) -> bool:
    """Whether a parameter is a matrix of one of the numbered layers: what Muon is for, unlike embeddings,
    output heads and vectors.

    Args:
        name: as `named_parameters` gives it: ``model.layers.3.mlp.up_proj.weight``.
    """
    return parameter.ndim == 2 and any(part.isdigit() for part in name.split("."))


class MuonWithAdamW(Optimizer):
    """Muon for the groups with ``hidden_matrices``, AdamW for the others (embeddings, output heads, vectors).

    The two share this optimiser's groups and state, so that schedules, gradient clipping and checkpoints see
    one optimiser.
    """

    def __init__(self, groups: list[Settings], learning_rate: float, betas: tuple[float, float]) -> None:
        by_muon = [group for group in groups if group["hidden_matrices"]]
        by_adamw = [group for group in groups if not group["hidden_matrices"]]
        self.parts: list[Optimizer] = []
        if by_muon:
            self.parts.append(torch.optim.Muon(by_muon, lr=learning_rate, adjust_lr_fn="match_rms_adamw"))
        if by_adamw:
            self.parts.append(torch.optim.AdamW(by_adamw, lr=learning_rate, betas=betas, fused=True))
        super().__init__([group for part in self.parts for group in part.param_groups], {})
        self._share()

    def _share(self) -> None:
        """Let the parts step this optimiser's groups and keep their state in its own."""
        start = 0
        for part in self.parts:
            end = start + len(part.param_groups)
            part.param_groups, part.state = self.param_groups[start:end], self.state
            start = end

    def load_state_dict(self, state_dict: Settings) -> None:
        """Restore groups and state of both parts."""
        super().load_state_dict(state_dict)
        self._share()

    @overload
    def step(self, closure: None = ...) -> None: ...

    @overload
    def step(self, closure: Callable[[], float]) -> float: ...

    def step(self, closure: Callable[[], float] | None = None) -> float | None:
        """One step of both parts."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        with self._arithmetic():
            for part in self.parts:
                part.step()
        return loss

    def _arithmetic(self) -> AbstractContextManager[None]:
        """Products in float32 on a CPU that has no instructions for bfloat16."""
        device = self.param_groups[0]["params"][0].device
        is_slow = device.type == "cpu" and not cpu_multiplies_bfloat16()
        return muon_in_float32() if is_slow else nullcontext()


def build_optimizer(name: str, groups: list[Settings], learning_rate: float, beta2: float) -> Optimizer:
    """An optimiser of parameter groups, each with its weight_decay and lr.

    Args:
        name: adamw, adamw_8bit, paged_adamw_8bit, adafactor or muon, whose groups also say whether they are
        ``hidden_matrices``. beta2: of the forms of AdamW.
    """
    if name == "adafactor":
        return torch.optim.Adafactor(groups, lr=learning_rate)
    betas = (0.9, beta2)
    if name == "muon":
        return MuonWithAdamW(groups, learning_rate, betas)
    if name == "adamw":
        return torch.optim.AdamW(groups, lr=learning_rate, betas=betas, fused=True)
    from bitsandbytes import optim

    in_8_bits = {"adamw_8bit": optim.AdamW8bit, "paged_adamw_8bit": optim.PagedAdamW8bit}[name]
    optimizer: Optimizer = in_8_bits(groups, lr=learning_rate, betas=betas)
    return optimizer
