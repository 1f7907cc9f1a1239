"""What training a causal LM will cost, before it starts: weights, bytes by kind, the micro-batch that memory holds, the time of a step.

Bytes are worked out from the configuration alone, so that they are known before a weight is read; times are measured.
"""

import time
from dataclasses import dataclass
from typing import Any

import torch

from architectures.adapters import base_dtype, config_of
from architectures.lean import HEAD_ELEMENTS, LEAST_ROWS

SAFE = 0.85  # share of the free memory that a plan may take: allocators need room
NF4_BYTES = 0.53  # a weight in 4 bits, with the constants of its block


@dataclass(frozen=True)
class Shapes:
    """Sizes of a decoder. linear: weights of its layers; trained: what learns; base_bytes, wide: bytes of a weight, of an activation."""

    width: int
    layers: int
    heads: int
    key_heads: int
    head_size: int
    inner: int
    vocabulary: int
    tied: bool
    norms: int
    capped: bool
    linear: int
    trained: int
    base_bytes: float
    wide: int

    @property
    def parameters(self) -> int:
        """Weights of the base."""
        return self.linear + self.vocabulary * self.width * (1 if self.tied else 2)


def shapes_of(model: dict[str, Any], precision: str) -> Shapes:
    """Sizes of the causal LM that ``model`` (arguments of `adapters.build`) describes, trained in ``precision``."""
    config = config_of(model["base"], None, None)
    text = config.get_text_config()
    width, heads = text.hidden_size, text.num_attention_heads
    key_heads = getattr(text, "num_key_value_heads", None) or heads
    size = getattr(text, "head_dim", None) or width // heads
    inner, kind = getattr(text, "intermediate_size", None) or 4 * width, text.model_type
    layers = {
        "q_proj": (width, heads * size), "k_proj": (width, key_heads * size), "v_proj": (width, key_heads * size),
        "o_proj": (heads * size, width), "gate_proj": (width, inner), "up_proj": (width, inner), "down_proj": (inner, width),
    }  # fmt: skip
    linear = text.num_hidden_layers * sum(a * b for a, b in layers.values())
    tied = bool(getattr(config, "tie_word_embeddings", False))
    lora = model["adapter"] == "lora"
    adapter = text.num_hidden_layers * model["lora_r"] * sum(sum(layers[name]) for name in model["lora_targets"] if name in layers)
    half = base_dtype(config, model["dtype"], lora) == torch.bfloat16
    return Shapes(
        width=width, layers=text.num_hidden_layers, heads=heads, key_heads=key_heads, head_size=size, inner=inner,
        vocabulary=text.vocab_size, tied=tied, norms=4 if kind in ("gemma2", "gemma3_text") else 2,
        capped=bool(getattr(text, "attn_logit_softcapping", None)), linear=linear,
        trained=adapter if lora else linear + text.vocab_size * width * (1 if tied else 2),
        base_bytes=NF4_BYTES if model["quantization"] == "nf4" else 2 if half else 4,
        wide=2 if half or "bf16" in precision else 4,
    )  # fmt: skip


def bytes_by_kind(s: Shapes, lengths: list[int], checkpointing: bool, device: str, shards: int = 1) -> dict[str, float]:
    """Bytes that training takes in one process, at most, by what takes them.

    Args:
        lengths: of the rows of the largest micro-batch. shards: processes that share the weights (FSDP).
    """
    tokens, query, key = sum(lengths), s.heads * s.head_size, s.key_heads * s.head_size
    scores = sum(n * n for n in lengths) * s.heads * (2 if s.capped else 1) if device == "cpu" else 0  # flex attention keeps none
    layer = s.wide * (tokens * ((s.norms + 2) * s.width + 2 * query + 2 * key + 4 * s.inner) + scores)
    kept = layer + s.wide * tokens * s.width * s.layers if checkpointing else layer * s.layers
    rows = max(LEAST_ROWS, HEAD_ELEMENTS[device] // s.vocabulary)
    return {
        "weights": (s.linear * s.base_bytes + (s.parameters - s.linear) * max(2, s.base_bytes)) / shards,
        "what is trained, its gradients, AdamW": s.trained * 16 / shards if s.trained < s.parameters else s.trained * 12 / shards,
        "activations": kept + s.wide * tokens * 4 * s.inner,
        "logits of a few answer tokens": 3 * 4 * min(rows, tokens) * s.vocabulary,
    }


def rows_that_fit(s: Shapes, lengths: list[int], most: int, checkpointing: bool, device: str, free: float, shards: int = 1) -> int:
    """Rows a forward pass, at most ``most``, that ``free`` bytes hold even if they are the longest of ``lengths``; at least 1."""
    longest = sorted(lengths, reverse=True)[:most]
    for parts in range(1, most + 1):
        rows = -(-most // parts)
        if sum(bytes_by_kind(s, longest[:rows], checkpointing, device, shards).values()) <= SAFE * free:
            return rows
    return 1


def seconds_of_steps(module: Any, batches: Any, precision: str, steps: int) -> list[tuple[float, int]]:
    """(seconds, tokens) of forward and backward passes of some optimiser steps, the first of which warms up; no weight changes."""
    device = module.device.type
    found = []
    for number, batch in enumerate(batches):
        if number == steps * batches.accumulate:
            break
        begun = time.perf_counter()
        moved = {name: x.to(device) if isinstance(x, torch.Tensor) else x for name, x in batch.items()}
        with torch.autocast(device, torch.bfloat16, enabled="bf16" in precision):
            loss = module.count(moved).loss
        (loss / batch["step_size"]).backward()
        float(loss.detach())  # the device is done
        found.append((time.perf_counter() - begun, batch["tokens"]))
    module.zero_grad()
    return [(sum(s for s, _ in part), sum(t for _, t in part)) for part in zip(*[iter(found)] * batches.accumulate, strict=True)]
