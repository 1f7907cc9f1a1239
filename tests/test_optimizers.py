"""Every optimiser learns, is interrupted and goes on to the bit, and is refused where it cannot train."""

import signal
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

import train
from architectures.models.optimizers import build_optimizer
from architectures.training.signals import Interrupted, Signals
from config.schema.trainer import OPTIMIZERS
from tests.config.test_schema import wrong
from tests.test_resume import config, losses, sums

SLOW = [
    pytest.param(name, marks=pytest.mark.slow) for name in ("adamw_8bit", "paged_adamw_8bit", "adafactor")
]


@pytest.mark.parametrize("name", ["muon", *SLOW])
def test_an_interrupted_run_goes_on_to_the_bit(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    signals = Signals()

    def strike(call: int, rows: int, result: Any) -> Any:
        if call == 4:
            signals.received = signal.SIGTERM
        return result()

    chosen = [f"trainer.optimizer={name}", "model.lora_r=64"]  # 8-bit state is for 4,096 weights or more
    if name == "adafactor":
        chosen = [f"trainer.optimizer={name}", "model.adapter=none"]
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
    assert losses(whole)[6] < losses(whole)[1]
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
    optimizer = build_optimizer(name, groups, 1e-2, 0.999)
    for _ in range(3):
        optimizer.zero_grad()
        (held.square().sum() + moved.square().sum()).backward()
        optimizer.step()
    assert torch.equal(held.detach(), before[0])
    assert moved.detach().square().sum() < before[1].square().sum()


@pytest.mark.parametrize(
    "arguments",
    [
        ["model.adapter=none"],
        ["model.lora_variant=dora"],
        ["+experiment=tags", "model=minilm", "data.path=x"],
    ],
)
def test_muon_is_for_matrices(arguments: list[str]) -> None:
    assert "trainer.optimizer=muon: trains matrices alone" in wrong("trainer.optimizer=muon", *arguments)


def test_adafactor_is_for_every_parameter() -> None:
    assert "it is for model.adapter=none" in wrong("trainer.optimizer=adafactor")


def test_shards_take_adamw() -> None:
    told = wrong("trainer=fsdp", "trainer.optimizer=adafactor", "model.adapter=none")
    assert "trainer.optimizer=adafactor: is for trainer.strategy=ddp" in told
