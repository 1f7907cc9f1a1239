"""Lightning's Trainer as this project wants it: early stopping, the best checkpoint, those to resume from, one process or many.

To it the whole run is one epoch: which rows an epoch of the data has is the batches' matter.
"""

import sys
from pathlib import Path
from typing import Any

import torch
from lightning import Trainer
from lightning.pytorch.callbacks import EarlyStopping, ModelCheckpoint, TQDMProgressBar
from lightning.pytorch.loggers import Logger
from lightning.pytorch.plugins.environments import SLURMEnvironment

from architectures.adapters import base_dtype, config_of, quick_bfloat16
from architectures.checkpoint_io import AtomicCheckpointIO
from architectures.distributed import strategy_of
from architectures.pruning import Pruning
from architectures.recovery import Recovery, Saving
from architectures.signals import Signals


def processes(devices: int, accelerator: str) -> int:
    """Processes on this machine: as many as are wanted, else one a GPU, else one. Raises ValueError if it lacks the GPUs."""
    there = torch.cuda.device_count() if accelerator != "cpu" else 0
    if accelerator == "gpu" and not there:
        raise ValueError("trainer.accelerator=gpu: torch sees no GPU on this machine; choose trainer=cpu, or install a CUDA build of torch")
    if there and devices > there:
        raise ValueError(f"trainer.devices={devices}: this machine has {there} GPUs; trainer.devices=0 takes them all")
    return devices or there or 1


def precision_of(precision: str, base: str, dtype: str, adapter: str) -> str:
    """What 'auto' stands for: bf16-mixed for every base that is in bfloat16, and for one wide enough where the hardware gains by it."""
    if precision != "auto":
        return precision
    config = config_of(base, None, None)
    wide = config.get_text_config().hidden_size >= 256 and quick_bfloat16()
    return "bf16-mixed" if wide or base_dtype(config, dtype, adapter == "lora") == torch.bfloat16 else "32-true"


def validation_interval(steps: int, wanted: int) -> int:
    """Steps between validations, evened out so that the last validation falls on the end of the run."""
    return max(1, steps // -(-steps // wanted))


def build_trainer(
    settings: dict[str, Any], batches: Any, precision: str, seed: int, logger: Logger, folder: Path, signals: Signals
) -> Trainer:
    """The Trainer of one run.

    Args:
        settings: fields of the trainer configuration. batches: those of training, which know their steps. precision: as
            `precision_of` gives it. folder: of the run.
    """
    t, devices = settings, processes(settings["devices"], settings["accelerator"])
    watched: dict[str, Any] = {"monitor": f"validation/{t['monitor']}", "mode": "min" if t["monitor"] == "loss" else "max"}
    interval = validation_interval(batches.steps, t["validate_every"] or batches.epoch_steps)
    checkpoints = folder / "checkpoints"
    saving = Saving(checkpoints, t["checkpoint_every"], t["checkpoint_minutes"], batches.epoch_steps, batches.steps, t["keep_checkpoints"])
    callbacks: list[Any] = [
        Recovery(saving, interval, t["skip_steps"], seed, signals),
        ModelCheckpoint(checkpoints, "best", enable_version_counter=False, **watched),
        TQDMProgressBar(refresh_rate=1 if sys.stderr.isatty() else 20),
    ]
    if t["patience"]:
        callbacks.append(EarlyStopping(patience=t["patience"], min_delta=t["min_delta"], **watched))
    if t["prune"]:
        callbacks.append(Pruning(folder, **watched))
    plugins: list[Any] = [AtomicCheckpointIO()]
    if SLURMEnvironment.detect():
        plugins.append(SLURMEnvironment(auto_requeue=False))  # signals and checkpoints have one owner: Recovery
    return Trainer(
        accelerator=t["accelerator"],
        devices=devices,
        num_nodes=t["nodes"],
        strategy=strategy_of(t["strategy"], devices * t["nodes"], t["shards"]),
        plugins=plugins,
        precision=precision,  # type: ignore[arg-type]
        max_epochs=1,
        max_time={"seconds": int(3600 * t["max_hours"])} if t["max_hours"] else None,
        accumulate_grad_batches=batches.accumulate,
        gradient_clip_val=t["max_grad_norm"] or None,
        val_check_interval=interval * batches.accumulate,
        check_val_every_n_epoch=None,
        num_sanity_val_steps=0,
        inference_mode=t["strategy"] != "fsdp",
        use_distributed_sampler=False,
        logger=logger,
        callbacks=callbacks,
        default_root_dir=folder,
        enable_model_summary=False,
    )
