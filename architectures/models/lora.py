"""LoRA on a loaded base: attach, count, disable, save, load and merge.

LoRA: Hu et al. 2021, https://arxiv.org/abs/2106.09685. rsLoRA: Kalajdzievski 2023,
https://arxiv.org/abs/2312.03732. DoRA: Liu et al. 2024, https://arxiv.org/abs/2402.09353.
"""

import copy
import difflib
import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from architectures.compatibility.peft import without_bitsandbytes
from architectures.models.adapter_start import (
    FROM_WEIGHTS,
    begin_with_weights,
    freeze_start,
    has_start,
    save_with_start,
)
from architectures.models.bases import resolve_base
from architectures.models.loading import causal_lm_class
from architectures.values import Net

log = logging.getLogger(__name__)

AUTO = ["auto"]  # the value of `lora_targets` that stands for `_family_targets`
MAMBA_TYPES = {"falcon_h1", "mamba", "mamba2", "falcon_mamba", "nemotron_h"}
MLP_LAYERS = {"gate_proj", "up_proj", "down_proj"}
UNADAPTED = {"gate", "router", "shared_expert_gate", "per_layer_input_gate", "per_layer_projection"}


@dataclass(frozen=True)
class LoraSettings:
    """An adapter: its rank, the scale alpha / r of its output, dropout of its inputs, last parts of its
    layers' names (['auto']: those that `_family_targets` finds), its variant: lora, rslora, dora, the numbers
    of the blocks that it adapts, as '3' or '0-7' (none: all), and what it begins with (default, pissa, olora
    or eva).
    """

    r: int
    alpha: int
    dropout: float
    targets: list[str]
    variant: str = "lora"
    layers: Sequence[str] = ()
    init: str = "default"


def linear_names(net: nn.Module) -> set[str]:
    """Last parts of the names of all linear layers ('q_proj', ...)."""
    layers = [name for name, module in net.named_modules() if isinstance(module, nn.Linear)]
    return {name.rsplit(".", 1)[-1] for name in layers}


def attach_lora(net: Net, settings: LoraSettings, new: list[str]) -> Net:
    """Wrap the targets in LoRA. Only its matrices, and the ``new`` parts of a classifier, are trained, in
    float32.

    Raises ValueError for a target that matches no layer.
    """
    targets = settings.targets
    if targets == AUTO:
        targets = _family_targets(net)
    _check_targets(targets, linear_names(net.base_model))
    with without_bitsandbytes():
        wrapped = _wrap(net, settings, targets, new)
    for parameter in wrapped.parameters():
        if parameter.requires_grad:
            parameter.data = parameter.data.float()
    if settings.init in FROM_WEIGHTS:
        begin_with_weights(wrapped, settings.init)
    return wrapped


def _wrap(net: Net, settings: LoraSettings, targets: list[str], new: list[str]) -> Net:
    """The net with PEFT's layers around its targets."""
    from peft import LoraConfig, get_peft_model

    config = LoraConfig(
        r=settings.r,
        lora_alpha=settings.alpha,
        lora_dropout=settings.dropout,
        target_modules=targets,
        use_rslora=settings.variant == "rslora",
        use_dora=settings.variant == "dora",
        task_type="CAUSAL_LM",
        exclude_modules=_other_towers(net),
        layers_to_transform=_layer_numbers(net, settings.layers) or None,
    )
    if new:
        config.task_type, config.modules_to_save = "SEQ_CLS", new
        config.exclude_modules = rf"(?:.*\.)?(?:{'|'.join(new)})(?:\..*)?"
    return get_peft_model(net, config)


def _layer_numbers(net: Net, spans: Sequence[str]) -> list[int]:
    """The blocks that '3' and '0-7' name. Raises ValueError for one that the net does not have."""
    count = net.config.get_text_config().num_hidden_layers
    numbers: set[int] = set()
    for span in spans:
        first, _, last = span.partition("-")
        ends = [first, last or first]
        is_span = all(end.isdecimal() for end in ends)
        if not is_span or not int(ends[0]) <= int(ends[1]) < count:
            raise ValueError(
                f"model.lora_layers: {span!r} names no blocks; this model has 0 to {count - 1}, as"
                f" model.lora_layers=[0-{count - 1}]"
            )
        numbers |= set(range(int(ends[0]), int(ends[1]) + 1))
    return sorted(numbers)


