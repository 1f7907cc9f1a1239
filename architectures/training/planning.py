"""What training a causal LM costs, before it starts: weights, memory by kind, micro-batch, time of a step.

Memory is computed from the configuration alone, before a weight is read; times are measured.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from architectures.models.answer_loss import LOGITS_AT_ONCE, MIN_LOGIT_ROWS
from architectures.models.causal_lm import CausalLM
from architectures.models.fine_tuned import FineTuned
from architectures.models.loading import base_dtype, load_config
from architectures.training.trainer import TrainingBatches
from architectures.values import Configuration, Settings

MEMORY_SHARE = 0.85  # of the free memory that a plan may take: allocators need room
NF4_BYTES = 0.53  # a weight in 4 bits, with the constants of its block
FOUR_NORMS = ("gemma2", "gemma3_text")  # kinds of model with four norms in a layer, not two
GIB = 2**30
PLANNED_STEPS = 4  # that are timed, the first of which warms up


@dataclass(frozen=True)
class ModelShapes:
    """Sizes of a decoder.

    linear: weights of its layers. trained: parameters that are trained. base_bytes: of a weight.
    activation_bytes: of an activation.
    """

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
    activation_bytes: int

    @property
    def parameters(self) -> int:
        """Weights of the base."""
        return self.linear + self.vocabulary * self.width * (1 if self.tied else 2)


@dataclass(frozen=True)
class Memory:
    """What a process has: the kind of device and its free bytes; ``shards``: processes that share the
    weights (FSDP).
    """

    device: str
    free: float
    shards: int = 1


class _TrainingRows(Protocol):
    """Token rows: ids and answer ids in each row. (rows,) both"""

    @property
    def lengths(self) -> Tensor: ...

    @property
    def sizes(self) -> Tensor: ...


class PlannedBatches(TrainingBatches, Protocol):
    """Training batches that know the rows they are made of."""

    @property
    def rows(self) -> _TrainingRows: ...


@dataclass(frozen=True)
class PlannedRows:
    """The rows that training takes.

    count, tokens, answer_tokens: of all training rows. longest: lengths of the longest rows, as many as one
    forward pass takes. batch_size: rows in a step, over all ``processes``. checkpointing: activations are
    recomputed.
    """

    batches: TrainingBatches
    count: int
    tokens: int
    answer_tokens: int
    longest: list[int]
    batch_size: int
    processes: int
    checkpointing: bool

    @classmethod
    def of(
        cls, batches: PlannedBatches, batch_size: int, processes: int, checkpointing: bool
    ) -> "PlannedRows":
        """The rows of some batches."""
        micro_batch = -(-batch_size // (batches.accumulate * processes))
        lengths = sorted(batches.rows.lengths.tolist(), reverse=True)
        answers = int(batches.rows.sizes.sum())
        longest = lengths[:micro_batch]
        return cls(
            batches, len(lengths), sum(lengths), answers, longest, batch_size, processes, checkpointing
        )


def _layer_shapes(text: Configuration) -> dict[str, tuple[int, int]]:
    """(inputs, outputs) of the linear layers in one layer of a decoder."""
    width, heads = text.hidden_size, text.num_attention_heads
    key_heads = getattr(text, "num_key_value_heads", None) or heads
    size = getattr(text, "head_dim", None) or width // heads
    inner = getattr(text, "intermediate_size", None) or 4 * width
    key, query = (width, key_heads * size), (width, heads * size)
    attention = {"q_proj": query, "k_proj": key, "v_proj": key, "o_proj": query[::-1]}
    return attention | {"gate_proj": (width, inner), "up_proj": (width, inner), "down_proj": (inner, width)}


def model_shapes(model: Settings, precision: str) -> ModelShapes:
    """Sizes of the causal LM that ``model`` describes (arguments of `build_net`), in ``precision``."""
    config = load_config(model["base"])
    text = config.get_text_config()
    width, heads, count = text.hidden_size, text.num_attention_heads, text.num_hidden_layers
    layers = _layer_shapes(text)
    tied = bool(getattr(config, "tie_word_embeddings", False))
    with_lora = model["adapter"] == "lora"
    linear = count * sum(a * b for a, b in layers.values())
    trained = linear + text.vocab_size * width * (1 if tied else 2)
    if with_lora:
        targets = layers if model["lora_targets"] == ["auto"] else model["lora_targets"]
        adapted = [layers[name] for name in targets if name in layers]
        trained = count * model["lora_r"] * sum(a + b for a, b in adapted)
    in_bfloat16 = base_dtype(config, model["dtype"], with_lora) == torch.bfloat16
    base_bytes = NF4_BYTES if model["quantization"] == "nf4" else 4 - 2 * in_bfloat16
    activation_bytes = 4 - 2 * (in_bfloat16 or "bf16" in precision)
    return ModelShapes(
        width=width,
        layers=count,
        heads=heads,
        key_heads=getattr(text, "num_key_value_heads", None) or heads,
        head_size=getattr(text, "head_dim", None) or width // heads,
        inner=layers["gate_proj"][1],
        vocabulary=text.vocab_size,
        tied=tied,
        norms=4 if text.model_type in FOUR_NORMS else 2,
        capped=bool(getattr(text, "attn_logit_softcapping", None)),
        linear=linear,
        trained=trained,
        base_bytes=base_bytes,
        activation_bytes=activation_bytes,
    )


def memory_by_kind(
    s: ModelShapes, lengths: list[int], checkpointing: bool, device: str, shards: int = 1
) -> dict[str, float]:
    """Bytes that training takes in one process, at most, by what takes them.

    Args:
        lengths: of the rows of the largest micro-batch. shards: processes that share the weights (FSDP).
    """
    tokens, query, key = sum(lengths), s.heads * s.head_size, s.key_heads * s.head_size
    scores = 0
    if device == "cpu":  # flex attention on a GPU keeps none
        copies = 2 if s.capped else 1
        scores = sum(n * n for n in lengths) * s.heads * copies
    values = tokens * ((s.norms + 2) * s.width + 2 * query + 2 * key + 4 * s.inner) + scores
    layer = s.activation_bytes * values
    inputs = s.activation_bytes * tokens * s.width * s.layers
    kept = layer + inputs if checkpointing else layer * s.layers
    rows = max(MIN_LOGIT_ROWS, LOGITS_AT_ONCE[device] // s.vocabulary)
    embeddings = (s.parameters - s.linear) * max(2, s.base_bytes)
    is_adapter = s.trained < s.parameters
    return {
        "weights": (s.linear * s.base_bytes + embeddings) / shards,
        "trained parameters, gradients, AdamW": s.trained * (16 if is_adapter else 12) / shards,
        "activations": kept + s.activation_bytes * tokens * 4 * s.inner,
        "logits of a few answer tokens": 3 * 4 * min(rows, tokens) * s.vocabulary,
    }


def fitting_micro_batch(
    s: ModelShapes, lengths: list[int], most: int, checkpointing: bool, memory: Memory
) -> int:
    """Rows in a forward pass, at most ``most``, that fit even if they are the longest of ``lengths``; at
    least 1.
    """
    longest = sorted(lengths, reverse=True)[:most]
    for parts in range(1, most + 1):
        rows = -(-most // parts)
        kinds = memory_by_kind(s, longest[:rows], checkpointing, memory.device, memory.shards)
        if sum(kinds.values()) <= MEMORY_SHARE * memory.free:
            return rows
    return 1


def available_memory(accelerator: str, local_processes: float, shards: int) -> Memory:
    """What each of the processes on this machine can use."""
    if accelerator != "cpu" and torch.cuda.is_available():
        return Memory("cuda", float(torch.cuda.mem_get_info()[0]), shards)
    import psutil

    return Memory("cpu", psutil.virtual_memory().available / local_processes, shards)


def time_steps(
    module: CausalLM, batches: TrainingBatches, precision: str, steps: int
) -> list[tuple[float, int]]:
    """(seconds, tokens) of forward and backward passes of some optimiser steps, the first of which warms up.

    No weight changes.
    """
    device = module.device.type
    seconds, tokens = [0.0] * steps, [0] * steps
    measured = 0
    for number, batch in enumerate(batches):
        step = number // batches.accumulate
        if step == steps:
            break
        begun = time.perf_counter()
        tensors = {name: x.to(device) for name, x in batch.items() if isinstance(x, torch.Tensor)}
        moved = {**batch, **tensors}
        with torch.autocast(device, torch.bfloat16, enabled="bf16" in precision):
            loss = module.count(moved).loss
        (loss / batch["step_size"]).backward()
        float(loss.detach())  # waits for the device
        seconds[step] += time.perf_counter() - begun
        tokens[step] += batch["tokens"]
        measured = step + 1
    module.zero_grad()
    return list(zip(seconds, tokens, strict=True))[:measured]


def _step_time(timed: list[tuple[float, int]]) -> tuple[float, float]:
    """(seconds a step, tokens a second) of timed steps, without the one that warms up."""
    counted = timed[1:] or timed
    seconds = sum(duration for duration, _ in counted) / len(counted)
    tokens = sum(count for _, count in counted) / len(counted)
    return seconds, tokens / seconds


SAVINGS = (
    "model.quantization=nf4, model.gradient_checkpointing=true, a lower data.max_seq_length, or trainer=fsdp"
)


def plan_text(
    base: str,
    shapes: ModelShapes,
    rows: PlannedRows,
    memory: Memory,
    build: Callable[[], FineTuned],
    precision: str,
) -> str:
    """What training costs, in words: weights, rows, steps, memory by kind, and the time of a few steps.

    Where the memory does not suffice, or is shared between processes, no step is timed.

    Args:
        build: makes the module, if steps are timed.
    """
    kinds = memory_by_kind(shapes, rows.longest, rows.checkpointing, memory.device, memory.shards)
    total, free, steps = sum(kinds.values()), memory.free, rows.batches.steps
    counts = f"{rows.count:,} rows, {rows.tokens:,} tokens, {rows.answer_tokens:,} of them answers"
    forward = f"{len(rows.longest)} in a forward pass, in {rows.processes} process(es)"
    lines = [
        ("model", f"{base}: {shapes.parameters:,} weights, {shapes.trained:,} trained"),
        ("data", f"{counts}; longest {rows.longest[0]}"),
        ("steps", f"{steps:,} of {rows.batch_size} rows, {forward}"),
        ("memory", f"{_gib(total)} at most in each process; {_gib(free)} are free ({memory.device})"),
    ]
    lines += [("", f"{_gib(size)} {kind}") for kind, size in kinds.items()]
    if total > free:
        lines.append(("", f"more than is free: set {SAVINGS}"))
    elif memory.shards == 1:
        module = build().to(memory.device)
        assert isinstance(module, CausalLM)
        timed = time_steps(module, rows.batches, precision, PLANNED_STEPS)
        seconds, speed = _step_time(timed)
        minutes = steps * seconds / 60
        lines.append(("step", f"{seconds:.2f} s here, {speed:,.0f} tokens a second in each process"))
        lines.append(("time", f"{minutes:.1f} minutes of training, without start, validation and evaluation"))
    return "\n".join(f"{name:8}{text}" for name, text in lines)


def _gib(size: float) -> str:
    """Bytes in GiB."""
    return f"{size / GIB:.2f} GiB"
