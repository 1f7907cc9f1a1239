"""Nothing is lost: checkpoints to resume from, signals, steps whose gradients are not finite; and the exact way back.

All that a run's future depends on is in a checkpoint: what is trained, the optimiser, the schedule, the callbacks, the random
numbers of every process, how far the local record went, and the number of optimiser steps. Of the Trainer's own counters only
the steps matter: they are laid out anew when a run is resumed, so that it may have other micro-batches or processes than before.
"""

import logging
import random
import signal
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from lightning import Callback

from architectures.checkpoint_io import PREFIX
from architectures.distributed import Agreement
from architectures.signals import Interrupted, Signals

log = logging.getLogger(__name__)


class NotFinite(Exception):
    """Too many steps in a row had gradients that are not finite. ``rows``: training rows of those steps."""

    def __init__(self, rows: list[int]) -> None:
        super().__init__(f"{len(rows)} rows")
        self.rows = rows


def out_of_memory(error: BaseException) -> bool:
    """Whether the error says that memory ran out, on a GPU or on the CPU."""
    said = str(error).lower()
    return isinstance(error, (torch.OutOfMemoryError, MemoryError)) or "out of memory" in said or "can't allocate memory" in said


@dataclass(frozen=True)
class Saving:
    """When a checkpoint to resume from is written, into which ``folder``, and how many are kept.

    every: optimiser steps; 0: not by steps. minutes: since the one before; 0: not by time. epoch_steps: steps of an epoch,
    at whose end one is written in any case. steps: of the whole run. keep: newest ones that stay.
    """

    folder: Path
    every: int
    minutes: float
    epoch_steps: int
    steps: int
    keep: int


def random_state() -> dict[str, Any]:
    """The state of all generators of random numbers in this process, as plain types."""
    devices = torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []
    version, state, gauss = random.getstate()
    return {"torch": torch.get_rng_state(), "cuda": devices, "python": [version, list(state), gauss]}


def set_random_state(state: dict[str, Any]) -> None:
    """Go on with a state that `random_state` gave."""
    torch.set_rng_state(state["torch"])
    if state["cuda"] and torch.cuda.is_available():
        torch.cuda.set_rng_state_all(state["cuda"])
    version, numbers, gauss = state["python"]
    random.setstate((version, tuple(numbers), gauss))


def counters(saved: dict[str, Any], steps: int, accumulate: int, interval: int, last: int) -> None:
    """Lay out the Trainer's loop counters anew, in place, for a run that stands between two steps.

    Args:
        saved: the state of the Trainer's fit loop. steps: optimiser steps taken; last: of the whole run.
        accumulate: micro-batches a step, now. interval: steps between validations.
    """
    done = steps * accumulate
    due = steps > 0 and steps % interval == 0  # then validation comes first, from its beginning
    batches = {"ready": done, "completed": done, "started": done, "processed": done}
    validation = {"ready": int(due), "completed": 0, "started": int(due), "processed": 0}
    epoch = {"ready": 1, "completed": 0, "started": 1, "processed": 0}
    saved["epoch_progress"] = {"total": dict(epoch), "current": dict(epoch)}
    saved["epoch_loop.batch_progress"] = {"total": dict(batches), "current": dict(batches), "is_last_batch": steps == last}
    saved["epoch_loop.val_loop.batch_progress"] = {
        "total": dict(validation), "current": dict(validation), "is_last_batch": False,
    }  # fmt: skip
    saved["epoch_loop.state_dict"]["_batches_that_stepped"] = steps - int(due)
    saved["state_dict"]["combined_loader"] = [{"steps": steps}]


def moved(state: dict[str, Any], folder: str) -> dict[str, Any]:
    """The state of the callback that keeps the best checkpoint, where the run's folder has another place than before."""

    def place(value: Any) -> Any:
        if isinstance(value, dict):
            return {place(key): place(one) for key, one in value.items()}
        return folder + value.removeprefix(state["dirpath"]) if isinstance(value, str) and value.startswith(state["dirpath"]) else value

    return {key: place(value) for key, value in state.items()}


