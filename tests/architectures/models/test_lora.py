"""Adapters: what changes and what does not, export and reload, merging, NF4, targets that match nothing."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from architectures.inference import selection
from architectures.models import building, exported, loading, lora
from architectures.models.causal_lm import CausalLM
from architectures.training import checkpoints
from tests.conftest import ROOT

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


@pytest.mark.parametrize("variant", ["lora", "rslora", "dora"])
@pytest.mark.parametrize("kind", ["gemma2", "llama"])
def test_merged_equals_unmerged(model_settings: Any, tmp_path: Path, kind: str, variant: str) -> None:
    module = shaken(model_settings(kind, lora_variant=variant))
    exported.export(module, tmp_path)
    merged = lora.merge_adapter(model_settings(kind)["base"], tmp_path, torch.float32)
    torch.testing.assert_close(logits(merged), logits(module.net), atol=2e-5, rtol=1e-4)
    assert not any("lora" in name for name, _ in merged.named_parameters())


@pytest.mark.parametrize("variant", ["lora", "rslora", "dora"])
def test_exported_equals_unexported(model_settings: Any, tmp_path: Path, variant: str) -> None:
    module = shaken(model_settings(lora_variant=variant))
    exported.export(module, tmp_path)
    torch.testing.assert_close(logits(checkpoints.load_model(tmp_path).net), logits(module.net))
    sizes = {path.name for path in tmp_path.iterdir()}
    assert {"adapter_model.safetensors", "adapter_config.json", "run.json"} <= sizes
    assert not any(name.startswith("model") for name in sizes)


@pytest.mark.parametrize("variant", ["rslora", "dora"])
def test_a_variant_computes_what_peft_does(model_settings: Any, variant: str) -> None:
    from peft import LoraConfig, get_peft_model

    net = shaken(model_settings(lora_variant=variant)).net
    flags = {"use_rslora": variant == "rslora", "use_dora": variant == "dora"}
    base = loading.load_base(loading.BaseSettings(model_settings()["base"], dtype="float32"))
    targets = sorted(net.peft_config["default"].target_modules)
    config = LoraConfig(r=4, lora_alpha=8, target_modules=targets, task_type="CAUSAL_LM", **flags)
    assert (net.peft_config["default"].r, net.peft_config["default"].lora_alpha) == (4, 8)
    theirs = get_peft_model(base, config)
    trained = {name: value for name, value in net.state_dict().items() if "lora_" in name}
    assert not theirs.load_state_dict(trained, strict=False).unexpected_keys
    torch.testing.assert_close(logits(net), logits(theirs), atol=2e-5, rtol=1e-4)
    assert not torch.allclose(logits(net), logits(shaken(model_settings()).net), atol=1e-3)


def test_an_adapter_of_some_blocks(model_settings: Any, tmp_path: Path) -> None:
    module = shaken(model_settings(lora_layers=["1"]))
    adapted = {name for name, parameter in module.net.named_parameters() if parameter.requires_grad}
    assert adapted
    assert all(".layers.1." in name for name in adapted)
    exported.export(module, tmp_path)
    torch.testing.assert_close(logits(checkpoints.load_model(tmp_path).net), logits(module.net))
    whole = shaken(model_settings(lora_layers=["0-1"])).net
    assert {name for name, _ in whole.named_parameters() if ".layers.0." in name and "lora_" in name}


@pytest.mark.parametrize("span", ["0-9", "2-1", "a", "-1", "9"])
def test_blocks_that_are_not_there_are_refused(model_settings: Any, span: str) -> None:
    with pytest.raises(ValueError, match=r"model\.lora_layers: '.*' names no blocks; this model has 0 to 1"):
        shaken(model_settings(lora_layers=[span]))


def test_lora_plus_trains_b_matrices_at_a_higher_rate(model_settings: Any) -> None:
    module = shaken(model_settings(lora_variant="dora"))
    module.optimization |= {"learning_rate": 1e-3, "lora_plus": 16.0, "weight_decay": 0.01}
    rates = {}
    for group in module.parameter_groups():
        for parameter in group["params"]:
            rates[parameter] = (group["lr"], group["weight_decay"])
    trained = {name: value for name, value in module.named_parameters() if value.requires_grad}
    assert len(rates) == len(trained)
    for name, parameter in trained.items():
        rate = 0.016 if ".lora_B." in name else 0.001
        decay = 0.0 if "magnitude" in name else 0.01
        assert rates[parameter] == (pytest.approx(rate), decay), name


def test_vllm_is_not_asked_to_serve_dora(model_settings: Any, tmp_path: Path) -> None:
    settings = model_settings(lora_variant="dora")
    assert selection.vllm_available("", settings) == (False, "vLLM serves no DoRA adapter")
    with pytest.raises(ValueError, match="export=merged"):
        selection.vllm_model(shaken(settings), tmp_path)


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


@pytest.mark.slow
def test_an_adapter_on_a_float_base_imports_no_bitsandbytes() -> None:
    """Its import takes over a second; a 4-bit base in the same process finds it all the same."""
    program = """
import sys
from architectures.models import lora
from architectures.models.loading import BaseSettings, load_base
adapter = lora.LoraSettings(4, 8, 0.0, ["auto"])
net = lora.attach_lora(load_base(BaseSettings("architectures/pocket")), adapter, [])
assert "bitsandbytes" not in sys.modules
net = lora.attach_lora(load_base(BaseSettings("architectures/pocket", quantization="nf4")), adapter, [])
print(type(net.get_submodule("base_model.model.model.layers.0.mlp.up_proj")).__name__)
"""
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "Linear4bit", done.stderr[-2000:]
