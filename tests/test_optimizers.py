"""Every optimiser learns, is interrupted and goes on to the bit, and is refused where it cannot train."""

import copy
import signal
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

import train
from architectures.compatibility.torch import cpu_multiplies_bfloat16, muon_in_float32
from architectures.models import building
from architectures.models.optimizers import build_optimizer, is_hidden_matrix
from architectures.training.signals import Interrupted, Signals
from config.schema.trainer import OPTIMIZERS
from tests.config.test_schema import wrong
from tests.test_resume import config, losses, sums

KINDS = [  # optimiser, adapter, learning rate, and what the adapter begins with
    ("muon", "lora", "1e-2", "default"),
    ("muon", "none", "1e-2", "default"),
    ("adamw_8bit", "lora", "1e-3", "default"),
    ("paged_adamw_8bit", "lora", "1e-3", "default"),
    ("adafactor", "none", "1e-2", "default"),
    ("adamw", "lora", "1e-3", "pissa"),
    ("adamw", "lora", "1e-3", "eva"),
]


@pytest.mark.slow
@pytest.mark.parametrize(("name", "adapter", "learning_rate", "start"), KINDS)
def test_an_interrupted_run_goes_on_to_the_bit(
    name: str, adapter: str, learning_rate: str, start: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    signals = Signals()

    def strike(call: int, rows: int, result: Any) -> Any:
        if call == 4:
            signals.received = signal.SIGTERM
        return result()

    chosen = [f"trainer.optimizer={name}", f"model.adapter={adapter}"]
    chosen += [f"trainer.learning_rate={learning_rate}", f"model.lora_init={start}"]
    if adapter == "lora":
        chosen.append("model.lora_r=64")  # 8-bit state is for 4,096 weights or more
    whole, parts = tmp_path / "runs/whole", tmp_path / "runs/parts"
    for folder in (whole, parts):
        folder.mkdir(parents=True)
    train.run(config(tmp_path, *chosen), whole, Signals())
    with monkeypatch.context() as patch:
        sums(patch, strike)
        with pytest.raises(Interrupted, match="SIGTERM"):
            train.run(config(tmp_path, *chosen), parts, signals)
    train.run(config(tmp_path, "resume=auto", *chosen), parts, Signals())
    assert losses(parts) == losses(whole)
    validation = losses(whole, "validation")  # of the same rows each time, as a training loss is not
    assert validation[6] < validation[2]
    (weights,) = (whole / "model").glob("*model.safetensors")
    one, two = (load_file(folder / "model" / weights.name) for folder in (whole, parts))
    assert all(torch.equal(one[key], two[key]) for key in one)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_weight_decay_and_learning_rate_are_those_of_the_group(name: str) -> None:
    torch.manual_seed(0)
    held, moved = (nn.Parameter(torch.randn(64, 64)) for _ in range(2))
    before = held.detach().clone(), moved.detach().clone()
    groups = [
        {"params": [held], "weight_decay": 0.0, "lr": 0.0},
        {"params": [moved], "weight_decay": 0.0, "lr": 1e-2},
    ]
    for group in groups:
        group |= {"hidden_matrices": True} if name == "muon" else {}
    optimizer = build_optimizer(name, groups, 1e-2, 0.999)
    for _ in range(3):
        optimizer.zero_grad()
        (held.square().sum() + moved.square().sum()).backward()
        optimizer.step()
    assert torch.equal(held.detach(), before[0])
    assert moved.detach().square().sum() < before[1].square().sum()


def test_muon_takes_the_matrices_of_layers_and_adamw_the_rest(model_settings: Any) -> None:
    net: Any = building.build_net(**{**model_settings("gemma2"), "adapter": "none"})
    by_muon = {name for name, parameter in net.named_parameters() if is_hidden_matrix(name, parameter)}
    assert all(name.startswith("model.layers.") and name.endswith("_proj.weight") for name in by_muon)
    assert len(by_muon) == 7 * net.config.num_hidden_layers


def test_muon_with_adamw_steps_as_the_two_apart_and_its_state_is_restored() -> None:
    def parameters() -> list[nn.Parameter]:
        torch.manual_seed(0)
        return [nn.Parameter(torch.randn(8, 16)), nn.Parameter(torch.randn(4, 8))]

    def backward(matrix: nn.Parameter, embedding: nn.Parameter) -> None:
        matrix.grad = embedding.grad = None
        torch.manual_seed(1)
        (embedding @ matrix @ torch.randn(16)).square().sum().backward()

    def together(matrix: nn.Parameter, embedding: nn.Parameter) -> torch.optim.Optimizer:
        groups: list[dict[str, Any]] = [
            {"params": [embedding], "weight_decay": 0.1, "lr": 1e-2, "hidden_matrices": False},
            {"params": [matrix], "weight_decay": 0.1, "lr": 1e-2, "hidden_matrices": True},
        ]
        return build_optimizer("muon", groups, 1e-2, 0.98)

    one, two, three = parameters(), parameters(), parameters()
    optimizer = together(*one)
    muon = torch.optim.Muon(two[:1], lr=1e-2, adjust_lr_fn="match_rms_adamw", weight_decay=0.1)
    adamw = torch.optim.AdamW(two[1:], lr=1e-2, betas=(0.9, 0.98), weight_decay=0.1, fused=True)
    for step in range(4):
        if step == 2:  # goes on in another process
            saved = copy.deepcopy(optimizer.state_dict())
            for old, new in zip(one, three, strict=True):
                new.data.copy_(old.data)
            one, optimizer = three, together(*three)
            optimizer.load_state_dict(saved)
        backward(*one)
        backward(*two)
        optimizer.step()
        with nullcontext() if cpu_multiplies_bfloat16() else muon_in_float32():
            muon.step()
        adamw.step()
    assert all(torch.equal(mine, theirs) for mine, theirs in zip(one, two, strict=True))


@pytest.mark.parametrize("shape", [(48, 96), (96, 48)])
def test_muon_in_float32_steps_as_in_bfloat16(shape: tuple[int, int]) -> None:
    torch.manual_seed(0)
    weight, gradient = torch.randn(shape), torch.randn(shape)
    moved = []
    for arithmetic in (nullcontext(), muon_in_float32()):
        parameter = nn.Parameter(weight.clone())
        parameter.grad = gradient.clone()
        with arithmetic:
            torch.optim.Muon([parameter], lr=1.0, weight_decay=0.0).step()
        moved.append(parameter.detach() - weight)
    assert 0 < (moved[0] - moved[1]).norm() < 0.02 * moved[0].norm()


def test_adafactor_is_for_every_parameter() -> None:
    assert "it is for model.adapter=none" in wrong("trainer.optimizer=adafactor")


def test_shards_take_adamw() -> None:
    told = wrong("trainer=fsdp", "trainer.optimizer=adafactor", "model.adapter=none")
    assert "trainer.optimizer=adafactor: is for trainer.strategy=ddp" in told
