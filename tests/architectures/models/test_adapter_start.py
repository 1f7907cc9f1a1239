"""What an adapter begins with: PiSSA, OLoRA and EVA against PEFT's own, and what stays as it was."""

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from architectures.models import building, exported, loading, lora
from architectures.models.adapter_start import has_start, settings_of_saved
from architectures.models.causal_lm import CausalLM
from architectures.training import checkpoints
from architectures.training.first_pass import first_pass
from tests.architectures.models.test_lora import IDS, logits
from tests.config.test_schema import wrong


def fresh(settings: dict[str, Any]) -> CausalLM:
    """A model as training begins."""
    module = CausalLM(settings, {"learning_rate": 1e-3}, {"name": "test"})
    module.configure_model()
    return module


def moved(module: CausalLM, steps: int = 3) -> CausalLM:
    """The model after some steps on one batch."""
    trained = [parameter for parameter in module.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=1e-2)
    for _ in range(steps):
        optimizer.zero_grad()
        module.net(input_ids=IDS, labels=IDS, use_cache=False).loss.backward()
        optimizer.step()
    return module


def base_logits(settings: dict[str, Any]) -> torch.Tensor:
    return logits(loading.load_base(loading.BaseSettings(settings["base"], dtype="float32")))


@pytest.mark.parametrize("method", ["pissa", "olora"])
@pytest.mark.parametrize("variant", ["lora", "rslora"])
def test_outputs_and_gradients_are_those_of_peft(model_settings: Any, method: str, variant: str) -> None:
    from peft import LoraConfig, get_peft_model

    settings = model_settings(lora_init=method, lora_variant=variant)
    ours = building.build_net(**settings)
    base = loading.load_base(loading.BaseSettings(settings["base"], dtype="float32"))
    start = {"pissa": "pissa_niter_16"}.get(method, method)
    theirs = get_peft_model(
        base,
        LoraConfig(
            r=4,
            lora_alpha=8,
            use_rslora=variant == "rslora",
            init_lora_weights=start,
            target_modules=settings["lora_targets"],
            task_type="CAUSAL_LM",
        ),
    )
    own = {name: value for name, value in ours.state_dict().items() if ".default." in name}
    with torch.no_grad():  # their SVD is of another draw
        residual = dict(theirs.named_parameters())
        for name, value in own.items():
            residual[name].copy_(value)
        for name, module in ours.named_modules():
            if hasattr(module, "lora_A"):
                a, b = module.lora_A["start"].weight, module.lora_B["start"].weight
                weight = module.get_base_layer().weight + module.scaling["start"] * (b @ a)
                theirs.get_submodule(name).get_base_layer().weight.copy_(weight)
    torch.manual_seed(0)
    with torch.no_grad():
        for name, value in ours.named_parameters():
            if value.requires_grad:
                value.add_(0.05 * torch.randn_like(value))
                residual[name].copy_(value)
    losses = []
    for net in (ours, theirs):
        loss = net(input_ids=IDS, labels=IDS, use_cache=False).loss
        loss.backward()
        losses.append(loss.detach())
    torch.testing.assert_close(losses[0], losses[1], atol=1e-5, rtol=1e-5)
    for name, value in ours.named_parameters():
        if value.requires_grad:
            torch.testing.assert_close(value.grad, residual[name].grad, atol=1e-5, rtol=1e-3)


@pytest.mark.parametrize("method", ["pissa", "olora"])
def test_the_base_stays_and_the_start_is_frozen(model_settings: Any, method: str) -> None:
    settings = model_settings(lora_init=method)
    module = fresh(settings)
    torch.testing.assert_close(logits(module.net), base_logits(settings), atol=1e-5, rtol=1e-4)
    begun = {name: value.clone() for name, value in module.net.state_dict().items() if ".start." in name}
    some = next(name for name in begun if ".lora_B." in name)
    assert begun[some].abs().max() > 1e-3
    with lora.adapter_disabled(module.net):
        torch.testing.assert_close(logits(module.net), base_logits(settings))
    moved(module)
    assert all(torch.equal(value, module.net.state_dict()[name]) for name, value in begun.items())
    assert not torch.allclose(logits(module.net), base_logits(settings), atol=1e-3)
    with lora.adapter_disabled(module.net):
        torch.testing.assert_close(logits(module.net), base_logits(settings))
    trained, _ = lora.count_parameters(module.net)
    assert trained == lora.count_parameters(building.build_net(**model_settings()))[0]


def test_pissa_begins_with_the_largest_singular_values(model_settings: Any) -> None:
    net = fresh(model_settings(lora_init="pissa")).net
    layer = net.base_model.model.model.layers[0].mlp.up_proj
    weight = layer.get_base_layer().weight
    begun = layer.scaling["default"] * layer.lora_B["default"].weight @ layer.lora_A["default"].weight
    left = torch.linalg.svdvals(weight - begun)
    expected = torch.linalg.svdvals(weight)[4:]
    torch.testing.assert_close(left[: len(expected) - 4], expected[: len(expected) - 4], atol=1e-3, rtol=1e-2)


