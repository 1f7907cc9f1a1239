"""From the configuration groups, as plain dictionaries, to what nets, modules, plans, fits and records
take.
"""

import json
import logging
from collections.abc import Callable
from pathlib import Path

from architectures.baselines.base import Baseline
from architectures.baselines.methods import BASELINE_CLASSES
from architectures.inference.harness import check_tasks
from architectures.models.fine_tuned import FineTuned
from architectures.runtime.machine import git_commit, usable_cpus
from architectures.tracking.locations import tracking_uri
from architectures.tracking.mlflow_logger import RunLogger
from architectures.training.fit import FitSettings
from architectures.training.modules import build_module
from architectures.training.parent import Parent, load_parent
from architectures.training.planning import (
    Memory,
    ModelShapes,
    PlannedBatches,
    PlannedRows,
    available_memory,
    fitting_micro_batch,
    model_shapes,
    plan_text,
)
from architectures.training.trainer import local_processes, resolve_precision
from architectures.values import Settings

log = logging.getLogger(__name__)

# Fields of model that `build_net` does not take.
NOT_OF_THE_NET = (
    "name",
    "method",
    "pooling",
    "probe",
    "head_dropout",
    "parent",
)
OPTIMIZER = (
    "optimizer",
    "learning_rate",
    "lora_plus",
    "weight_decay",
    "beta2",
    "warmup_ratio",
    "neftune_alpha",
    "objective",
    "dpo_beta",
    "sft_weight",
    "teacher",
    "teacher_weight",
    "teacher_tokens",
    "log_every",
)
SCHEDULE = ("schedule", "plateau_factor", "plateau_patience", "monitor")
LARGEST_DATA = 2**30  # bytes of prepared data that the tracking server gets with a run


def _net_settings(model: Settings) -> Settings:
    """The arguments of `build_net`, without a head."""
    return {key: value for key, value in model.items() if key not in NOT_OF_THE_NET}


def process_count(trainer: Settings) -> int:
    """Processes on all machines. Raises ValueError if this machine lacks the GPUs that are set."""
    return local_processes(trainer["devices"], trainer["accelerator"]) * int(trainer["nodes"])


def check_before_work(settings: Settings) -> None:
    """Raise ValueError for GPUs that this machine lacks, for an outputs folder that cannot hold the record of
    runs, and for tasks of evaluation.general that cannot be done here. settings: all configuration groups.
    """
    if settings["model"]["method"] == "fine-tune":
        process_count(settings["trainer"])
    if settings["stage"] != "plan":
        tracking_uri(settings["tracking"]["uri"], Path(settings["outputs"]))
    check_tasks(settings["evaluation"]["general"])


def _run_precision(model: Settings, trainer: Settings) -> str:
    """The Trainer's precision, with 'auto' resolved."""
    return resolve_precision(trainer["precision"], model["base"], model["dtype"], model["adapter"])


def _run_shapes(model: Settings, trainer: Settings) -> ModelShapes:
    """Sizes of the causal LM that is to be trained."""
    return model_shapes(_net_settings(model), _run_precision(model, trainer))


def process_memory(trainer: Settings) -> Memory:
    """What each process has."""
    processes = process_count(trainer)
    shards = trainer["shards"] or processes
    shared = shards if trainer["strategy"] == "fsdp" else 1
    return available_memory(trainer["accelerator"], processes / trainer["nodes"], shared)


