"""The loss of a tuned model, and of its base, on rows of token ids."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
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


def tuned_and_base_losses(
    module: FineTuned, rows: Sequence[Row], name: str
) -> tuple[list[float], list[float]]:
    """(the tuned model's losses, its base's), in nats a predicted token, one for each row; with progress bars
    under ``name``. Raises ValueError for a model that predicts no tokens.
    """
    if not isinstance(module, CausalLM):
        raise ValueError("evaluation.general: is for language models")
    module.eval()
    tuned = row_losses(module, tqdm(rows, desc=f"{name}, tuned", delay=2, leave=False))
    with untuned(module) as base:
        return tuned, row_losses(base, tqdm(rows, desc=f"{name}, base", delay=2, leave=False))


@contextmanager
def untuned(module: CausalLM) -> Iterator[CausalLM]:
    """Within it the model that is given predicts as the module's base does."""
    if lora.has_adapter(module.net):
        with lora.adapter_disabled(module.net):
            yield module
    else:
        yield _base_of(module)


def _base_of(module: CausalLM) -> CausalLM:
    """The base of a model of which every parameter was trained, loaded anew."""
    base = str(module.origin["settings"]["model.base"])
    settings = module.model_settings | {"base": base, "init": "pretrained"}
    net = CausalLM(settings, module.optimization, module.origin)
    net.configure_model()
    return net.eval().to(module.device)


def row_losses(module: CausalLM, rows: Iterable[Row]) -> list[float]:
    """Nats a predicted token, one for each row."""
    return [loss / count for loss, _, count in row_sums(module, rows)]


@torch.inference_mode()
def row_sums(module: CausalLM, rows: Iterable[Row]) -> list[tuple[float, int, int]]:
    """(loss in nats, predicted tokens that are the likeliest, predicted tokens) of each row."""
    sums = []
    for row in rows:
        ids = torch.tensor(row.ids, device=module.device)
        predicted = torch.cat([torch.arange(begin, end) for begin, end in row.spans]).to(module.device)
        loss, right, count = module.sums(ids, [len(row.ids)], predicted - 1, ids[predicted])
        sums.append((float(loss), int(right), int(count)))
    return sums