@pytest.mark.parametrize("variant", ["lora", "rslora"])
@pytest.mark.parametrize("method", ["pissa", "olora"])
def test_exported_it_is_one_adapter_of_twice_the_rank(
    model_settings: Any, tmp_path: Path, method: str, variant: str
) -> None:
    settings = model_settings(lora_init=method, lora_variant=variant)
    module = moved(fresh(settings))
    exported.export(module, tmp_path)
    loaded = checkpoints.load_model(tmp_path)
    assert not has_start(loaded.net)
    assert loaded.net.peft_config["default"].r == 8
    assert (loaded.model_settings["lora_r"], loaded.model_settings["lora_init"]) == (8, "default")
    torch.testing.assert_close(logits(loaded.net), logits(module.net), atol=1e-5, rtol=1e-4)
    merged = lora.merge_adapter(settings["base"], tmp_path, torch.float32)
    torch.testing.assert_close(logits(merged), logits(module.net), atol=2e-5, rtol=1e-4)
    assert {value.shape[0] for name, value in load_file(tmp_path / "adapter_model.safetensors").items()
            if ".lora_A." in name} == {8}  # fmt: skip


def test_a_checkpoint_holds_what_the_adapter_began_with(model_settings: Any) -> None:
    module = fresh(model_settings(lora_init="pissa"))
    state = {f"net.{name}": value for name, value in module.net.state_dict().items()}
    checkpoint: dict[str, Any] = {"state_dict": state}
    module.on_save_checkpoint(checkpoint)
    kept = checkpoint["state_dict"]
    assert any(".start." in name for name in kept)
    assert not any("base_layer" in name for name in kept)
    module.check_fit(checkpoint)
    with pytest.raises(ValueError, match="of another model"):
        fresh(model_settings()).check_fit(checkpoint)


def test_eva_begins_with_the_directions_of_the_inputs(model_settings: Any, tmp_path: Path) -> None:
    settings = model_settings(lora_init="eva")
    module = fresh(settings)
    torch.manual_seed(0)
    batches = []
    for _ in range(8):
        ids = torch.randint(10, 40, (96,))
        batches.append({"input_ids": ids, "lengths": [48, 48]})
    first_pass(module, torch.device("cpu"), lambda _: batches, 2, False)
    torch.testing.assert_close(logits(module.net), base_logits(settings))  # B is still zero
    seen: list[torch.Tensor] = []
    layer = module.net.base_model.model.model.layers[0].self_attn.q_proj
    hook = layer.register_forward_hook(lambda _, inputs, __: seen.append(inputs[0].flatten(0, -2)))
    with torch.no_grad():
        for batch in batches:
            module(batch["input_ids"], batch["lengths"])
    hook.remove()
    inputs = torch.cat(seen).float()
    main = torch.linalg.svd(inputs - inputs.mean(0), full_matrices=False)[2][:4]
    rows = torch.nn.functional.normalize(layer.lora_A["default"].weight.detach(), dim=1)
    assert (rows @ main.T).square().sum() / 4 > 0.5  # of a random space it would be 4 / 32
    assert {part.lora_A["default"].weight.shape[0] for part in module.net.modules()
            if hasattr(part, "lora_A")} == {4}  # fmt: skip
    exported.export(moved(module), tmp_path)
    torch.testing.assert_close(logits(checkpoints.load_model(tmp_path).net), logits(module.net))


def test_too_few_tokens_for_the_rank_are_one_error(model_settings: Any) -> None:
    batches = [{"input_ids": torch.arange(10, 74), "lengths": [64]}]
    module = fresh(model_settings(lora_init="eva", lora_r=48))  # the layers have 32 inputs
    with pytest.raises(ValueError, match=r"model\.lora_init=eva: .* 48 directions: lower model\.lora_r"):
        first_pass(module, torch.device("cpu"), lambda _: batches, 2, False)


def test_an_error_without_the_adapter_leaves_the_start_frozen(model_settings: Any) -> None:
    module = fresh(model_settings(lora_init="pissa"))
    with pytest.raises(KeyError), lora.adapter_disabled(module.net):
        raise KeyError
    started = [value for name, value in module.net.named_parameters() if ".start." in name]
    assert started
    assert not any(value.requires_grad for value in started)


def test_settings_of_what_is_saved() -> None:
    begun = {"lora_r": 4, "lora_alpha": 8, "lora_variant": "rslora", "lora_init": "olora"}
    saved = {"lora_r": 8, "lora_alpha": 8, "lora_variant": "lora", "lora_init": "default"}
    assert settings_of_saved(begun) == saved
    assert settings_of_saved(begun | {"lora_init": "eva"}) == begun | {"lora_init": "default"}


@pytest.mark.parametrize(
    ("chosen", "told"),
    [
        (["model.lora_init=pissa", "model.adapter=none"], "is for model.adapter=lora"),
        (["model.lora_init=pissa", "model.quantization=nf4"], "set model.quantization=none"),
        (["model.lora_init=olora", "model.lora_variant=dora"], "is for model.lora_variant=lora and rslora"),
        (["model.lora_init=eva", "trainer=fsdp"], "is for trainer.strategy=ddp"),
        (["model.lora_init=eva", "model.parent=x"], "begins with its parent's"),
        (["model.lora_init=pisa"], "pissa"),
    ],
)
def test_what_does_not_go_together_is_refused(chosen: list[str], told: str) -> None:
    assert told in wrong(*chosen)
