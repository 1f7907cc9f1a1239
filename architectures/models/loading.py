"""Load a base model in float32, bfloat16, 8 or 4 bits, as a causal LM or with a classifier's head.

NF4: Dettmers et al. 2023, https://arxiv.org/abs/2305.14314.
"""

import logging
from dataclasses import dataclass
from typing import Any

import torch

from architectures.compatibility.bitsandbytes import keep_unpacked
from architectures.compatibility.torch import cpu_multiplies_bfloat16
from architectures.compatibility.transformers import (
    attention_name,
    own_attention,
    supports_attention_backends,
)
from architectures.models import attention as documents
from architectures.models.bases import resolve_base
from architectures.values import Configuration, Net, Settings

log = logging.getLogger(__name__)

BASE_DROPOUTS = ("hidden_dropout_prob", "attention_probs_dropout_prob", "dropout", "attention_dropout")
HEAD_DROPOUTS = ("classifier_dropout", "seq_classif_dropout")  # names in configurations, as those above
POOLER = "pooler"  # what transformers calls the layer between an encoder and its classifier
LARGE_BASE = 1_000_000_000  # weights from which a base is loaded in bfloat16 on a CPU too


@dataclass(frozen=True)
class ClassifierHead:
    """What makes a classifier of a base.

    Args:
        labels: names, in order. multi_label: whether a text can have several. dropout: before the head.
        pad_id: id of the padding token. pooling: what the head reads, as transformers has it for this kind of
        model (native), or the mean over all tokens (`architectures.models.pooling`). temperature: by which
        logits are divided. thresholds: probabilities from which labels are given (`models.thresholds`).
    """

    labels: list[str]
    multi_label: bool
    dropout: float
    pad_id: int
    pooling: str
    temperature: float = 1.0
    thresholds: list[float] | None = None


@dataclass(frozen=True)
class BaseSettings:
    """How a base is loaded.

    Args:
        base: as `resolve_base` takes it. init: pretrained; random: shapes only. dtype: auto, float32,
        bfloat16. quantization: none, nf4, int8. attention: auto, or an implementation of transformers.
        frozen: whether the base itself stays untrained. dropout: inside the base; None: as it is configured.
    """

    base: str
    init: str = "pretrained"
    dtype: str = "auto"
    quantization: str = "none"
    attention: str = "auto"
    frozen: bool = True
    dropout: float | None = None


def has_fast_bfloat16() -> bool:
    """Whether the hardware multiplies bfloat16 faster than float32."""
    return torch.cuda.is_available() or cpu_multiplies_bfloat16()


def base_dtype(config: Configuration, dtype: str, frozen: bool) -> torch.dtype:
    """The dtype that 'auto' stands for.

    float32 for a base that is trained itself; bfloat16 for a large one, and for one that is stored so where
    the hardware gains by it.
    """
    if dtype != "auto":
        result: torch.dtype = getattr(torch, dtype)
        return result
    text = config.get_text_config()
    weights = text.num_hidden_layers * 12 * text.hidden_size**2 + text.vocab_size * text.hidden_size
    stored_in_bfloat16 = getattr(config, "dtype", None) == torch.bfloat16
    gains = weights > LARGE_BASE or (stored_in_bfloat16 and has_fast_bfloat16())
    return torch.bfloat16 if frozen and gains else torch.float32


def attention_implementation(config: Configuration, attention: str, classifies: bool) -> str:
    """The attention that 'auto' stands for: `architectures.models.attention` for a causal LM, the fastest
    right one for a classifier.

    Gemma 2 caps its attention scores, which sdpa ignores silently. Raises ValueError if sdpa is set all the
    same.
    """
    capped = getattr(config.get_text_config(), "attn_logit_softcapping", None)
    if attention == "sdpa" and capped:
        raise ValueError(
            "model.attention=sdpa ignores the cap on this model's attention scores: set model.attention=auto"
        )
    if attention == "auto" and classifies:
        return "eager" if capped else "sdpa"
    return documents.ATTENTION if attention == "auto" else attention


