"""Load a base model (float32, bfloat16 or NF4), attach LoRA to it, count, export, load again, and merge.

LoRA: Hu et al. 2021, https://arxiv.org/abs/2106.09685. QLoRA and NF4: Dettmers et al. 2023, https://arxiv.org/abs/2305.14314.
"""

import copy
import difflib
import importlib.util
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from architectures import attention as documents
from architectures.attention import Documents
from architectures.lean import lighten

log = logging.getLogger(__name__)
BASE_DROPOUTS = ("hidden_dropout_prob", "attention_probs_dropout_prob", "dropout", "attention_dropout")  # names in configurations
HEAD_DROPOUTS = ("classifier_dropout", "seq_classif_dropout")
SCALED_LOGITS = ("logits_scaling", "logit_scale", "lm_head_multiplier")
POOLER = "pooler"  # what transformers calls the layer between an encoder and its classifier
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


def attention_of(config: Any, attention: str, classifies: bool) -> str:
    """The attention that 'auto' stands for: that of `architectures.attention` for a causal LM, the quickest right one for a classifier.

    Gemma 2 caps its attention scores, of which sdpa knows nothing, nor says so. Raises ValueError if it is asked for all the same.
    """
    capped = getattr(config.get_text_config(), "attn_logit_softcapping", None)
    if attention == "sdpa" and capped:
        raise ValueError("model.attention=sdpa ignores the cap on this model's attention scores: set model.attention=auto")
    if attention == "auto" and classifies:
        return "eager" if capped else "sdpa"
    return documents.NAME if attention == "auto" else attention


def base_path(base: str) -> str:
    """A base as transformers takes it: a folder or a Hub name; 'package:NAME/FOLDER' is a folder inside an installed package.

    A folder may also stand beside this package, wherever that is used from. Raises ValueError if there is no such package.
    """
    if not base.startswith("package:"):
        beside = Path(__file__).resolve().parents[1] / base
        return str(beside) if not Path(base).exists() and beside.is_dir() else base
    name, _, folder = base.removeprefix("package:").partition("/")
    spec = importlib.util.find_spec(name)
    if spec is None or not spec.submodule_search_locations:
        raise ValueError(f"model.base={base}: the package {name} is not installed: pip install {name.replace('_', '-')}")
    return str(Path(spec.submodule_search_locations[0]) / folder)


@dataclass(frozen=True)
class Head:
    """What makes a classifier of a base: the labels, whether a text can have several, dropout before the head, id of padding.

    pooling: what the head reads. native: as transformers has it for this kind of model; mean: as `architectures.pooling` has it.
    """

    labels: list[str]
    multi_label: bool
    dropout: float
    pad_id: int
    pooling: str


def config_of(base: str, head: Head | None, base_dropout: float | None) -> Any:
    """The base's configuration, with the head's labels and with the given dropout in its layers (None: as the base has it)."""
    from transformers import AutoConfig

    changes: dict[str, Any] = {}
    if head:
        changes = {"id2label": dict(enumerate(head.labels)), "label2id": {label: i for i, label in enumerate(head.labels)}}
        changes["problem_type"] = "multi_label_classification" if head.multi_label else "single_label_classification"
    try:
        config = AutoConfig.from_pretrained(base_path(base), **changes)
    except (OSError, ValueError) as error:
        raise ValueError(f"no model at model.base={base}: {str(error).splitlines()[0]}") from None
    rates = dict.fromkeys(BASE_DROPOUTS, base_dropout) if base_dropout is not None else {}
    rates |= dict.fromkeys(HEAD_DROPOUTS, head.dropout) if head else {}
    for name, rate in rates.items():
        if hasattr(config, name):
            setattr(config, name, rate)
    if head:
        config.pad_token_id = head.pad_id  # by which a decoder's classifier finds the last token
    return config


def load_base(
    base: str, init: str, dtype: str, quantization: str, attention: str, frozen: bool = True, base_dropout: float | None = None
) -> nn.Module:
    """A causal LM, frozen unless told otherwise, with its weights or (``init='random'``) with its shapes alone.

    Raises ValueError if the base cannot be had, or if NF4 is asked for without weights to quantise.
    """
    from transformers import AutoModelForCausalLM

    config = config_of(base, None, base_dropout)
    scaled = [name for name in SCALED_LOGITS if getattr(config.get_text_config(), name, None) not in (None, 1, 1.0)]
    if scaled:
        raise ValueError(f"model.base={base}: its logits are scaled ({scaled[0]}), which the loss here does not know; take another base")
    if attention == "auto" and getattr(config.get_text_config(), "attention_dropout", None):
        raise ValueError("model.attention=auto knows no dropout in attention: set model.base_dropout=0, or model.attention=eager")
    documents.register()
    options = options_of(config, dtype, init, quantization, attention, frozen, None)
    if init == "random":
        return documented(AutoModelForCausalLM.from_config(config, **options), base).requires_grad_(not frozen)
    try:
        loaded: Any = AutoModelForCausalLM.from_pretrained(base_path(base), config=config, output_loading_info=True, **options)
    except OSError as error:
        raise ValueError(f"no weights at model.base={base}: {str(error).splitlines()[0]}") from None
    net, found = loaded
    warn_of(found["missing_keys"], base)
    return documented(net, base).requires_grad_(not frozen)


