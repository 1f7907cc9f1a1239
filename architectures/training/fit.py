"""Train whatever comes: resume, out of memory, non-finite gradients; then test, and export the best model."""

import gc
import logging
import math
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import torch
from lightning import Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.loggers import Logger
from torch import Tensor

from architectures.compatibility import lightning as internals
from architectures.models import exported
from architectures.models.distilled_lm import DistilledLM
from architectures.models.fine_tuned import FineTuned
from architectures.models.sequence_classifier import SequenceClassifier
from architectures.runtime.machine import peak_gib
from architectures.runtime.startup import StartupTimer
from architectures.tracking.mlflow_logger import RunLogger
from architectures.training import checkpoint_io, checkpoints, first_pass
from architectures.training.answer_validation import MonitoredQuestions
from architectures.training.recovery import NonFiniteGradients
from architectures.training.signals import Interrupted
from architectures.training.sweep_pruning import SweepPruning
from architectures.training.trainer import RunContext, TrainingBatches, build_trainer
from architectures.values import Batch, Settings

log = logging.getLogger(__name__)

EVALUATION_FACTOR = 4  # times as many rows in a forward pass where no gradient is computed


@dataclass(frozen=True)
class FitInputs:
    """What a fit needs of the data layer and of the configuration, as plain functions.

    build_module: a seeded module, for a number of optimiser steps. training_batches: for a micro-batch.
    evaluation_batches: of a split, for a number of rows in a forward pass. describe_rows: names training rows
    in messages. save_tokenizer: into a folder. remember_micro_batch: keeps a smaller micro-batch for the next
    start. lengths: of the training rows. has_test: whether there are test rows. questions: answered at each
    validation, where the monitor is the score of answers.
    """

    build_module: Callable[[int], FineTuned]
    training_batches: Callable[[int], TrainingBatches]
    evaluation_batches: Callable[[str, int], Iterable[Batch]]
    describe_rows: Callable[[list[int]], str]
    save_tokenizer: Callable[[Path], object]
    remember_micro_batch: Callable[[int], None]
    lengths: Tensor
    has_test: bool
    questions: MonitoredQuestions | None = None


@dataclass(frozen=True)
class FitSettings:
    """How a model is fit.

    trainer: fields of the configuration group `trainer`. identity: what decides the result, compared with a
    checkpoint's.
    """

    trainer: Settings
    precision: str
    micro_batch: int
    processes: int
    resume: bool
    probe: bool
    identity: Settings

    @property
    def evaluation_rows(self) -> int:
        """Rows in a forward pass without gradients."""
        return EVALUATION_FACTOR * self.micro_batch


def fit(
    settings: FitSettings, inputs: FitInputs, context: RunContext, timer: StartupTimer
) -> tuple[FineTuned, Settings]:
    """(the best model, results); recovers once from non-finite gradients, and halves the micro-batch when
    memory runs out.

    Raises ValueError if training cannot go on, Interrupted if several processes must be started again.
    """
    went_back = False
    while True:
        try:
            return _fit_once(settings, inputs, context, timer)
        except NonFiniteGradients as error:
            rows = inputs.describe_rows(error.rows)
            if went_back:
                raise ValueError(
                    f"training stopped: the gradients of more than {settings.trainer['skip_steps']}"
                    f" steps in a row are not"
                    " finite, again after going back to the last checkpoint. Check the rows of"
                    " these steps, or lower"
                    f" trainer.learning_rate: {rows}"
                ) from None
            log.warning(
                "the gradients of these rows are not finite; going back to the last checkpoint, once: %s",
                rows,
            )
            went_back = True
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            settings = _with_less_memory(settings, inputs)
        settings = replace(settings, resume=True)
        gc.collect()  # only now the failed attempt has released its module
        if torch.cuda.is_available():
            torch.cuda.empty_cache()