def load_config(
    base: str, head: ClassifierHead | None = None, base_dropout: float | None = None
) -> Configuration:
    """The base's configuration, with the head's labels and the given dropout in its layers (None: as
    configured).

    Raises ValueError if there is no such model.
    """
    from transformers import AutoConfig

    changes = _head_config(head) if head else {}
    try:
        config = AutoConfig.from_pretrained(resolve_base(base), **changes)
    except (OSError, ValueError) as error:
        raise ValueError(f"no model at model.base={base}: {str(error).splitlines()[0]}") from None
    rates = dict.fromkeys(BASE_DROPOUTS, base_dropout) if base_dropout is not None else {}
    if head:
        rates |= dict.fromkeys(HEAD_DROPOUTS, head.dropout)
        config.pad_token_id = head.pad_id  # by which a decoder's classifier finds the last token
    for name, rate in rates.items():
        if hasattr(config, name):
            setattr(config, name, rate)
    return config


def _head_config(head: ClassifierHead) -> Settings:
    """The configuration fields of transformers that a head decides."""
    kind = "multi_label_classification" if head.multi_label else "single_label_classification"
    names = dict(enumerate(head.labels))
    return {"id2label": names, "label2id": {name: i for i, name in names.items()}, "problem_type": kind}


def load_base(settings: BaseSettings) -> Net:
    """A causal LM with its weights or (``init='random'``) with its shapes alone.

    A net whose attention cannot be replaced keeps that of transformers.

    Raises ValueError if the base cannot be loaded, or if its attention would be computed wrongly here.
    """
    config = load_config(settings.base, None, settings.dropout)
    _check_causal_lm(config, settings)
    documents.register_attention()
    options = _loading_options(config, settings, None)
    net = _load_causal_lm(config, settings, options)
    if settings.attention == "auto" and not _takes_document_attention(net):
        net.set_attn_implementation(own_attention(net))
        if (
            attention_name(net.config) == documents.ATTENTION
        ):  # an old class, which cannot change it once it is built
            net = _load_causal_lm(config, settings, options | {"attn_implementation": "eager"})
    return net.requires_grad_(not settings.frozen)


def _load_causal_lm(config: Configuration, settings: BaseSettings, options: Settings) -> Net:
    """The net by the options of transformers. Raises ValueError if there are no weights."""
    kind = causal_lm_class(config)
    if settings.init == "random":
        return kind.from_config(config, **options)
    options = options | {"config": config, "output_loading_info": True}
    try:
        net, info = kind.from_pretrained(resolve_base(settings.base), **options)
    except OSError as error:
        reason = str(error).splitlines()[0]
        raise ValueError(f"no weights at model.base={settings.base}: {reason}") from None
    _warn_missing_weights(info["missing_keys"], settings.base)
    keep_unpacked(net)
    return net


def causal_lm_class(config: Configuration) -> Any:  # one of transformers' Auto classes
    """What loads a causal LM of this configuration; some exist only together with what reads their pictures.

    Raises ValueError if the configuration is of no causal LM.
    """
    import transformers

    if type(config) in transformers.MODEL_FOR_CAUSAL_LM_MAPPING:
        return transformers.AutoModelForCausalLM
    if type(config) in transformers.MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING:
        return transformers.AutoModelForImageTextToText
    raise ValueError(f"a {config.model_type} model is no causal language model: choose another model.base")


def _check_causal_lm(config: Configuration, settings: BaseSettings) -> None:
    """Raise ValueError for a base whose attention this project does not compute."""
    text = config.get_text_config()
    if settings.attention == "auto" and getattr(text, "attention_dropout", None):
        raise ValueError(
            "model.attention=auto does not support dropout in attention: set model.base_dropout=0, or"
            " model.attention=eager"
        )


