"""Private attributes of transformers' models and configurations."""

from architectures.values import Configuration, JsonObject, Net


def supports_attention_backends(net: Net) -> bool:
    """Whether the model's attention can be replaced by a registered function."""
    return bool(net._supports_attention_backend)


def own_attention(net: Net) -> str:
    """The fastest attention implementation of transformers that computes the model's attention on any
    device.
    """
    return "sdpa" if net._supports_sdpa else "eager"


def attention_name(config: Configuration) -> str:
    """The attention implementation that a model uses."""
    return str(config._attn_implementation)


def commit_hash(config: Configuration) -> str | None:
    """The Hub's commit of a downloaded model; None of a local folder."""
    return getattr(config, "_commit_hash", None)


class AnyAttention:
    """A model whose encoder has checked itself which attention implementations it supports."""

    _supports_sdpa = _supports_flash_attn = _supports_flex_attn = True


def gguf_fields_read(architecture: str) -> set[str]:
    """Names of the metadata of a GGUF file (without their first part) that transformers reads."""
    from transformers.integrations.ggml import GGUF_CONFIG_MAPPING

    fields: JsonObject = dict(GGUF_CONFIG_MAPPING).get(architecture, {})  # type: ignore[assignment]
    return set(fields)
