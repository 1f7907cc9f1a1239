"""Adapters: what changes and what does not, export and reload, merging, NF4, targets that match nothing."""

from pathlib import Path
from typing import Any

import pytest
import torch

from architectures.models import building, exported, loading, lora
from architectures.models.causal_lm import CausalLM
from architectures.training import checkpoints

IDS = torch.arange(10, 42).reshape(2, 16)


def logits(net: Any) -> torch.Tensor:
    net.eval()
    with torch.no_grad():
        return net(input_ids=IDS, use_cache=False).logits


def shaken(settings: dict[str, Any]) -> CausalLM:
    """A model whose adapter is not zero."""
    module = CausalLM(settings, {"learning_rate": 1e-3}, {"name": "test"})
    module.configure_model()
    torch.manual_seed(1)
    for parameter in module.parameters():
        if parameter.requires_grad:
            torch.nn.init.normal_(parameter, std=0.1)
    return module


@pytest.mark.parametrize("kind", ["gemma2", "llama", "qwen3"])
def test_a_fresh_adapter_reproduces_the_base(model_settings: Any, kind: str) -> None:
    net = building.build_net(**model_settings(kind))
    base = loading.load_base(loading.BaseSettings(model_settings(kind)["base"], dtype="float32"))
    torch.testing.assert_close(logits(net), logits(base))
    assert not torch.allclose(logits(shaken(model_settings(kind)).net), logits(base), atol=1e-3)


def test_untuned_answers_as_the_base_does(model_settings: Any) -> None:
    module = shaken(model_settings())
    base = loading.load_base(loading.BaseSettings(model_settings()["base"], dtype="float32"))
    with lora.adapter_disabled(module.net):
        torch.testing.assert_close(logits(module.net), logits(base))


@pytest.mark.parametrize("kind", ["gemma2", "llama"])
def test_merged_equals_unmerged(model_settings: Any, tmp_path: Path, kind: str) -> None:
    module = shaken(model_settings(kind))
    exported.export(module, tmp_path)
    merged = lora.merge_adapter(model_settings(kind)["base"], tmp_path, torch.float32)
    torch.testing.assert_close(logits(merged), logits(module.net), atol=2e-5, rtol=1e-4)
    assert not any("lora" in name for name, _ in merged.named_parameters())


def test_exported_equals_unexported(model_settings: Any, tmp_path: Path) -> None:
    module = shaken(model_settings())
    exported.export(module, tmp_path)
    torch.testing.assert_close(logits(checkpoints.load_model(tmp_path).net), logits(module.net))
    sizes = {path.name for path in tmp_path.iterdir()}
    assert {"adapter_model.safetensors", "adapter_config.json", "run.json"} <= sizes
    assert not any(name.startswith("model") for name in sizes)


def test_a_wholly_trained_model_is_exported_whole(model_settings: Any, tmp_path: Path) -> None:
    module = shaken(model_settings(adapter="none"))
    exported.export(module, tmp_path)
    torch.testing.assert_close(
        logits(checkpoints.load_model(tmp_path).net), logits(module.net), atol=0.05, rtol=0.1
    )


def test_parameters_are_counted(model_settings: Any) -> None:
    trained, whole = lora.count_parameters(building.build_net(**model_settings(lora_targets=["q_proj"])))
    assert trained == 2 * 4 * (32 + 32)  # two layers, r = 4, a 32 x 32 projection
    assert whole > trained


def test_a_target_that_matches_nothing_is_refused(model_settings: Any) -> None:
    with pytest.raises(ValueError, match=r"no layer is called 'query'.*this model has .*q_proj"):
        building.build_net(**model_settings(lora_targets=["q_proj", "query"]))


def test_a_base_that_is_not_there_is_refused(model_settings: Any) -> None:
    with pytest.raises(ValueError, match=r"no model at model.base=nobody/nothing"):
        building.build_net(**model_settings(base="nobody/nothing"))


def test_an_adapter_of_another_shape_is_refused(model_settings: Any, tmp_path: Path) -> None:
    exported.export(shaken(model_settings(lora_targets=["q_proj"])), tmp_path)
    other = building.build_net(**model_settings(lora_targets=["q_proj", "k_proj"]))
    with pytest.raises(ValueError, match="does not fit"):
        lora.load_adapter_weights(other, tmp_path)


def test_random_initialisation_is_seeded(model_settings: Any) -> None:
    def drawn(seed: int) -> torch.Tensor:
        torch.manual_seed(seed)
        return logits(building.build_net(**model_settings(init="random")))

    assert torch.equal(drawn(1), drawn(1))
    assert not torch.equal(drawn(1), drawn(2))


def test_qlora_keeps_the_base_in_four_bits(model_settings: Any) -> None:
    net = building.build_net(**model_settings("llama", quantization="nf4"))
    kinds = {type(p).__name__ for name, p in net.named_parameters() if "base_layer.weight" in name}
    assert kinds == {"Params4bit"}
    trained, whole = lora.count_parameters(net)
    plain = lora.count_parameters(building.build_net(**model_settings("llama")))
    assert (trained, whole) == plain
    with pytest.raises(ValueError, match="no weights to quantise"):
        building.build_net(**model_settings("llama", quantization="nf4", init="random"))