def is_out_of_memory(error: BaseException) -> bool:
    """Whether the error says that memory ran out, on a GPU or on the CPU."""
    message = str(error).lower()
    known = isinstance(error, torch.OutOfMemoryError | MemoryError)
    return known or "out of memory" in message or "can't allocate memory" in message


def _with_less_memory(settings: FitSettings, inputs: FitInputs) -> FitSettings:
    """Halve the micro-batch; several processes cannot continue by themselves, but can be started again."""
    micro_batch = settings.micro_batch
    if micro_batch == 1:
        raise ValueError(
            "out of memory with one row in a forward pass: lower data.max_seq_length, or set"
            " model.gradient_checkpointing=true"
        )
    half = -(-micro_batch // 2)
    inputs.remember_micro_batch(half)
    log.warning(
        "out of memory with %d rows in a forward pass: continuing with %d; the steps stay the same",
        micro_batch,
        half,
    )
    if settings.processes > 1:
        raise Interrupted("out of memory", together=False, saved=False)
    return replace(settings, micro_batch=half)


def _fit_once(
    settings: FitSettings, inputs: FitInputs, context: RunContext, timer: StartupTimer
) -> tuple[FineTuned, Settings]:
    """Train from the newest checkpoint, if any; test the last and the best; export the best to
    ``folder/model``.
    """
    batches = inputs.training_batches(settings.micro_batch)
    module = inputs.build_module(batches.steps)
    trainer = build_trainer(settings.trainer, batches, settings.precision, context, inputs.questions)
    checkpoint, recorded = resumable(settings, context.folder) if settings.resume else (None, 0)
    _look_at_training_rows(module, trainer, settings, inputs, context.folder, checkpoint is None)
    _announce(trainer, batches, checkpoint, recorded, context.logger, timer)
    begun = time.perf_counter()
    validation = inputs.evaluation_batches("validation", settings.evaluation_rows)
    trainer.fit(module, batches, validation, ckpt_path=checkpoint, weights_only=True)
    results = _training_results(trainer, settings, inputs, time.perf_counter() - begun)
    results |= _test_last_and_best(module, trainer, settings, inputs)
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        torch.distributed.barrier()
        torch.distributed.destroy_process_group()
    if trainer.is_global_zero:
        module = _export_best(module, trainer, settings, inputs, context)
        log.info(
            "trained in %.0f s; best validation %s %.4f; exported to %s",
            results["seconds"], settings.trainer["monitor"], results["validation"], context.folder / "model",
        )  # fmt: skip
    return module, results


def _look_at_training_rows(
    module: FineTuned, trainer: Trainer, settings: FitSettings, inputs: FitInputs, folder: Path, is_new: bool
) -> None:
    """Compute what is needed from the training rows before the first step; see `first_pass`."""
    device, size = trainer.strategy.root_device, settings.evaluation_rows
    rows = partial(inputs.evaluation_batches, "train")
    with trainer.precision_plugin.forward_context():
        if is_new:
            first_pass.first_pass(module, device, rows, size, settings.probe)
        if isinstance(module, DistilledLM):
            first_pass.ask_teacher(module, device, lambda: rows(size), folder)


def _announce(
    trainer: Trainer,
    batches: TrainingBatches,
    checkpoint: Path | None,
    recorded: int,
    logger: Logger,
    timer: StartupTimer,
) -> None:
    """Log what starts, in the process that records."""
    if not trainer.is_global_zero:
        return
    if isinstance(logger, RunLogger):
        logger.begin(recorded)
    source = f", resumed from {checkpoint}" if checkpoint else ""
    device = trainer.strategy.root_device
    log.info("training on %s in %s, %d steps%s", device, trainer.precision, batches.steps, source)
    timer.mark("model")
    log.info("%s", timer.summary())


def resumable(settings: FitSettings, folder: Path) -> tuple[Path | None, int]:
    """(the newest intact checkpoint of the run, lines that the record had then)

    Raises ValueError if it is of other settings or data.
    """
    path = checkpoint_io.newest_intact(folder / "checkpoints")
    if path is None:
        return None, 0
    content = checkpoint_io.read_checkpoint(path)
    origin = content["hyper_parameters"]["origin"]
    there = origin["settings"] | {"the prepared data": origin["digest"]}
    here = settings.identity
    different = [key for key in sorted(there.keys() | here.keys()) if there.get(key) != here.get(key)]
    if different:
        lines = [f"{key}: {there.get(key)!r} there, {here.get(key)!r} here" for key in different]
        raise ValueError(
            f"the checkpoint {path} is of another configuration; nothing was changed:\n  "
            + "\n  ".join(lines)
        )
    return path, content["recorded"]


def _best_checkpoint(trainer: Trainer) -> ModelCheckpoint:
    """The callback that keeps the best checkpoint."""
    callback = trainer.checkpoint_callback
    assert isinstance(callback, ModelCheckpoint)
    return callback


def _training_results(trainer: Trainer, settings: FitSettings, inputs: FitInputs, seconds: float) -> Settings:
    """Steps, time, memory and the best validation. Raises ValueError if no validation was finite."""
    score = _best_checkpoint(trainer).best_model_score
    if score is None or not math.isfinite(score):
        raise ValueError(
            "the validation loss was never finite, so there is no model to keep: lower trainer.learning_rate"
        )
    rows = settings.trainer["batch_size"] * trainer.global_step
    pruned = any(
        callback.pruned for callback in internals.callbacks_of(trainer) if isinstance(callback, SweepPruning)
    )
    return {
        "steps": trainer.global_step,
        "seconds": seconds,
        "validation": float(score),
        "tokens": round(float(inputs.lengths.float().mean()) * rows),
        "peak_gib": peak_gib(),
        "pruned": pruned,
    }


def _test_last_and_best(
    module: FineTuned, trainer: Trainer, settings: FitSettings, inputs: FitInputs
) -> Settings:
    """Test figures of the last and of the best weights, which the module holds afterwards."""
    results: Settings = test(module, trainer, settings, inputs, "last")
    best = checkpoint_io.read_checkpoint(Path(_best_checkpoint(trainer).best_model_path))
    if best["global_step"] < trainer.global_step:
        trainer.strategy.load_model_state_dict(best, strict=False)
        return results | test(module, trainer, settings, inputs, "best")
    return results | {name.replace("last", "best"): value for name, value in results.items()}


def test(
    module: FineTuned, trainer: Trainer, settings: FitSettings, inputs: FitInputs, name: str
) -> dict[str, float]:
    """Loss, accuracy and the monitored metric, where it is measured there, on the test rows, if there are
    any.
    """
    if not inputs.has_test:
        return {}
    batches = inputs.evaluation_batches("test", settings.evaluation_rows)
    metrics = trainer.test(module, batches, verbose=False)[0]
    keys = dict.fromkeys(("loss", "accuracy", settings.trainer["monitor"]))
    measured = [key for key in keys if f"test/{key}" in metrics]
    return {f"test_{key}_{name}": float(metrics[f"test/{key}"]) for key in measured}


def _export_best(
    module: FineTuned, trainer: Trainer, settings: FitSettings, inputs: FitInputs, context: RunContext
) -> FineTuned:
    """Write the best model, with its tokenizer, to ``folder/model``, and hand it to the tracking server."""
    if settings.trainer["strategy"] == "fsdp":  # the module holds a shard; load all of it into this process
        module = checkpoints.load_checkpoint(Path(_best_checkpoint(trainer).best_model_path))
    module.to("cuda" if trainer.strategy.root_device.type == "cuda" else "cpu").eval()
    if isinstance(module, SequenceClassifier):
        module.calibrate(inputs.evaluation_batches("validation", settings.evaluation_rows))
    folder = context.folder / "model"
    exported.export(module, folder)
    inputs.save_tokenizer(folder)
    if isinstance(context.logger, RunLogger):
        context.logger.log_artifact(folder, "model")
    return module
