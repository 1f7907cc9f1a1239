"""Random nets and batches for tests/benchmarks/check_gpu.py: tiny ones of each family, and the shapes of
published models.
"""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from architectures.models import building
from architectures.models.causal_lm import CausalLM

LENGTHS, ANSWERS = [9, 6, 12], [4, 3, 5]  # tokens of documents and of their answers
TOKENS, DOCUMENT = 8192, 1024  # of a step, and of each of its documents
SETTINGS: dict[str, Any] = {
    "adapter": "lora",
    "lora_r": 16,
    "lora_alpha": 32,
    "lora_dropout": 0.0,
    "lora_targets": ["auto"],
    "quantization": "none",
    "dtype": "float32",
    "attention": "auto",
    "gradient_checkpointing": False,
    "base_dropout": None,
}
OPTIMIZATION = {
    "learning_rate": 2e-4,
    "weight_decay": 0.0,
    "beta2": 0.999,
    "warmup_ratio": 0.0,
    "total_steps": 20,
    "log_every": 10,
    "schedule": "constant",
}
# Shapes of published models: family and what differs from its configuration class's defaults.
SHAPES: dict[str, tuple[str, dict[str, Any]]] = {
    "Gemma-2-2B": ("gemma2", {"hidden_size": 2304, "intermediate_size": 9216, "num_hidden_layers": 26,
                              "num_attention_heads": 8, "num_key_value_heads": 4, "head_dim": 256}),
    "Gemma-2-9B": ("gemma2", {"hidden_size": 3584, "intermediate_size": 14336, "num_hidden_layers": 42,
                              "num_attention_heads": 16, "num_key_value_heads": 8, "head_dim": 256}),
    "Llama-3-8B": ("llama", {"hidden_size": 4096, "intermediate_size": 14336, "num_hidden_layers": 32,
                             "num_attention_heads": 32, "num_key_value_heads": 8, "vocab_size": 128256,
                             "rope_theta": 500000.0, "max_position_embeddings": 8192}),
}  # fmt: skip
TINY = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4}
TINY |= {"num_key_value_heads": 2, "head_dim": 16, "vocab_size": 512}


def net_of(folder: str, device: str, **changes: Any) -> Any:
    """A seeded random net with an adapter that does something."""
    torch.manual_seed(3)
    net = building.build_net(**SETTINGS | {"base": folder, "init": "random"} | changes).to(device).train()
    draw = torch.Generator().manual_seed(1)
    for parameter in net.parameters():
        if parameter.requires_grad:
            parameter.data += 0.1 * torch.randn(parameter.shape, generator=draw).to(device)
    return net


def module_of(net: Any) -> CausalLM:
    """The training module around a net."""
    module = CausalLM({}, OPTIMIZATION, {"name": "check", "data": {}})
    module.net = net
    return module


def documents(device: str) -> tuple[Tensor, list[int], Tensor, Tensor]:
    """A batch of random documents on end: ids, lengths, places that predict, what comes next."""
    draw = torch.Generator().manual_seed(2)
    ids = torch.randint(3, 128, (sum(LENGTHS),), generator=draw)
    places: list[int] = []
    before = 0
    for length, answer in zip(LENGTHS, ANSWERS, strict=True):
        before += length
        places += range(before - answer - 1, before - 1)
    return (
        ids.to(device),
        LENGTHS,
        torch.tensor(places, device=device),
        ids[torch.tensor(places) + 1].to(device),
    )


def gradients(net: Any) -> dict[str, Tensor]:
    """Those of what is trained."""
    return {name: p.grad.float() for name, p in net.named_parameters() if p.grad is not None}


def eager_loss(net: Any, device: str) -> Tensor:
    """The loss of transformers' own forward, one document after another."""
    ids, lengths, _, _ = documents(device)
    losses = []
    for document, answer in zip(ids.split(lengths), ANSWERS, strict=True):
        logits = net(input_ids=document[None], use_cache=False).logits[0, -answer - 1 : -1].float()
        losses.append(functional.cross_entropy(logits, document[-answer:], reduction="sum"))
    return torch.stack(losses).sum()


def shape_of(name: str, folder: Path, is_tiny: bool) -> str:
    """A folder with the configuration of a published model."""
    from transformers import AutoConfig

    family, sizes = SHAPES[name]
    AutoConfig.for_model(family, **(TINY if is_tiny else sizes)).save_pretrained(folder)
    return str(folder)


def step_batch(device: str) -> tuple[Tensor, list[int], Tensor, Tensor]:
    """Documents of one length, of which the second half is the answer."""
    length, count = (16, 2) if device == "cpu" else (DOCUMENT, TOKENS // DOCUMENT)
    ids = torch.randint(3, 500, (length * count,), device=device)
    at = torch.arange(length // 2, length - 1, device=device)
    places = torch.cat([at + number * length for number in range(count)])
    return ids, [length] * count, places, ids[places + 1]
