"""Exact resume: checkpoints, signals, steps with non-finite gradients, and the way back.

All that a run's future depends on is in a checkpoint: what is trained, the optimiser, the schedule, the
callbacks, the random numbers of every process, the length of the local record, and the number of optimiser
steps. Of the Trainer's own
counters only the steps matter: they are set anew when a run is resumed, so that it may have other
micro-batches or processes than before.
"""

import logging
import random
import signal
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from lightning import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint

from architectures.compatibility import lightning as internals
from architectures.models.fine_tuned import FineTuned
from architectures.training.checkpoint_io import PREFIX
from architectures.training.distributed import SideChannel
from architectures.training.random_state import random_state, set_random_state
from architectures.training.signals import Interrupted, Signals
from architectures.values import Batch, Settings

log = logging.getLogger(__name__)


class NonFiniteGradients(Exception):
    """Too many steps in a row had non-finite gradients. ``rows``: training rows of those steps."""

    def __init__(self, rows: list[int]) -> None:
        super().__init__(f"{len(rows)} rows")
        self.rows = rows


@dataclass(frozen=True)
class CheckpointSchedule:
    """When a checkpoint to resume from is written, into which ``folder``, and how many are kept.

    every: optimiser steps; 0: not by steps. minutes: since the one before; 0: not by time. epoch_steps: steps
    of an epoch, at whose end one is written in any case. steps: of the whole run. keep: newest ones that
    stay.
    """

    folder: Path
    every: int
    minutes: float
    epoch_steps: int
    steps: int
    keep: int

    def is_due(self, step: int) -> bool:
        """Whether one is written after this step, whatever the time."""
        by_steps = self.every > 0 and step % self.every == 0
        return by_steps or step % self.epoch_steps == 0 or step == self.steps


def _relocated_state(state: Settings, folder: str) -> Settings:
    """The state of the callback that keeps the best checkpoint, after the run's folder has moved to
    ``folder``.
    """
    old = state["dirpath"]

    def relocated(value: Any) -> Any:  # any value of the state: paths, scores, dictionaries of them
        if isinstance(value, dict):
            return {relocated(key): relocated(one) for key, one in value.items()}
        is_path = isinstance(value, str) and value.startswith(old)
        return folder + value.removeprefix(old) if is_path else value

    return {key: relocated(value) for key, value in state.items()}


class Recovery(Callback):
    """Saves checkpoints, and restores a run from them.

    Args:
        schedule: of the checkpoints. interval: steps between validations. tolerance: steps in a row with
        non-finite
            gradients that are skipped. seed: of what is random in training, where a run does not continue
            from a checkpoint.
    """

    def __init__(
        self, schedule: CheckpointSchedule, interval: int, tolerance: int, seed: int, signals: Signals
    ) -> None:
        self.schedule, self.interval, self.tolerance = schedule, interval, tolerance
        self.seed, self.signals = seed, signals
        self.states: list[Settings] = []
        self.channel = SideChannel()
        self.saved_at, self.saved_step = time.monotonic(), -1

    # Saving

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: Settings) -> None:
        """Add what the Trainer does not know of."""
        state = {"random": random_state(), "unlogged": fine_tuned(pl_module).unlogged()}
        checkpoint["processes"] = self.channel.gather(state)
        checkpoint["recorded"] = getattr(trainer.logger, "recorded", 0)

    def save(self, trainer: Trainer) -> None:
        """Write a checkpoint, then delete the oldest."""
        if self.saved_step != trainer.global_step:
            folder = self.schedule.folder
            path = folder / f"{PREFIX}{trainer.global_step:09d}.ckpt"
            trainer.save_checkpoint(path, weights_only=False)
            if trainer.is_global_zero:
                newest_first = sorted(folder.glob(f"{PREFIX}*.ckpt"), reverse=True)
                for old in newest_first[self.schedule.keep :]:
                    old.unlink(missing_ok=True)
        self.saved_at, self.saved_step = time.monotonic(), trainer.global_step

    def stop_if_signalled(self, trainer: Trainer, number: int) -> None:
        """If a process received the signal ``number``, save and raise Interrupted in all of them."""
        if number:
            self.save(trainer)
            raise Interrupted(signal.Signals(number).name)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: object, batch: Batch, batch_idx: int
    ) -> None:
        """After a step: log it, check its gradients, save if it is time, stop if a signal came."""
        if not internals.ends_step(trainer):
            return
        module = fine_tuned(pl_module)
        module.log_window()
        self.check_finite(module)
        minutes = self.schedule.minutes
        late = minutes > 0 and time.monotonic() - self.saved_at > 60 * minutes
        number, any_late = self.channel.maximum(self.signals.received, int(late))
        if any_late or self.schedule.is_due(trainer.global_step):
            self.save(trainer)
        self.stop_if_signalled(trainer, number)

    def on_validation_batch_end(self, trainer: Trainer, *arguments: object, **options: object) -> None:
        """A validation within training starts again when the run is resumed."""
        if self.signals.waiting:
            self.stop_if_signalled(trainer, self.channel.maximum(self.signals.received)[0])

    def check_finite(self, module: FineTuned) -> None:
        """Raise NonFiniteGradients, with the rows of all processes, if more steps in a row were skipped
        than tolerated.
        """
        if len(module.skipped) > self.tolerance:
            mine = [row for step in module.skipped for row in step]
            everyone = self.channel.gather(mine)
            raise NonFiniteGradients(sorted({row for rows in everyone for row in rows}))

    # Restoring

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """By now the processes are connected. Signals have one owner: this project."""
        self.channel = SideChannel()
        self.signals.listen()
        internals.disable_signal_handlers(trainer)

    def on_load_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: Settings) -> None:
        """Set the loop counters, and keep the random state for the first step."""
        self.states = checkpoint["processes"]
        steps, last = checkpoint["global_step"], self.schedule.steps
        loops = checkpoint["loops"]["fit_loop"]
        internals.reset_loop_counters(loops, steps, trainer.accumulate_grad_batches, self.interval, last)
        best = trainer.checkpoint_callback
        callbacks = checkpoint["callbacks"]
        if isinstance(best, ModelCheckpoint) and best.state_key in callbacks:
            callbacks[best.state_key] = _relocated_state(callbacks[best.state_key], str(best.dirpath))

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """From here on signals wait. Random numbers continue; with another number of processes they start
        anew.
        """
        module = fine_tuned(pl_module)
        self.signals.waiting = True
        if len(self.states) == trainer.world_size:
            state = self.states[trainer.global_rank]
            set_random_state(state["random"])
            module.remember(state["unlogged"])
            return
        if self.states:
            log.warning(
                "%d processes instead of %d: dropout draws new random numbers",
                trainer.world_size,
                len(self.states),
            )
            everyone = [one for state in self.states for one in state["unlogged"]]
            module.remember(everyone if trainer.global_rank == 0 else [])
        seed = hash((self.seed, trainer.global_step, trainer.global_rank)) % 2**32
        torch.manual_seed(seed)
        random.seed(seed)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """From here on signals end the run at once; what was trained is saved."""
        self.signals.waiting = False
        self.stop_if_signalled(trainer, self.channel.maximum(self.signals.received)[0])

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """No more steps will come."""
        self.signals.waiting = False


def fine_tuned(module: LightningModule) -> FineTuned:
    """The module, which is always one of this project's."""
    assert isinstance(module, FineTuned)
    return module
