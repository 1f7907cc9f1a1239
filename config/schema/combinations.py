"""Checks that need more than one field of a configuration, one function for each subject."""

import re
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

from config.schema.fields import Values
from config.schema.run import LOGGERS
from config.schema.trainer import ANSWER_SCORE
from config.schema.training_combinations import TRAINING_CHECKS


def check_combinations(values: Values) -> Iterator[str]:
    """All problems that concern more than one field, or the form of a text."""
    for check in (
        _check_adapter,
        _check_columns,
        _check_filters,
        _check_tasks,
        _check_tracking,
        _check_versions,
        _check_partitions,
        _check_endpoints,
        _check_mixture,
        _check_general,
        _check_labels,
        _check_folds,
        *TRAINING_CHECKS,
    ):
        yield from check(values)


def _check_adapter(values: Values) -> Iterator[str]:
    """What can be trained of the base."""
    if values.get("model.lora_targets") == []:
        yield (
            "model.lora_targets: is empty, so nothing would be trained; set model.adapter=none to train"
            " every parameter"
        )
    for span in values.get("model.lora_layers") or []:
        if not re.fullmatch(r"\d+(-\d+)?", span):
            yield f"model.lora_layers: {span!r} is no block and no range of blocks, such as 3 or 0-7"
    if values.get("model.parent") and values.get("trainer.strategy") == "fsdp":
        yield "model.parent: is not for trainer.strategy=fsdp; merge it (export=merged) and set model.base"
    if values.get("model.parent") and values.get("model.method") != "fine-tune":
        yield "model.parent: is for model.method=fine-tune"
    if values.get("model.quantization") == "nf4" and values.get("model.adapter") == "none":
        yield "model.quantization=nf4: a base in 4 bits cannot be trained as a whole; set model.adapter=lora"


def _check_general(values: Values) -> Iterator[str]:
    """Files of general text."""
    paths = values.get("evaluation.general", [])
    if paths and values.get("data.task") not in ("retail", "instructions"):
        yield "evaluation.general: is for data.task=retail and data.task=instructions"
    for path in paths:
        if not path.startswith("task:") and not Path(path).is_file():
            yield f"evaluation.general: there is no file {path}; a task of lm-eval is task:NAME"


def _check_columns(values: Values) -> Iterator[str]:
    """Columns that a catalogue must have."""
    if values.get("data.task") != "retail":
        return
    columns = values.get("data.columns", {})
    for role, column in columns.items():
        is_list = role == "category" and isinstance(column, list)
        names = column if is_list else [column or ""]
        if not all(isinstance(name, str) for name in names):
            yield f"data.columns.{role}={column}: must be the name of a column; quote it, as '\"{column}\"'"
    for column in ("name", "category"):
        if not columns.get(column):
            yield f"data.columns.{column}: which column of the table holds it? set data.columns.{column}=..."


def _check_filters(values: Values) -> Iterator[str]:
    """Filters of training rows."""
    filters = values.get("data.quality.filters", [])
    if filters and values.get("data.task") not in ("retail", "instructions"):
        yield "data.quality.filters: are for data.task=retail and data.task=instructions"
    if "words" in filters and not values.get("data.quality.words"):
        yield "data.quality.words: the filter words needs a file with a word a line"


def _check_tasks(values: Values) -> Iterator[str]:
    """Settings that one task alone has."""
    if values.get("stage") == "images" and values.get("data.task") != "retail":
        yield "stage=images: is for data.task=retail"
    if values.get("data.grounding") == "rows" and values.get("data.task") != "retail":
        yield "data.grounding: is for data.task=retail"
    if values.get("data.wording") == "shoppers" and values.get("data.task") != "retail":
        yield "data.wording: is for data.task=retail"
    if values.get("data.pairing") != "none" and values.get("data.task") != "retail":
        yield "data.pairing: is for data.task=retail"
    if values.get("data.thinking") and values.get("data.task") not in ("retail", "instructions"):
        yield "data.thinking: is for data.task=retail and data.task=instructions"
    if values.get("data.task") == "labels" and values.get("trainer.neftune_alpha"):
        yield "trainer.neftune_alpha: is for models that answer, not for data.task=labels"
    columns = values.get("data.columns") or {}
    if values.get("data.currency") and not (columns.get("price") or columns.get("list_price")):
        yield "data.currency: is for data.columns.price and data.columns.list_price"
    is_causal_lm = values.get("model.method") == "fine-tune" and values.get("data.task") != "labels"
    if values.get("stage") == "plan" and not is_causal_lm:
        yield "stage=plan: is for fine-tuning causal LMs; classifiers and baselines take minutes"


def _check_tracking(values: Values) -> Iterator[str]:
    """Addresses with a password, loggers that are not installed."""
    if "@" in str(values.get("tracking.uri", "")):
        yield (
            "tracking.uri: contains a user or a password, which would be written into every run; set"
            " MLFLOW_TRACKING_URI instead"
        )
    for name in values.get("tracking.also", []):
        package = LOGGERS.get(name)
        if package and find_spec(package) is None:
            yield f"tracking.also: {name} is not installed: make install EXTRA=loggers"