def documented(net: Any, base: str) -> nn.Module:
    """The net, if its attention can be told where documents end. Raises ValueError if it would mix the rows of a batch."""
    if not net._supports_attention_backend:
        raise ValueError(f"model.base={base}: the attention of a {type(net).__name__} cannot be told where rows end; take another base")
    return net


def load_classifier(
    base: str, init: str, dtype: str, quantization: str, attention: str, frozen: bool, base_dropout: float | None, head: Head
) -> tuple[nn.Module, list[str]]:
    """(a classifier, names of its parts that are new and must be trained whatever is frozen). As `load_base` otherwise."""
    from transformers import AutoModelForSequenceClassification

    config = config_of(base, head, base_dropout)
    options = options_of(config, dtype, init, quantization, attention, frozen, head)
    net: Any
    missing: set[str] = set()
    try:
        if head.pooling == "mean":
            from architectures.pooling import MeanPooled

            net = MeanPooled.of(base_path(base), config, init, head.dropout, **options)
        elif init == "random":
            net = AutoModelForSequenceClassification.from_config(config, **options)
        else:
            net, found = AutoModelForSequenceClassification.from_pretrained(
                base_path(base), config=config, output_loading_info=True, **options
            )
            missing = found["missing_keys"]
    except OSError as error:
        raise ValueError(f"no weights at model.base={base}: {str(error).splitlines()[0]}") from None
    new = [name for name, part in net.named_children() if name != net.base_model_prefix and any(True for _ in part.parameters())]
    pooler = {name for name in missing if f".{POOLER}." in name}  # many bases come without the one that classifiers read
    warn_of({name for name in missing if name.split(".")[0] not in new} - pooler, base)
    return net.requires_grad_(not frozen), [*new, *([POOLER] if pooler else [])]


def options_of(config: Any, dtype: str, init: str, quantization: str, attention: str, frozen: bool, head: Head | None) -> dict[str, Any]:
    """How transformers is to load: dtype, attention, and 4 bits (NF4) for all but a classifier's new parts."""
    from transformers import AutoModelForSequenceClassification, BitsAndBytesConfig

    options: dict[str, Any] = {
        "dtype": base_dtype(config, dtype, frozen),
        "attn_implementation": attention_of(config, attention, head is not None),
    }
    if quantization == "nf4":
        if init == "random":
            raise ValueError("model.quantization=nf4 needs model.init=pretrained: there are no weights to quantise")
        whole = None
        if head:
            with torch.device("meta"):
                net = AutoModelForSequenceClassification.from_config(config)
            parts = [name for name, _ in net.named_children() if name != net.base_model_prefix]
            whole = [*parts, POOLER, f"{net.base_model_prefix}.{POOLER}"]
        options["quantization_config"] = BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type="nf4",
            bnb_4bit_use_double_quant=True,
            bnb_4bit_compute_dtype=torch.bfloat16,
            llm_int8_skip_modules=whole,
        )
    if quantization == "int8":
        options["quantization_config"] = BitsAndBytesConfig(load_in_8bit=True)
    return options


def warn_of(missing: set[str], base: str) -> None:
    """Say which weights the base lacks."""
    if missing:
        log.warning("model.base=%s lacks weights, which start at random: %s", base, ", ".join(sorted(missing)[:3]))


def linear_names(net: nn.Module) -> set[str]:
    """Last parts of the names of all linear layers ('q_proj', ...)."""
    return {name.rsplit(".", 1)[-1] for name, module in net.named_modules() if isinstance(module, nn.Linear)}


