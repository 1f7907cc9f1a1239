"""A small training run that tests cut, damage and resume."""

from pathlib import Path
from typing import Any

from lightning import Trainer
from lightning.pytorch.callbacks import EarlyStopping, ModelCheckpoint

from architectures.tracking.mlflow_logger import RunLogger
from architectures.training import checkpoint_io
from architectures.training.checkpoint_io import AtomicCheckpointIO
from architectures.training.recovery import CheckpointSchedule, Recovery
from architectures.training.signals import Signals
from data.tokens.batches import EvaluationBatches, TrainingBatches
from data.tokens.batching import Batching
from tests.architectures.models.test_causal_lm import module_of, rows

STEPS, INTERVAL = 9, 2  # three epochs of three steps, validated after every second step


class Harness:
    """One run in a folder: three epochs of three steps with dropout, a plateau schedule, early stopping, a
    validation every 2 steps.
    """

    def __init__(self, settings: dict[str, Any], folder: Path) -> None:
        self.settings, self.folder, self.signals = settings, folder, Signals()
        self.module: Any = None

    def fit(
        self, callback: Any = None, micro: int = 8, every: int = 1, tolerance: int = 1, keep: int = 99
    ) -> Trainer:
        """Run, or go on from the newest sound checkpoint."""
        self.module = module_of(self.settings)
        self.module.optimization |= {
            "schedule": "plateau",
            "plateau_factor": 0.5,
            "plateau_patience": 0,
            "monitor": "loss",
        }
        self.module.optimization |= {"log_every": 2}
        k = -(-8 // micro)
        batches = TrainingBatches(rows(), Batching(8, k, 3), seed=0)
        saving = CheckpointSchedule(
            self.folder / "checkpoints", every, 0, batches.epoch_steps, batches.steps, keep
        )
        watched: dict[str, Any] = {"monitor": "validation/loss"}
        callbacks = [
            Recovery(saving, INTERVAL, tolerance, 7, self.signals),
            ModelCheckpoint(self.folder, "best", enable_version_counter=False, **watched),
        ]
        self.folder.mkdir(exist_ok=True)
        logger = RunLogger(
            self.folder, f"sqlite:///{self.folder / 'mlflow.db'}", "t", "t", "", {}, system_metrics=False
        )
        trainer = Trainer(
            accelerator="cpu",
            plugins=[AtomicCheckpointIO()],
            max_epochs=1,
            accumulate_grad_batches=k,
            gradient_clip_val=1.0,
            val_check_interval=INTERVAL * k,
            check_val_every_n_epoch=None,
            num_sanity_val_steps=0,
            use_distributed_sampler=False,
            callbacks=[*callbacks, EarlyStopping(patience=9, **watched), *([callback] if callback else [])],
            logger=logger,
            enable_progress_bar=False,
            enable_model_summary=False,
            default_root_dir=self.folder,
        )
        path = checkpoint_io.newest_intact(self.folder / "checkpoints")
        logger.begin(checkpoint_io.read_checkpoint(path)["recorded"] if path else 0)
        held = EvaluationBatches(rows(20), 8)
        try:
            trainer.fit(self.module, batches, held, ckpt_path=path, weights_only=True)
        finally:
            logger.close("FINISHED")
        return trainer

    def record(self) -> list[dict[str, Any]]:
        """The log without what depends on the clock."""
        import json

        lines = [json.loads(line) for line in (self.folder / "metrics.jsonl").read_text().splitlines()]
        return [
            {key: value for key, value in line.items() if key not in ("time", "train/tokens_per_second")}
            for line in lines
        ]
