"""A run that goes on from the adapter of an earlier one, on other data."""

from dataclasses import dataclass
from pathlib import Path

from architectures.models import lora
from architectures.models.fine_tuned import FineTuned
from architectures.models.run_file import model_digest, read_record
from architectures.tracking.registry import locate
from architectures.values import Settings

# Settings of a net with an adapter, which must be those of its parent.
SHAPE = ("base", "adapter", "lora_r", "lora_alpha", "lora_variant", "lora_targets", "lora_layers")


@dataclass(frozen=True)
class Parent:
    """The adapter that a run goes on from. lineage: digests of it and of what it goes on from itself, the
    newest first. labels: of a classifier; None of another model.
    """

    folder: Path
    lineage: list[str]
    labels: list[str] | None

    @property
    def origin(self) -> Settings:
        """What a model keeps of its parents."""
        return {"parents": self.lineage}


def find_parent(model: Settings, outputs: Path) -> Parent | None:
    """The parent that the settings name; None if they name none. Raises ValueError if there is no such
    adapter, or one of another base or shape.

    Args:
        model: fields of the configuration group `model`. outputs: folder of the local tracking store.
    """
    name = model["parent"]
    if not name:
        return None
    folder = locate(name, outputs, "model.parent")
    if folder.is_file():
        raise ValueError(f"model.parent={name}: give an exported model, such as RUN/model, not a checkpoint")
    record = read_record(folder)
    there = record["model"]
    different = []
    for key in SHAPE:
        if there.get(key) != model[key]:
            different.append(f"model.{key}: {there.get(key)!r} there, {model[key]!r} here")
    if different or there.get("adapter") != "lora":
        lines = different or ["model.adapter: it is no adapter; set model.base to its folder instead"]
        raise ValueError(f"model.parent={name}: this run cannot go on from it:\n  " + "\n  ".join(lines))
    lineage = [model_digest(folder), *record["origin"].get("parents", [])]
    return Parent(folder, lineage, _labels_of(there))


def _labels_of(model: Settings) -> list[str] | None:
    """The labels of a classifier's settings; None of another model's."""
    return model["head"]["labels"] if model.get("head") else None


def load_parent(module: FineTuned, parent: Parent) -> None:
    """Give a module its parent's adapter. Raises ValueError if the labels of a classifier differ."""
    labels = _labels_of(module.model_settings)
    if labels != parent.labels:
        raise ValueError(f"model.parent: its labels are {parent.labels}, those of the data are {labels}")
    lora.load_adapter_weights(module.net, parent.folder)