def _family_targets(net: Net) -> list[str]:
    """Last parts of the names of what ``lora_targets: [auto]`` adapts: attention, other mixers and the MLP.

    The output head and routers stay as they are, and so do experts that are held as one tensor.
    Raises ValueError if there is nothing to adapt.
    """
    tower = language_tower(net)
    found = linear_names(tower) - UNADAPTED
    experts = sum(p.numel() for name, p in tower.named_parameters() if ".experts." in name and p.ndim == 3)
    if experts:
        # by these names PEFT adapts the experts, each of them, which takes a rank for every one
        found -= MLP_LAYERS
        log.info("the experts (%s weights) stay frozen; attention is adapted", f"{experts:,}")
    if net.config.model_type in MAMBA_TYPES:
        found -= {"out_proj"}  # their kernels read its weight past the adapter, so PEFT refuses it
    if not found:
        raise ValueError(
            f"model.lora_targets: a {type(net).__name__} has no linear layer; set model.adapter=none"
        )
    return sorted(found)


def _other_towers(net: Net) -> str | None:
    """A pattern of the layers that read pictures or sound, which have names as the language model's; None:
    there are none.
    """
    language = language_tower(net)
    others = [name for name, part in net.base_model.named_children() if part is not language]
    if language is net.base_model or not others:
        return None
    return rf"(?:.*\.)?(?:{'|'.join(others)})(?:\..*)?"


def language_tower(net: Net) -> Net:
    """The part of a net that reads text: all but the output head, where it reads nothing else."""
    base = net.base_model
    return next((part for name, part in base.named_children() if name == "language_model"), base)


def _check_targets(targets: list[str], layers: set[str]) -> None:
    """Raise ValueError for targets that no layer is called by, with the nearest names."""
    hints = []
    for target in targets:
        if target not in layers:
            near = difflib.get_close_matches(target, layers, 1)
            hints.append(f"{target!r}" + (f" (did you mean {near[0]!r}?)" if near else ""))
    if hints:
        names = ", ".join(sorted(layers))
        raise ValueError(f"model.lora_targets: no layer is called {'; '.join(hints)}; this model has {names}")


def has_adapter(net: Net) -> bool:
    """Whether the net is a base with an adapter."""
    return hasattr(net, "peft_config")


def base_model(net: Net) -> Net:
    """The model of transformers inside the net, adapter layers included."""
    return net.get_base_model() if has_adapter(net) else net


@contextmanager
def adapter_disabled(net: Net) -> Iterator[None]:
    """Within it the net answers as its base does."""
    try:
        with net.disable_adapter():
            yield
    finally:
        if has_start(net):
            freeze_start(net)


def count_parameters(net: nn.Module) -> tuple[int, int]:
    """(trained, all) parameters; a weight in 4 bits counts as one, not as half a byte."""
    trained = total = 0
    for parameter in net.parameters():
        packed = parameter.__class__.__name__ == "Params4bit"
        size = parameter.numel() * (2 if packed else 1)
        total += size
        trained += size if parameter.requires_grad else 0
    return trained, total


def save_net(net: Net, folder: Path, dtype: torch.dtype) -> None:
    """Write the adapter in PEFT's format (safetensors), or the whole model, in ``dtype``, if all of it was
    trained.
    """
    if has_start(net):
        save_with_start(net, folder)
    elif has_adapter(net):
        net.save_pretrained(folder)
    else:
        copy.deepcopy(net).to(dtype).save_pretrained(folder)


def load_adapter_weights(net: Net, folder: Path) -> None:
    """Load a saved adapter into a net that was built alike. Raises ValueError if it is damaged or does not
    fit.
    """
    from peft import load_peft_weights, set_peft_model_state_dict
    from safetensors import SafetensorError

    try:
        weights = load_peft_weights(str(folder), device="cpu")
    except (SafetensorError, OSError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise ValueError(f"the adapter in {folder} is damaged ({reason}): export the model again") from None
    result: Net = set_peft_model_state_dict(net, weights)
    missing = [name for name in result.missing_keys if "lora_" in name or "modules_to_save" in name]
    if missing or result.unexpected_keys:
        raise ValueError(
            f"the adapter in {folder} does not fit: missing {missing[:3]}, unexpected"
            f" {result.unexpected_keys[:3]}"
        )


def merge_adapter(base: str, folder: Path, dtype: torch.dtype) -> Net:
    """The base in ``dtype`` (never in 4 bits) with a saved adapter added to its weights."""
    from peft import PeftModel
    from transformers import AutoConfig

    path = resolve_base(base)
    net = causal_lm_class(AutoConfig.from_pretrained(path)).from_pretrained(path, dtype=dtype)
    return PeftModel.from_pretrained(net, str(folder)).merge_and_unload()