class Recovery(Callback):
    """Saves, and brings back.

    Args:
        saving: when and where. interval: steps between validations. tolerance: steps in a row whose gradients may be not
            finite; they are skipped. seed: of what is random in training, where a run does not go on from a checkpoint.
    """

    def __init__(self, saving: Saving, interval: int, tolerance: int, seed: int, signals: Signals) -> None:
        self.saving, self.interval, self.tolerance, self.seed, self.signals = saving, interval, tolerance, seed, signals
        self.states: list[dict[str, Any]] = []
        self.agreement = Agreement()
        self.saved_at, self.saved_step = time.monotonic(), -1

    # --- saving: -----------------------------------------------------------------------------------------------------

    def on_save_checkpoint(self, trainer: Any, pl_module: Any, checkpoint: dict[str, Any]) -> None:
        """Add what the Trainer does not know of."""
        checkpoint["processes"] = self.agreement.collected({"random": random_state(), "unlogged": pl_module.unlogged()})
        checkpoint["recorded"] = trainer.loggers[0].recorded if trainer.loggers else 0

    def save(self, trainer: Any) -> None:
        """Write one, then delete the oldest."""
        if self.saved_step != trainer.global_step:
            path = self.saving.folder / f"{PREFIX}{trainer.global_step:09d}.ckpt"
            trainer.save_checkpoint(path, weights_only=False)
            if trainer.is_global_zero:
                for old in sorted(self.saving.folder.glob(f"{PREFIX}*.ckpt"), reverse=True)[self.saving.keep :]:
                    old.unlink(missing_ok=True)
        self.saved_at, self.saved_step = time.monotonic(), trainer.global_step

    def stop_if_asked(self, trainer: Any, asked: int) -> None:
        """If a process got a signal, save and raise Interrupted in all of them."""
        if asked:
            self.save(trainer)
            raise Interrupted(signal.Signals(asked).name)

    def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        """After a step: log it, stop if its gradients were the last straw, save if it is time, stop if a signal came."""
        if trainer.fit_loop._should_accumulate():
            return
        pl_module.log_window()
        step, s = trainer.global_step, self.saving
        self.check_finite(pl_module)
        late = s.minutes > 0 and time.monotonic() - self.saved_at > 60 * s.minutes
        asked, any_late = self.agreement.largest(self.signals.received, int(late))
        if any_late or (s.every and step % s.every == 0) or step % s.epoch_steps == 0 or step == s.steps:
            self.save(trainer)
        self.stop_if_asked(trainer, asked)

    def on_validation_batch_end(self, trainer: Any, *arguments: Any) -> None:
        """Validation within training is begun anew when the run is resumed."""
        if self.signals.waiting:
            self.stop_if_asked(trainer, self.agreement.largest(self.signals.received)[0])

    def check_finite(self, module: Any) -> None:
        """Raise NotFinite, with the rows of all processes, if more steps in a row were skipped than may be."""
        if len(module.skipped) > self.tolerance:
            rows = self.agreement.collected([row for step in module.skipped for row in step])
            raise NotFinite(sorted({row for part in rows for row in part}))

    # --- and coming back: --------------------------------------------------------------------------------------------

    def setup(self, trainer: Any, pl_module: Any, stage: str) -> None:
        """The processes know one another by now. The Trainer must not set handlers of its own: its one for SIGTERM talks to the other
        processes from within the handler, wherever they are, and they hang.
        """
        self.agreement = Agreement()
        self.signals.listen()
        trainer._signal_connector.register_signal_handlers = lambda: None

    def on_load_checkpoint(self, trainer: Any, pl_module: Any, checkpoint: dict[str, Any]) -> None:
        """Lay out the loop counters, and keep the random state for the first step."""
        self.states = checkpoint["processes"]
        steps, last = checkpoint["global_step"], self.saving.steps
        counters(checkpoint["loops"]["fit_loop"], steps, trainer.accumulate_grad_batches, self.interval, last)
        best = trainer.checkpoint_callback
        if best is not None and best.state_key in checkpoint["callbacks"]:
            checkpoint["callbacks"][best.state_key] = moved(checkpoint["callbacks"][best.state_key], str(best.dirpath))

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        """From here on signals wait. Random numbers go on; with another number of processes they start anew, from seed and step."""
        self.signals.waiting = True
        if len(self.states) == trainer.world_size:
            set_random_state(self.states[trainer.global_rank]["random"])
            pl_module.remember(self.states[trainer.global_rank]["unlogged"])
        else:
            if self.states:
                log.warning("other processes than before (%d, not %d): dropout draws anew", trainer.world_size, len(self.states))
                everyone = [one for state in self.states for one in state["unlogged"]]
                pl_module.remember(everyone if trainer.global_rank == 0 else [])
            seed = hash((self.seed, trainer.global_step, trainer.global_rank)) % 2**32
            torch.manual_seed(seed)
            random.seed(seed)

    def on_train_end(self, trainer: Any, pl_module: Any) -> None:
        """From here on signals end the run at once; what was trained is saved."""
        self.signals.waiting = False
        self.stop_if_asked(trainer, self.agreement.largest(self.signals.received)[0])

    def on_exception(self, trainer: Any, pl_module: Any, exception: BaseException) -> None:
        """No more steps will come."""
        self.signals.waiting = False
