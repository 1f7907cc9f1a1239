"""Several processes on the CPU (gloo): the same losses, gradients and adapters as one; runs that go on
with other processes.
"""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from architectures.training import checkpoint_io
from tests.conftest import ROOT


def port() -> int:
    """A port that is free."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def share(world: int, orders: list[dict[str, Any]], folder: Path) -> None:
    """Have ``world`` processes follow the orders."""
    (folder / f"{world}.json").write_text(json.dumps(orders))
    together = {
        "WORLD_SIZE": str(world),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port()),
        "OMP_NUM_THREADS": "1",
    }
    command = [
        sys.executable,
        "-W",
        "ignore",
        "-m",
        "tests.architectures.training.share",
        str(folder / f"{world}.json"),
    ]
    logs = [folder / f"{world}-{rank}.log" for rank in range(world)]
    with_rank = [
        os.environ | together | {"RANK": str(rank), "LOCAL_RANK": str(rank), "NODE_RANK": "0"}
        for rank in range(world)
    ]
    ran = [
        subprocess.Popen(command, cwd=ROOT, env=env, stdout=log.open("w"), stderr=subprocess.STDOUT)
        for env, log in zip(with_rank, logs, strict=True)
    ]
    codes = [process.wait(300) for process in ran]
    assert codes == [0] * world, logs[next(i for i, code in enumerate(codes) if code)].read_text()[-3000:]


class Plan:
    """Orders, and what came of them."""

    def __init__(self, folder: Path, settings: dict[str, Any]) -> None:
        self.folder, self.settings = folder, settings

    def order(self, name: str, checkpoints: str = "", **changes: Any) -> dict[str, Any]:
        made = {"target": str(self.folder / f"{name}.pt"), "folder": str(self.folder / (checkpoints or name))}
        return (
            made
            | {"settings": self.settings, "strategy": "ddp", "shards": 0, "micro": 8, "until": 0}
            | changes
        )

    def result(self, name: str) -> dict[str, Any]:
        return dict(torch.load(self.folder / f"{name}.pt"))

    def trained(self, name: str) -> dict[str, torch.Tensor]:
        path = checkpoint_io.newest_intact(self.folder / name)
        assert path is not None
        return dict(checkpoint_io.read_checkpoint(path)["state_dict"])

    def check(self, name: str, wanted: str, checkpoints: str = "", steps: int = 0) -> None:
        """The same losses (from ``steps`` on) to 1e-5, and the same adapter."""
        found, expected = self.result(name), self.result(wanted)
        assert found["train"] == pytest.approx(expected["train"][steps:], rel=1e-5), name
        assert found["validation"] == pytest.approx(expected["validation"][steps // 4 :], rel=1e-5), name
        assert found["test"] == pytest.approx(expected["test"], rel=1e-5), name
        for key, tensor in self.trained(wanted).items():
            torch.testing.assert_close(
                self.trained(checkpoints or name)[key], tensor, rtol=2e-3, atol=5e-5, msg=key
            )


@pytest.fixture
def plan(tmp_path: Path, model_settings: Any) -> Plan:
    return Plan(tmp_path, model_settings("gemma2"))


@pytest.mark.slow
def test_two_processes_train_as_one(plan: Plan, tiny_model: Any) -> None:
    """27 rows in steps of 8: the last step of an epoch has 3, and a process with none; clipped; with
    micro-batches; resumed.
    """
    classifier = {
        **plan.settings,
        "base": tiny_model("bert"),
        "lora_targets": ["query", "value"],
        "base_dropout": 0.0,
        "class_weights": [],
    }
    classifier["head"] = {
        "labels": ["a", "b", "c"],
        "multi_label": False,
        "dropout": 0.0,
        "pad_id": 0,
        "pooling": "native",
    }
    share(
        1,
        [plan.order("one"), plan.order("one, cut", until=5), plan.order("labels", settings=classifier)],
        plan.folder,
    )
    share(
        2,
        [
            plan.order("labels, ddp", settings=classifier),
            plan.order("ddp"),
            plan.order("fsdp", strategy="fsdp"),
            plan.order("ddp, micro-batches", micro=2),
            plan.order("fsdp, micro-batches", strategy="fsdp", micro=1),
            plan.order("fsdp, from one", "one, cut", strategy="fsdp"),
            plan.order("ddp, cut", until=3),
            plan.order("fsdp, cut", strategy="fsdp", until=3),
        ],
        plan.folder,
    )
    share(
        1, [plan.order("one, from ddp", "ddp, cut"), plan.order("one, from fsdp", "fsdp, cut")], plan.folder
    )
    for name in ("ddp", "fsdp", "ddp, micro-batches", "fsdp, micro-batches"):
        plan.check(name, "one")
    plan.check("labels, ddp", "labels")
    plan.check("fsdp, from one", "one", "one, cut", 5)
    plan.check("one, from ddp", "one", "ddp, cut", 3)
    plan.check("one, from fsdp", "one", "fsdp, cut", 3)
    assert plan.result("fsdp")["held"] < 0.6 * plan.result("ddp")["held"]


@pytest.mark.slow
def test_four_processes_train_as_one(plan: Plan) -> None:
    """Also as two groups of two that each hold the net together; also all of the net trained, and
    checkpointed activations.
    """
    share(1, [plan.order("one"), plan.order("one, cut", until=2)], plan.folder)
    full = {**plan.settings, "adapter": "none", "gradient_checkpointing": True}
    share(1, [plan.order("full", settings=full)], plan.folder)
    orders = [
        plan.order("ddp"),
        plan.order("fsdp", strategy="fsdp"),
        plan.order("hybrid", strategy="fsdp", shards=2),
        plan.order("hybrid, from one", "one, cut", strategy="fsdp", shards=2),
        plan.order("full, fsdp", strategy="fsdp", settings=full),
    ]
    share(4, orders, plan.folder)
    for name in ("ddp", "fsdp", "hybrid"):
        plan.check(name, "one")
    plan.check("hybrid, from one", "one", "one, cut", 2)
    plan.check("full, fsdp", "full")
    assert plan.result("fsdp")["held"] < plan.result("hybrid")["held"] < plan.result("ddp")["held"]