def _takes_document_attention(net: Net) -> bool:
    """Whether `architectures.models.attention` can compute the net's attention: it can be replaced and has
    no sinks.
    """
    has_sinks = any(name.endswith(".sinks") for name, _ in net.named_parameters())
    return supports_attention_backends(net) and not has_sinks


def load_classifier(settings: BaseSettings, head: ClassifierHead) -> tuple[Net, list[str]]:
    """(a classifier, names of its parts that are new and must be trained whatever is frozen)

    Raises ValueError if the base cannot be loaded.
    """
    config = load_config(settings.base, head, settings.dropout)
    options = _loading_options(config, settings, head)
    try:
        net, missing = _build_classifier(config, settings, head, options)
    except OSError as error:
        reason = str(error).splitlines()[0]
        raise ValueError(f"no weights at model.base={settings.base}: {reason}") from None
    keep_unpacked(net)
    new = _new_parts(net)
    pooler = {
        name for name in missing if f".{POOLER}." in name
    }  # many bases lack the one that classifiers read
    others = {name for name in missing if name.split(".")[0] not in new}
    _warn_missing_weights(others - pooler, settings.base)
    if pooler:
        new.append(POOLER)
    return net.requires_grad_(not settings.frozen), new


def _build_classifier(
    config: Configuration, settings: BaseSettings, head: ClassifierHead, options: Settings
) -> tuple[Net, set[str]]:
    """(a classifier, names of weights that the base lacks)"""
    from transformers import AutoModelForSequenceClassification

    path = resolve_base(settings.base)
    if head.pooling == "mean":
        from architectures.models.pooling import MeanPooled

        return MeanPooled.of(path, config, settings.init, head.dropout, **options), set()
    if settings.init == "random":
        return AutoModelForSequenceClassification.from_config(config, **options), set()
    options |= {"config": config, "output_loading_info": True}
    net, info = AutoModelForSequenceClassification.from_pretrained(path, **options)
    return net, set(info["missing_keys"])


def _new_parts(net: Net) -> list[str]:
    """Names of a classifier's parts beside its base that have weights."""
    parts = [(name, part) for name, part in net.named_children() if name != net.base_model_prefix]
    return [name for name, part in parts if next(part.parameters(), None) is not None]


def _loading_options(config: Configuration, settings: BaseSettings, head: ClassifierHead | None) -> Settings:
    """How transformers loads: dtype, attention, and fewer bits for all but a classifier's new parts.

    Raises ValueError if 4 bits are set without weights to quantise.
    """
    from transformers import BitsAndBytesConfig

    options: Settings = {
        "dtype": base_dtype(config, settings.dtype, settings.frozen),
        "attn_implementation": attention_implementation(config, settings.attention, head is not None),
    }
    if settings.quantization == "nf4":
        if settings.init == "random":
            raise ValueError(
                "model.quantization=nf4 needs model.init=pretrained: there are no weights to quantise"
            )
        options["quantization_config"] = BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type="nf4",
            bnb_4bit_use_double_quant=True,
            bnb_4bit_compute_dtype=torch.bfloat16,
            llm_int8_skip_modules=_unquantised_parts(config) if head else None,
        )
    if settings.quantization == "int8":
        options["quantization_config"] = BitsAndBytesConfig(load_in_8bit=True)
    return options


def _unquantised_parts(config: Configuration) -> list[str]:
    """Names of a classifier's new parts, which are trained and so stay in full precision."""
    from transformers import AutoModelForSequenceClassification

    with torch.device("meta"):
        net: Net = AutoModelForSequenceClassification.from_config(config)
    parts = [name for name, _ in net.named_children() if name != net.base_model_prefix]
    return [*parts, POOLER, f"{net.base_model_prefix}.{POOLER}"]


def _warn_missing_weights(missing: set[str], base: str) -> None:
    """Log which weights the base lacks."""
    if missing:
        names = ", ".join(sorted(missing)[:3])
        log.warning("model.base=%s lacks weights, which start at random: %s", base, names)
