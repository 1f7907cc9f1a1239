"""Load a base model (float32, bfloat16 or NF4), attach LoRA to it, count, export, load again, and merge.

LoRA: Hu et al. 2021, https://arxiv.org/abs/2106.09685. QLoRA and NF4: Dettmers et al. 2023, https://arxiv.org/abs/2305.14314.
"""

import copy
import difflib
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import nn

log = logging.getLogger(__name__)
BIG = 1_000_000_000  # weights from which a base is loaded in bfloat16 on a CPU too


def quick_bfloat16() -> bool:
    """Whether the hardware multiplies bfloat16 faster than float32."""
    return torch.cuda.is_available() or torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()


def base_dtype(config: Any, dtype: str, frozen: bool) -> torch.dtype:
    """The dtype that 'auto' stands for.

    float32 for a base that is itself trained; bfloat16 for a big one, and where nothing is lost and the hardware gains by it.
    """
    if dtype != "auto":
        return getattr(torch, dtype)
    text = config.get_text_config()
    weights = text.num_hidden_layers * 12 * text.hidden_size**2 + text.vocab_size * text.hidden_size
    stored = getattr(config, "dtype", None) == torch.bfloat16
    return torch.bfloat16 if frozen and (weights > BIG or (stored and quick_bfloat16())) else torch.float32


def attention_of(config: Any, attention: str) -> str:
    """The attention that 'auto' stands for. Gemma 2 caps its attention scores, which sdpa does not know: eager is right."""
    if attention != "auto":
        return attention
    return "eager" if getattr(config.get_text_config(), "attn_logit_softcapping", None) else "sdpa"


def load_base(base: str, init: str, dtype: str, quantization: str, attention: str, frozen: bool = True) -> nn.Module:
    """A causal LM, frozen unless told otherwise, with its weights or (``init='random'``) with its shapes alone.

    Raises ValueError if the base cannot be had, or if NF4 is asked for without weights to quantise.
    """
    from transformers import AutoConfig, AutoModelForCausalLM, BitsAndBytesConfig

    try:
        config = AutoConfig.from_pretrained(base)
    except (OSError, ValueError) as error:
        raise ValueError(f"no model at model.base={base}: {str(error).splitlines()[0]}") from None
    options: dict[str, Any] = {"dtype": base_dtype(config, dtype, frozen), "attn_implementation": attention_of(config, attention)}
    if init == "random":
        if quantization != "none":
            raise ValueError("model.quantization=nf4 needs model.init=pretrained: there are no weights to quantise")
        net = AutoModelForCausalLM.from_config(config, **options)
    else:
        if quantization == "nf4":
            options["quantization_config"] = BitsAndBytesConfig(
                load_in_4bit=True,
                bnb_4bit_quant_type="nf4",
                bnb_4bit_use_double_quant=True,
                bnb_4bit_compute_dtype=torch.bfloat16,
            )
        try:
            net = AutoModelForCausalLM.from_pretrained(base, **options)
        except OSError as error:
            raise ValueError(f"no weights at model.base={base}: {str(error).splitlines()[0]}") from None
    return net.requires_grad_(not frozen)


def linear_names(net: nn.Module) -> set[str]:
    """Last parts of the names of all linear layers ('q_proj', ...)."""
    return {name.rsplit(".", 1)[-1] for name, module in net.named_modules() if isinstance(module, nn.Linear)}


def attach_lora(net: nn.Module, r: int, alpha: int, dropout: float, targets: list[str]) -> nn.Module:
    """Wrap the targets in LoRA; only its matrices, in float32, are trained. Raises ValueError for a target that matches nothing."""
    from peft import LoraConfig, get_peft_model

    there = linear_names(net)
    missing = [target for target in targets if target not in there]
    if missing:
        near = {target: difflib.get_close_matches(target, there, 1) for target in missing}
        hints = "; ".join(f"{t!r}" + (f" (did you mean {n[0]!r}?)" if n else "") for t, n in near.items())
        raise ValueError(f"model.lora_targets: no layer is called {hints}; this model has {', '.join(sorted(there))}")
    config = LoraConfig(r=r, lora_alpha=alpha, lora_dropout=dropout, target_modules=targets, task_type="CAUSAL_LM")
    return get_peft_model(net, config)


def build(
    *,
    base: str,
    init: str,
    adapter: str,
    lora_r: int,
    lora_alpha: int,
    lora_dropout: float,
    lora_targets: list[str],
    quantization: str,
    dtype: str,
    attention: str,
    gradient_checkpointing: bool,
) -> nn.Module:
    """The net to train: a base with an adapter, or (``adapter='none'``) a base of which every parameter is trained."""
    net: Any = load_base(base, init, dtype, quantization, attention, frozen=adapter == "lora")
    if gradient_checkpointing:
        net.gradient_checkpointing_enable({"use_reentrant": False})
        net.enable_input_require_grads()
    return attach_lora(net, lora_r, lora_alpha, lora_dropout, lora_targets) if adapter == "lora" else net


def has_adapter(net: nn.Module) -> bool:
    """Whether the net is a base with an adapter."""
    return hasattr(net, "peft_config")


def base_of(net: Any) -> Any:
    """The causal LM inside the net, adapter layers and all."""
    return net.get_base_model() if has_adapter(net) else net


@contextmanager
def untuned(net: Any) -> Iterator[None]:
    """Within it the net answers as its base would."""
    with net.disable_adapter():
        yield


def count_parameters(net: nn.Module) -> tuple[int, int]:
    """(trained, all) parameters; a weight in 4 bits counts as one, not as half a byte."""
    sizes = [(p.requires_grad, p.numel() * (2 if p.__class__.__name__ == "Params4bit" else 1)) for p in net.parameters()]
    return sum(size for trained, size in sizes if trained), sum(size for _, size in sizes)


def export(net: Any, folder: Path) -> None:
    """Write the adapter in PEFT's format (safetensors), or the whole model, in bfloat16, if all of it was trained."""
    if has_adapter(net):
        net.save_pretrained(folder)
    else:
        copy.deepcopy(net).to(torch.bfloat16).save_pretrained(folder)


def load_exported(net: Any, folder: Path) -> None:
    """Put an exported adapter's weights into a net that `build` made alike. Raises ValueError if they do not fit."""
    from peft import load_peft_weights, set_peft_model_state_dict

    result: Any = set_peft_model_state_dict(net, load_peft_weights(str(folder), device="cpu"))
    missing = [name for name in result.missing_keys if "lora_" in name]
    if missing or result.unexpected_keys:
        raise ValueError(f"the adapter in {folder} does not fit: missing {missing[:3]}, unexpected {result.unexpected_keys[:3]}")


def merge(base: str, folder: Path, dtype: torch.dtype) -> nn.Module:
    """Base in ``dtype`` (never in 4 bits) with the exported adapter added into its weights."""
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    net = AutoModelForCausalLM.from_pretrained(base, dtype=dtype)
    return PeftModel.from_pretrained(net, str(folder)).merge_and_unload()
