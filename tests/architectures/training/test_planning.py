"""What a plan says is what training takes."""

from pathlib import Path
from typing import Any

import pytest
import torch

from architectures.models import building, lora
from architectures.models.causal_lm import CausalLM
from architectures.training import planning
from tests.architectures.models.test_causal_lm import module_of, rows

POCKET = str(Path(__file__).parents[3] / "architectures" / "pocket")


@pytest.mark.parametrize("changes", [{}, {"adapter": "none"}, {"lora_targets": ["q_proj", "down_proj"]}])
@pytest.mark.parametrize("kind", ["gemma2", "llama", "qwen3", "mistral"])
def test_weights_are_counted(model_settings: Any, kind: str, changes: dict[str, Any]) -> None:
    settings = model_settings(kind, **changes)
    trained, all_of_them = lora.count_parameters(building.build_net(**settings))
    shapes = planning.model_shapes(settings, "32-true")
    assert shapes.trained == pytest.approx(trained, rel=0.01)
    assert shapes.parameters + (0 if "adapter" in changes else shapes.trained) == pytest.approx(
        all_of_them, rel=0.01
    )


@pytest.mark.parametrize(("dtype", "precision"), [("float32", "32-true"), ("bfloat16", "bf16-mixed")])
def test_activations_are_what_the_backward_pass_keeps(
    model_settings: Any, dtype: str, precision: str
) -> None:
    settings = model_settings() | {"base": POCKET, "dtype": dtype}
    module = module_of(settings)
    batch = rows(24).batch(list(range(24)))
    own = {p.untyped_storage().data_ptr() for p in module.parameters()}
    kept: dict[int, int] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    half = torch.autocast("cpu", torch.bfloat16, enabled=precision != "32-true")
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor), half:
        loss = module.count(batch).loss
    loss.backward()
    shapes = planning.model_shapes(settings, precision)
    found = planning.memory_by_kind(shapes, batch["lengths"], False, "cpu")["activations"]
    passing = shapes.activation_bytes * batch["tokens"] * 4 * shapes.inner
    assert found - passing == pytest.approx(
        sum(size for place, size in kept.items() if place not in own), rel=0.1
    )


def test_a_base_that_names_its_sizes_otherwise_can_be_planned(model_settings: Any, tmp_path: Path) -> None:
    from transformers import GPT2Config

    GPT2Config(n_embd=32, n_head=2, n_layer=2).save_pretrained(tmp_path)
    shapes = planning.model_shapes(model_settings(base=str(tmp_path), lora_targets=["c_attn"]), "32-true")
    assert shapes.inner == 4 * shapes.width == 128


def test_micro_batches_are_as_large_as_memory_holds(model_settings: Any) -> None:
    shapes = planning.model_shapes(model_settings() | {"base": POCKET}, "32-true")
    lengths = [100] * 50 + [300]

    def need(count: int) -> float:
        return sum(planning.memory_by_kind(shapes, [300] + [100] * (count - 1), False, "cpu").values())

    def fitting(free: float) -> int:
        memory = planning.Memory("cpu", free / planning.MEMORY_SHARE)
        return planning.fitting_micro_batch(shapes, lengths, 16, False, memory)

    assert fitting(need(16) + 1) == 16
    assert fitting(need(16) - 1) == 8
    assert fitting(need(4) + 1) == 4
    assert fitting(1.0) == 1


def test_checkpointing_and_sharding_take_less() -> None:
    settings = {
        "base": POCKET,
        "adapter": "lora",
        "lora_r": 8,
        "lora_targets": ["q_proj"],
        "dtype": "auto",
        "quantization": "none",
    }
    shapes = planning.model_shapes(settings, "32-true")
    whole = planning.memory_by_kind(shapes, [200] * 8, False, "cpu")
    assert planning.memory_by_kind(shapes, [200] * 8, True, "cpu")["activations"] < whole["activations"]
    assert planning.memory_by_kind(shapes, [200] * 8, False, "cpu", 4)["weights"] == whole["weights"] / 4
    quantized = planning.model_shapes(settings | {"quantization": "nf4"}, "32-true")
    assert planning.memory_by_kind(quantized, [200], False, "cpu")["weights"] < whole["weights"]


def test_timing_steps_changes_no_weight(model_settings: Any) -> None:
    from data.tokens.batches import TrainingBatches
    from data.tokens.batching import Batching

    module: CausalLM = module_of(model_settings())
    before = [p.detach().clone() for p in module.parameters()]
    steps = planning.time_steps(module, TrainingBatches(rows(), Batching(8, 2), 0), "32-true", 2)
    assert len(steps) == 2
    assert all(seconds > 0 and tokens > 50 for seconds, tokens in steps)
    assert all(torch.equal(a, b) for a, b in zip(before, module.parameters(), strict=True))
    assert all(p.grad is None for p in module.parameters())
