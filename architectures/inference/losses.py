"""The loss of a tuned model, and of its base, on rows of token ids."""

from collections.abc import Iterable
from typing import Protocol

import torch
from tqdm import tqdm

from architectures.models import lora
from architectures.models.causal_lm import CausalLM
from architectures.models.fine_tuned import FineTuned


class Row(Protocol):
    """Token ids and where what is predicted begins and ends."""

    @property
    def ids(self) -> list[int]:
        """All tokens."""
        ...

    @property
    def spans(self) -> tuple[tuple[int, int], ...]:
        """(begin, end) of what is predicted."""
        ...


def tuned_and_base_losses(module: FineTuned, rows: list[Row], name: str) -> tuple[list[float], list[float]]:
    """(the tuned model's losses, its base's), in nats a predicted token, one for each row; with progress bars
    under ``name``. Raises ValueError for a model that predicts no tokens.
    """
    if not isinstance(module, CausalLM):
        raise ValueError("evaluation.general: is for language models")
    module.eval()
    tuned = row_losses(module, tqdm(rows, desc=f"{name}, tuned", delay=2, leave=False))
    bar = tqdm(rows, desc=f"{name}, base", delay=2, leave=False)
    if lora.has_adapter(module.net):
        with lora.adapter_disabled(module.net):
            return tuned, row_losses(module, bar)
    return tuned, row_losses(_base_of(module), bar)


def _base_of(module: CausalLM) -> CausalLM:
    """The base of a model of which every parameter was trained, loaded anew."""
    base = str(module.origin["settings"]["model.base"])
    settings = module.model_settings | {"base": base, "init": "pretrained"}
    untuned = CausalLM(settings, module.optimization, module.origin)
    untuned.configure_model()
    return untuned.eval().to(module.device)


@torch.inference_mode()
def row_losses(module: CausalLM, rows: Iterable[Row]) -> list[float]:
    """Nats a predicted token, one for each row."""
    losses = []
    for row in rows:
        ids = torch.tensor(row.ids, device=module.device)
        predicted = torch.cat([torch.arange(begin, end) for begin, end in row.spans]).to(module.device)
        loss, _, count = module.sums(ids, [len(row.ids)], predicted - 1, ids[predicted])
        losses.append(float(loss / count))
    return losses
