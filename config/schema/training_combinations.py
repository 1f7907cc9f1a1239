"""Checks that need more than one field of a configuration, of how a model is trained."""

import json
from collections.abc import Iterator
from pathlib import Path

from config.schema.fields import Values


def _check_optimizer(values: Values) -> Iterator[str]:
    """What an optimiser can train."""
    name = values.get("trainer.optimizer", "adamw")
    if name != "adamw" and values.get("trainer.strategy") == "fsdp":
        yield f"trainer.optimizer={name}: is for trainer.strategy=ddp; fsdp shards the state of adamw alone"
    if name == "adafactor" and values.get("model.adapter") == "lora":
        yield (
            "trainer.optimizer=adafactor: its steps are relative to the size of the weights, and an adapter"
            " starts at zero; it is for model.adapter=none"
        )


def _check_adapter_start(values: Values) -> Iterator[str]:
    """What an adapter begins with."""
    start = values.get("model.lora_init", "default")
    if start == "default":
        return
    if values.get("model.adapter") != "lora":
        yield f"model.lora_init={start}: is for model.adapter=lora"
    if values.get("model.parent"):
        yield f"model.lora_init={start}: is for a new adapter; with model.parent it begins with its parent's"
    if values.get("trainer.strategy") == "fsdp":
        yield f"model.lora_init={start}: is for trainer.strategy=ddp"
    if start != "eva" and values.get("model.quantization") == "nf4":
        yield f"model.lora_init={start}: decomposes weights in 16 or 32 bits; set model.quantization=none"
    if start != "eva" and values.get("model.lora_variant") == "dora":
        yield f"model.lora_init={start}: is for model.lora_variant=lora and rslora"


def _check_preferences(values: Values) -> Iterator[str]:
    """Training on pairs of answers."""
    path = values.get("data.preferences", "")
    if values.get("trainer.objective") != "dpo":
        if path:
            yield f"data.preferences={path}: is for trainer.objective=dpo"
        return
    if not path:
        yield "trainer.objective=dpo: needs a file of pairs of answers: set data.preferences"
    elif not Path(path).is_file():
        yield f"data.preferences: there is no file {path}"
    if values.get("data.task") not in ("retail", "instructions"):
        yield "trainer.objective=dpo: is for data.task=retail and data.task=instructions"
    if values.get("data.task") == "retail" and values.get("data.mixture"):
        yield "trainer.objective=dpo: trains on pairs alone: leave out data.mixture"
    if values.get("trainer.strategy") == "fsdp":
        yield "trainer.objective=dpo: is for trainer.strategy=ddp"


def _is_json(path: Path) -> bool:
    """Whether a file holds a JSON object."""
    try:
        return isinstance(json.loads(path.read_text(encoding="utf-8")), dict)
    except ValueError:
        return False


def _check_teacher(values: Values) -> Iterator[str]:
    """Distillation."""
    teacher = values.get("trainer.teacher", "")
    if not teacher:
        return
    record = Path(teacher) / "run.json"
    if not record.is_file():
        yield f"trainer.teacher={teacher}: is no exported model, such as outputs/runs/RUN/model"
    elif not _is_json(record):
        yield f"trainer.teacher={teacher}: {record} is damaged; export the model again"
    if values.get("data.task") not in ("retail", "instructions"):
        yield "trainer.teacher: is for data.task=retail and data.task=instructions"
    if values.get("trainer.objective") == "dpo":
        yield "trainer.teacher: is for trainer.objective=answers"
    if values.get("trainer.strategy") == "fsdp":
        yield "trainer.teacher: is for trainer.strategy=ddp"


def _check_processes(values: Values) -> Iterator[str]:
    """What several processes can do together."""
    if values.get("trainer.strategy") != "fsdp":
        if values.get("trainer.shards"):
            yield "trainer.shards: is for trainer.strategy=fsdp"
        return
    if values.get("model.quantization") == "nf4":
        yield (
            "model.quantization=nf4 with trainer.strategy=fsdp trains wrongly without an error: set"
            " trainer.strategy=ddp (each process holds the base in 4 bits), or"
            " model.quantization=none (each holds"
            " a shard in 16 bits)"
        )
    if values.get("data.task") == "labels":
        yield (
            "trainer.strategy=fsdp is for language models that answer; a classifier takes"
            " trainer.strategy=ddp"
        )
    shards, processes = (
        values.get("trainer.shards", 0),
        values.get("trainer.devices", 0) * values.get("trainer.nodes", 1),
    )
    if shards and processes % shards:
        yield (
            f"trainer.shards={shards}: {processes} processes (trainer.devices x trainer.nodes) are no"
            f" multiple of it"
        )


def _check_batches(values: Values) -> Iterator[str]:
    """Rows in a forward pass."""
    micro_batch = str(values.get("trainer.micro_batch", "auto"))
    if micro_batch == "auto":
        return
    if not micro_batch.isdecimal() or not int(micro_batch):
        yield f"trainer.micro_batch={micro_batch}: must be auto, or a number of rows from 1 on"
    elif int(micro_batch) > values.get("trainer.batch_size", 1):
        yield "trainer.micro_batch: must not exceed trainer.batch_size"


TRAINING_CHECKS = (
    _check_optimizer,
    _check_adapter_start,
    _check_preferences,
    _check_teacher,
    _check_processes,
    _check_batches,
)