def _check_versions(values: Values) -> Iterator[str]:
    """Versions of prepared data."""
    for key in ("data.version", "data.against"):
        if values.get(key) and not re.fullmatch(r"[0-9a-f]{16}|[0-9a-f]{32}", values[key]):
            yield f"{key}={values[key]}: must be a digest (16 hex digits) or the id of an MLflow run (32)"
    if values.get("data.against") and (values.get("stage") != "inspect" or not values.get("data.version")):
        yield "data.against: is for stage=inspect with data.version"
    if values.get("data.version") and values.get("data.task") != "retail":
        yield "data.version: is for data.task=retail"


def _check_partitions(values: Values) -> Iterator[str]:
    """What prepares a table, and which share of it."""
    if values.get("data.engine") == "ray" and values.get("data.task") != "retail":
        yield "data.engine=ray: is for data.task=retail"
    if values.get("data.ray_address") and values.get("data.engine") != "ray":
        yield "data.ray_address: is for data.engine=ray"
    shard = values.get("data.shard")
    if not shard:
        return
    match = re.fullmatch(r"([1-9]\d{0,5})/([1-9]\d{0,5})", shard)
    if not match or int(match[1]) > int(match[2]):
        yield f"data.shard={shard}: must be like 3/8, the third of eight"
    if values.get("stage") not in ("prepare", "images") or values.get("data.task") != "retail":
        yield "data.shard: is for stage=prepare and stage=images of data.task=retail"
    if values.get("data.questions.source") == "endpoint" and values.get("stage") == "prepare":
        yield (
            "data.shard: cannot be used where a model writes the questions, since its server sets the"
            " pace; omit it"
        )


def _check_endpoints(values: Values) -> Iterator[str]:
    """Names under which endpoints serve a model."""
    users = {"data.questions.source": "data.questions", "evaluation.backend": "evaluation"}
    if values.get("model.method") == "prompted":
        users["prompting.backend"] = "prompting"
    for key, group in users.items():
        if values.get(key) == "endpoint" and not values.get(f"{group}.served_model"):
            yield f"{group}.served_model: what does the endpoint call the model? set {group}.served_model=..."


def _check_mixture(values: Values) -> Iterator[str]:
    """Weights of a mixture of instruction data."""
    for path, weight in values.get("data.mixture", {}).items():
        if not path.startswith("hub:") and "*" not in path and not Path(path).exists():
            yield f"data.mixture: there is no file or folder {path}"
        if not 0 < weight <= 1000:
            yield f"data.mixture: {path} has the weight {weight}; it must be above 0 and at most 1000"
    if values.get("data.mixture") and values.get("data.task") not in ("instructions", "retail"):
        yield "data.mixture: is for data.task=instructions and data.task=retail"


def _check_labels(values: Values) -> Iterator[str]:
    """Text classification, and what is for that task alone."""
    task, method = str(values.get("data.task", "")), values.get("model.method", "")
    monitor, kind = values.get("trainer.monitor", ""), values.get("data.label_kind", "")
    if task != "labels":
        if method != "fine-tune":
            yield (
                f"model.method={method} needs texts with labels, which data.task={task} has not: set"
                f" data.task=labels"
            )
        yield from _check_answer_monitor(monitor, task, values.get("trainer.strategy", ""))
        return
    if monitor == ANSWER_SCORE:
        yield f"trainer.monitor={monitor}: is for data.task=retail and data.task=instructions"
    names = values.get("data.label_names", [])
    if kind == "any" and len(names) != 2:
        yield "data.label_names: label_kind=any needs two names, for no and for yes, such as [fair, unfair]"
    if monitor.endswith("with_none") and kind != "multiple":
        yield f"trainer.monitor={monitor} is for data.label_kind=multiple"
    if monitor == "f1" and (kind == "multiple" or len(names) not in (0, 2)):
        yield "trainer.monitor=f1 is the last label's of two: set macro_f1, micro_f1 or weighted_f1"
    if values.get("data.text_columns") == []:
        yield "data.text_columns: names no column"


def _check_answer_monitor(monitor: str, task: str, strategy: str) -> Iterator[str]:
    """The monitors of a model that answers."""
    possible = ["loss", ANSWER_SCORE] if task in ("retail", "instructions") else ["loss"]
    if monitor not in possible:
        yield f"trainer.monitor={monitor}: data.task={task} has {' and '.join(possible)}"
    elif monitor == ANSWER_SCORE and strategy == "fsdp":
        yield (
            f"trainer.monitor={monitor}: a sharded model does not answer during training; set"
            " trainer.strategy=ddp or trainer.monitor=loss"
        )


def _check_folds(values: Values) -> Iterator[str]:
    """Shares of the splits, and folds of a cross-validation."""
    folds = values.get("data.folds")
    if folds == 1 or (folds and values.get("data.fold", 0) >= folds):
        yield "data.fold: must be below data.folds, and data.folds at least 2 (or 0)"
    if values.get("data.validation", 0) + values.get("data.test", 0) >= 1:
        yield "data.validation and data.test leave nothing to train on"
