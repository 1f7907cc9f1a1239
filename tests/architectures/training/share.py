"""What one of several processes does for test_distributed.py: train a tiny model, as told, and leave what
came of it.

    RANK=0 WORLD_SIZE=2 ... python -m tests.architectures.training.share orders.json

Each order: target (file for the result), base, adapter, strategy, shards, micro, folder (of checkpoints),
until (steps after which it is cut; 0: never).
"""

import json
import os
import sys
from pathlib import Path
from typing import Any

import torch
from lightning import Callback, Trainer, seed_everything

from architectures.models.causal_lm import CausalLM
from architectures.models.sequence_classifier import SequenceClassifier
from architectures.training import checkpoint_io
from architectures.training.checkpoint_io import AtomicCheckpointIO
from architectures.training.distributed import build_strategy
from architectures.training.recovery import CheckpointSchedule, Recovery
from architectures.training.signals import Interrupted, Signals
from data.tokens.batches import EvaluationBatches, TrainingBatches
from data.tokens.batching import Batching
from tests.architectures.models.test_causal_lm import OPTIMIZATION, rows
from tests.architectures.models.test_sequence_classifier import rows as labelled


class Losses(Callback):
    """Keeps each step's loss over all processes, and the validation losses."""

    def __init__(self, until: int, signals: Signals) -> None:
        self.train: list[float] = []
        self.validation: list[float] = []
        self.until, self.signals = until, signals

    def on_before_optimizer_step(self, trainer: Any, module: Any, optimizer: Any) -> None:
        mine = module.window[-trainer.accumulate_grad_batches :]
        together = torch.stack(
            [torch.stack([c.loss for c in mine]).sum(), torch.stack([c.size for c in mine]).sum()]
        )
        loss, size = trainer.strategy.reduce(together, reduce_op="sum").tolist()
        self.train.append(loss / size)

    def on_train_batch_start(self, trainer: Any, *arguments: Any) -> None:
        if (
            self.until
            and trainer.global_step == self.until - 1
            and trainer.global_rank == trainer.world_size - 1
        ):
            self.signals.received = 15  # one process alone hears of it

    def on_validation_end(self, trainer: Any, module: Any) -> None:
        self.validation.append(float(trainer.callback_metrics["validation/loss"]))


def follow(order: dict[str, Any], world: int) -> None:
    """Train as ordered, as one of ``world`` processes."""
    seed_everything(3, verbose=False)
    labels = "head" in order["settings"]
    optimization = OPTIMIZATION | {"log_every": 2}
    module = (SequenceClassifier if labels else CausalLM)(order["settings"], optimization, {"name": "test"})
    data = labelled if labels else rows
    if order["strategy"] != "fsdp":
        module.configure_model()
    accumulate = -(-8 // (order["micro"] * world))
    batches, signals = TrainingBatches(data(27), Batching(8, accumulate, 2), seed=0), Signals()
    losses = Losses(order["until"], signals)
    saving = CheckpointSchedule(Path(order["folder"]), 1, 0, batches.epoch_steps, batches.steps, 99)
    trainer = Trainer(
        accelerator="cpu",
        devices=world,
        strategy=build_strategy(order["strategy"], world, order["shards"]),
        plugins=[AtomicCheckpointIO()],
        max_epochs=1,
        accumulate_grad_batches=accumulate,
        gradient_clip_val=0.5,
        val_check_interval=4 * accumulate,
        check_val_every_n_epoch=None,
        num_sanity_val_steps=0,
        use_distributed_sampler=False,
        inference_mode=False,
        callbacks=[losses, Recovery(saving, 4, 1, 7, signals)],
        enable_checkpointing=False,
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    path = checkpoint_io.newest_intact(Path(order["folder"]))
    try:
        trainer.fit(module, batches, EvaluationBatches(data(13), 4), ckpt_path=path, weights_only=True)
    except Interrupted:
        assert order["until"] == trainer.global_step
    tested = trainer.test(module, EvaluationBatches(data(5), 4), verbose=False)[0]
    if trainer.is_global_zero:
        held = [
            p.to_local().numel() if hasattr(p, "to_local") else p.numel() for p in module.net.parameters()
        ]
        tested = {name: value for name, value in tested.items() if value == value}
        torch.save(
            {"train": losses.train, "validation": losses.validation, "test": tested, "held": sum(held)},
            order["target"],
        )


if __name__ == "__main__":
    processes = int(os.environ["WORLD_SIZE"])  # Lightning takes it away after the first
    for one in json.loads(Path(sys.argv[1]).read_text()):
        follow(one, processes)
