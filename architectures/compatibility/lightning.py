"""Private APIs of Lightning: loop counters, signal handlers, the attached Trainer, the process rank."""

from lightning import Callback, LightningModule, Trainer
from lightning.fabric.utilities.rank_zero import _get_rank
from lightning.pytorch.strategies import Strategy

from architectures.values import State


def ends_step(trainer: Trainer) -> bool:
    """Whether the micro-batch just processed is the last one of its optimiser step."""
    return not trainer.fit_loop._should_accumulate()


def attached_strategy(module: LightningModule) -> Strategy | None:
    """The strategy of the module's Trainer; None without a Trainer (the public property raises then)."""
    return module._trainer.strategy if module._trainer else None


def disable_signal_handlers(trainer: Trainer) -> None:
    """Keep the Trainer from handling signals.

    Its handler of SIGTERM talks to the other processes from within the handler, wherever they are, and they
    hang.
    """
    trainer._signal_connector.register_signal_handlers = lambda: None  # type: ignore[method-assign]


def is_first_process() -> bool:
    """Whether this process has rank 0, or no rank."""
    return _get_rank() in (None, 0)


def callbacks_of(trainer: Trainer) -> list[Callback]:
    """The Trainer's callbacks, which it has without declaring them."""
    callbacks: list[Callback] = trainer.callbacks  # type: ignore[attr-defined]
    return callbacks


def reset_loop_counters(saved: State, steps: int, accumulate: int, interval: int, last: int) -> None:
    """Set the Trainer's loop counters, in place, to those of a run that stands between two steps.

    Args:
        saved: state of the Trainer's fit loop. steps: optimiser steps taken. accumulate: micro-batches in a
        step,
            now. interval: steps between validations. last: optimiser steps of the whole run.
    """
    done = steps * accumulate
    validation_due = steps > 0 and steps % interval == 0  # then validation comes first, from its beginning
    batches = {"ready": done, "completed": done, "started": done, "processed": done}
    begun = int(validation_due)
    validation = {"ready": begun, "completed": 0, "started": begun, "processed": 0}
    epoch = {"ready": 1, "completed": 0, "started": 1, "processed": 0}
    saved["epoch_progress"] = both(epoch)
    saved["epoch_loop.batch_progress"] = both(batches) | {"is_last_batch": steps == last}
    saved["epoch_loop.val_loop.batch_progress"] = both(validation) | {"is_last_batch": False}
    saved["epoch_loop.state_dict"]["_batches_that_stepped"] = steps - begun
    saved["state_dict"]["combined_loader"] = [{"steps": steps}]


def both(counts: dict[str, int]) -> State:
    """Counters as Lightning keeps them: in total, and of the current epoch."""
    return {"total": dict(counts), "current": dict(counts)}