def attach_lora(net: Any, r: int, alpha: int, dropout: float, targets: list[str], new: list[str]) -> nn.Module:
    """Wrap the targets in LoRA; only its matrices, and the ``new`` parts of a classifier, are trained, in float32.

    Raises ValueError for a target that matches nothing.
    """
    from peft import LoraConfig, get_peft_model

    there = linear_names(net.base_model)
    missing = [target for target in targets if target not in there]
    if missing:
        near = {target: difflib.get_close_matches(target, there, 1) for target in missing}
        hints = "; ".join(f"{t!r}" + (f" (did you mean {n[0]!r}?)" if n else "") for t, n in near.items())
        raise ValueError(f"model.lora_targets: no layer is called {hints}; this model has {', '.join(sorted(there))}")
    config = LoraConfig(r=r, lora_alpha=alpha, lora_dropout=dropout, target_modules=targets, task_type="CAUSAL_LM")
    if new:
        config.task_type, config.modules_to_save = "SEQ_CLS", new
        config.exclude_modules = rf"(?:.*\.)?(?:{'|'.join(new)})(?:\..*)?"
    wrapped = get_peft_model(net, config)
    for parameter in wrapped.parameters():
        if parameter.requires_grad:
            parameter.data = parameter.data.float()
    return wrapped


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
    base_dropout: float | None,
    head: Head | None = None,
) -> nn.Module:
    """The net to train: a base with an adapter, or (``adapter='none'``) a base of which every parameter is trained.

    With ``head`` it classifies, and the head is trained in any case.
    """
    frozen = adapter == "lora"
    net: Any
    new: list[str] = []
    if head:
        net, new = load_classifier(base, init, dtype, quantization, attention, frozen, base_dropout, head)
    else:
        net = load_base(base, init, dtype, quantization, attention, frozen, base_dropout)
    if gradient_checkpointing:
        net.gradient_checkpointing_enable({"use_reentrant": False})
        net.enable_input_require_grads()
    return lighten(attach_lora(net, lora_r, lora_alpha, lora_dropout, lora_targets, new) if frozen else net)


def has_adapter(net: nn.Module) -> bool:
    """Whether the net is a base with an adapter."""
    return hasattr(net, "peft_config")


def base_of(net: Any) -> Any:
    """The causal LM inside the net, adapter layers and all."""
    return net.get_base_model() if has_adapter(net) else net


def hidden_states(net: Any, input_ids: Tensor, position_ids: Tensor, lengths: list[int]) -> Tensor:
    """A causal LM's last hidden states, of documents on end. input_ids, position_ids: (tokens,) -> (tokens, width)

    Args:
        lengths: of the documents; their positions start at 0. Other attention than 'auto' tells them apart by these alone.
    """
    base = base_of(net)
    told = {"documents": Documents(lengths, input_ids.device)} if base.config._attn_implementation == documents.NAME else {}
    inputs = {"input_ids": input_ids[None], "position_ids": position_ids[None], "use_cache": False}  # a cache would blur documents
    return base.base_model(**inputs, **told).last_hidden_state[0]


def head_of(net: Any) -> tuple[Tensor, Tensor | None, float]:
    """(weight, bias, cap) of what turns a causal LM's hidden states into logits; the cap is Gemma 2's, 0 if there is none."""
    base = base_of(net)
    head = base.get_output_embeddings()
    return head.weight, head.bias, getattr(base.config.get_text_config(), "final_logit_softcapping", None) or 0.0


@contextmanager
def untuned(net: Any) -> Iterator[None]:
    """Within it the net answers as its base would."""
    with net.disable_adapter():
        yield


def count_parameters(net: nn.Module) -> tuple[int, int]:
    """(trained, all) parameters; a weight in 4 bits counts as one, not as half a byte."""
    sizes = [(p.requires_grad, p.numel() * (2 if p.__class__.__name__ == "Params4bit" else 1)) for p in net.parameters()]
    return sum(size for trained, size in sizes if trained), sum(size for _, size in sizes)


def export(net: Any, folder: Path, dtype: torch.dtype) -> None:
    """Write the adapter in PEFT's format (safetensors), or the whole model, in ``dtype``, if all of it was trained."""
    if has_adapter(net):
        net.save_pretrained(folder)
    else:
        copy.deepcopy(net).to(dtype).save_pretrained(folder)


def load_exported(net: Any, folder: Path) -> None:
    """Put an exported adapter's weights into a net that `build` made alike. Raises ValueError if they are damaged or do not fit."""
    from peft import load_peft_weights, set_peft_model_state_dict
    from safetensors import SafetensorError

    try:
        weights = load_peft_weights(str(folder), device="cpu")
    except (SafetensorError, OSError, ValueError) as error:
        raise ValueError(f"the adapter in {folder} is damaged ({str(error).splitlines()[0]}): export the model again") from None
    result: Any = set_peft_model_state_dict(net, weights)
    missing = [name for name in result.missing_keys if "lora_" in name or "modules_to_save" in name]
    if missing or result.unexpected_keys:
        raise ValueError(f"the adapter in {folder} does not fit: missing {missing[:3]}, unexpected {result.unexpected_keys[:3]}")


def merge(base: str, folder: Path, dtype: torch.dtype) -> nn.Module:
    """Base in ``dtype`` (never in 4 bits) with the exported adapter added into its weights."""
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    net = AutoModelForCausalLM.from_pretrained(base_path(base), dtype=dtype)
    return PeftModel.from_pretrained(net, str(folder)).merge_and_unload()
