"""Lightning's Trainer as this project needs it: early stopping, the best checkpoint, checkpoints to resume
from, one process or many.

To the Trainer the whole run is one epoch: which rows an epoch of the data has is decided by the batches.
"""

import logging
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from lightning import Callback, Trainer
from lightning.pytorch.callbacks import EarlyStopping, ModelCheckpoint
from lightning.pytorch.loggers import Logger
from lightning.pytorch.plugins.environments import SLURMEnvironment

from architectures.models.loading import base_dtype, has_fast_bfloat16, load_config
from architectures.training.answer_validation import AnswerValidation, MonitoredQuestions
from architectures.training.checkpoint_io import AtomicCheckpointIO
from architectures.training.distributed import build_strategy
from architectures.training.progress import ProgressBar
from architectures.training.recovery import CheckpointSchedule, Recovery
from architectures.training.signals import Signals
from architectures.training.sweep_pruning import SweepPruning
from architectures.values import Batch, Settings

WIDE = 256  # hidden size from which products in bfloat16 are worth their conversion


class TrainingBatches(Protocol):
    """What training needs of its batches.

    steps: optimiser steps of the whole run; epoch_steps: of one epoch. accumulate: micro-batches in a step.
    """

    steps: int
    epoch_steps: int
    accumulate: int

    def __iter__(self) -> Iterator[Batch]:
        """The micro-batches that are left."""
        ...


@dataclass(frozen=True)
class RunContext:
    """What a run records with, where, and how it is told to stop."""

    logger: Logger
    folder: Path
    signals: Signals
    seed: int


def local_processes(devices: int, accelerator: str) -> int:
    """Processes on this machine: as many as are set, else one for each GPU, else one. Raises ValueError if
    GPUs are missing.
    """
    gpus = torch.cuda.device_count() if accelerator != "cpu" else 0
    if accelerator == "gpu" and not gpus:
        raise ValueError(
            "trainer.accelerator=gpu: torch sees no GPU on this machine; set trainer=cpu, or"
            " install a CUDA build of"
            " torch"
        )
    if gpus and devices > gpus:
        raise ValueError(
            f"trainer.devices={devices}: this machine has {gpus} GPUs; trainer.devices=0 uses all"
        )
    return devices or gpus or 1


def resolve_precision(precision: str, base: str, dtype: str, adapter: str) -> str:
    """What 'auto' stands for: bf16-mixed for a base in bfloat16, and for one wide enough where the
    hardware gains by it.
    """
    if precision != "auto":
        return precision
    config = load_config(base)
    is_wide = config.get_text_config().hidden_size >= WIDE and has_fast_bfloat16()
    in_bfloat16 = base_dtype(config, dtype, adapter == "lora") == torch.bfloat16
    return "bf16-mixed" if is_wide or in_bfloat16 else "32-true"


def _validation_interval(steps: int, every: int) -> int:
    """Steps between validations, evened out so that the last validation falls on the end of the run."""
    return max(1, steps // -(-steps // every))


def _build_callbacks(
    settings: Settings,
    batches: TrainingBatches,
    context: RunContext,
    questions: MonitoredQuestions | None,
) -> list[Callback]:
    """Recovery, the best checkpoint, progress; answers, early stopping and pruning where they are set."""
    s = settings
    mode = "min" if s["monitor"] == "loss" else "max"
    watched: Settings = {"monitor": f"validation/{s['monitor']}", "mode": mode}
    interval = _validation_interval(batches.steps, s["validate_every"] or batches.epoch_steps)
    folder = context.folder / "checkpoints"
    schedule = CheckpointSchedule(
        folder,
        s["checkpoint_every"],
        s["checkpoint_minutes"],
        batches.epoch_steps,
        batches.steps,
        s["keep_checkpoints"],
    )
    callbacks: list[Callback] = [
        Recovery(schedule, interval, s["skip_steps"], context.seed, context.signals),
        ModelCheckpoint(folder, "best", enable_version_counter=False, **watched),
        ProgressBar(refresh_rate=1 if sys.stderr.isatty() else 20),
    ]
    if questions is not None:
        callbacks.append(AnswerValidation(questions))
    if s["patience"]:
        callbacks.append(EarlyStopping(patience=s["patience"], min_delta=s["min_delta"], **watched))
    if s["prune"]:
        callbacks.append(SweepPruning(context.folder, **watched))
    return callbacks


def _silence_lightning() -> None:
    """Lightning prints every line twice beside this project's own logging, and advertises; keep its
    warnings alone.
    """
    for name in ("lightning", "lightning.pytorch", "lightning.fabric"):
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.setLevel(logging.WARNING)


def build_trainer(
    settings: Settings,
    batches: TrainingBatches,
    precision: str,
    context: RunContext,
    questions: MonitoredQuestions | None = None,
) -> Trainer:
    """The Trainer of one run.

    Args:
        settings: fields of the configuration group `trainer`. precision: as `resolve_precision` gives it.
        questions: that are answered at each validation.
    """
    s, devices = settings, local_processes(settings["devices"], settings["accelerator"])
    interval = _validation_interval(batches.steps, s["validate_every"] or batches.epoch_steps)
    plugins: list[Any] = [AtomicCheckpointIO()]  # plugins of Lightning have no common class
    if SLURMEnvironment.detect():
        plugins.append(SLURMEnvironment(auto_requeue=False))  # signals have one owner: Recovery
    _silence_lightning()
    return Trainer(
        accelerator=s["accelerator"],
        devices=devices,
        num_nodes=s["nodes"],
        strategy=build_strategy(s["strategy"], devices * s["nodes"], s["shards"]),
        plugins=plugins,
        precision=precision,  # type: ignore[arg-type]
        max_epochs=1,
        max_time={"seconds": int(3600 * s["max_hours"])} if s["max_hours"] else None,
        accumulate_grad_batches=batches.accumulate,
        gradient_clip_val=s["max_grad_norm"] or None,
        val_check_interval=interval * batches.accumulate,
        check_val_every_n_epoch=None,
        num_sanity_val_steps=0,
        inference_mode=s["strategy"] != "fsdp",
        use_distributed_sampler=False,
        logger=context.logger,
        callbacks=_build_callbacks(settings, batches, context, questions),
        default_root_dir=context.folder,
        enable_model_summary=False,
    )