def choose_micro_batch(model: Settings, trainer: Settings, lengths: list[int]) -> int:
    """Rows in a forward pass in each process: as many as are set, else as many as surely fit.

    Args:
        lengths: of the training rows; empty for a classifier, which is small: if it does not fit, halving
        finds out.
    """
    most = -(-trainer["batch_size"] // process_count(trainer))
    if trainer["micro_batch"] != "auto":
        return min(int(trainer["micro_batch"]), most)
    if not lengths:
        return most
    shapes, memory = _run_shapes(model, trainer), process_memory(trainer)
    return fitting_micro_batch(shapes, lengths, most, model["gradient_checkpointing"], memory)


def fit_settings(
    model: Settings, trainer: Settings, micro_batch: int, resume: bool, identity: Settings
) -> FitSettings:
    """How a run is fit. identity: what decides the result."""
    precision, processes = _run_precision(model, trainer), process_count(trainer)
    return FitSettings(trainer, precision, micro_batch, processes, resume, model["probe"], identity)


def describe_plan(
    model: Settings, trainer: Settings, batches: PlannedBatches, build: Callable[[], FineTuned]
) -> str:
    """What training costs, in words; see `architectures.training.planning.plan_text`."""
    processes = process_count(trainer)
    rows = PlannedRows.of(batches, trainer["batch_size"], processes, model["gradient_checkpointing"])
    shapes, precision = _run_shapes(model, trainer), _run_precision(model, trainer)
    return plan_text(model["base"], shapes, rows, process_memory(trainer), build, precision)


def run_module(
    model: Settings,
    trainer: Settings,
    head: Settings,
    origin: Settings,
    steps: int,
    seed: int,
    parent: Parent | None = None,
) -> FineTuned:
    """The LightningModule of a run, with the adapter of its parent if it has one.

    Args:
        head: labels, multi_label, pad_id and class_weights of a classifier; empty: a causal LM. steps:
        optimiser steps of the
            whole run.
    """
    settings = _net_settings(model)
    if head:
        settings["class_weights"] = head["class_weights"]
        settings["head"] = {name: head[name] for name in ("labels", "multi_label", "pad_id")}
        settings["head"] |= {"dropout": model["head_dropout"], "pooling": model["pooling"]}
    optimization = {name: trainer[name] for name in (*OPTIMIZER, *SCHEDULE)} | {"total_steps": steps}
    local = max(1, process_count(trainer) // trainer["nodes"])
    threads = trainer["threads"] or max(1, usable_cpus() // local)
    sharded = trainer["strategy"] == "fsdp"
    origin = origin | parent.origin if parent else origin
    module = build_module(settings, optimization, origin, seed, threads, sharded)
    if parent:
        load_parent(module, parent)
    return module


def run_baseline(settings: Settings, labels: list[str], multi_label: bool, origin: Settings) -> Baseline:
    """The baseline classifier that ``settings['method']`` names."""
    return BASELINE_CLASSES[settings["method"]](settings, labels, multi_label, origin)


def start_tracking(
    folder: Path, root: Path, settings: Settings, parent: str, digest: str, rows: int
) -> RunLogger:
    """The record of a run, with its settings, the commit of the code, and its data; locally and in MLflow.

    Args:
        root: of the code. settings: all configuration groups. parent: id of the run to be nested under, or
        ''. digest, rows: of
            the prepared data.
    """
    tracking, data, commit = settings["tracking"], settings["data"], git_commit(root)
    uri = tracking_uri(tracking["uri"], Path(settings["outputs"]))
    name = f"{settings['experiment']} {settings['model']['name']} {data['name']}"
    tags = {"mlflow.source.name": "train.py", "mlflow.source.git.commit": commit}
    experiment, samples, also = (tracking[field] for field in ("experiment", "system_metrics", "also"))
    logger = RunLogger(folder, uri, experiment, name, parent, tags, samples, also)
    logger.log_hyperparams({**settings, "git_commit": commit, "data_digest": digest})
    logger.log_artifact(folder / "config.yaml")
    logger.log_dataset(data["name"], digest, data["path"], rows)
    return logger


def log_results(logger: RunLogger, paths: list[Path], table: str) -> None:
    """Send the files of an evaluation to the tracking server, which shows the one called ``table`` as a
    table.
    """
    for path in paths:
        logger.log_artifact(path)
    if table in [path.name for path in paths]:
        logger.log_tag("mlflow.loggedArtifacts", json.dumps([{"path": table, "type": "table"}]))


def log_prepared_data(logger: RunLogger, folder: Path) -> None:
    """Send prepared data to the tracking server, unless they are too large."""
    size = sum(path.stat().st_size for path in folder.iterdir())
    if size <= LARGEST_DATA:
        logger.log_artifact(folder, "data")
    else:
        message = "the prepared data (%.1f GiB) is not sent to the tracking server; it stays in %s"
        log.info(message, size / 2**30, folder)
