"""From what a run leaves behind back to a model: a Trainer's checkpoint, or an exported folder with its run.json."""

import json
from pathlib import Path
from typing import Any

import torch

from architectures import adapters
from architectures.baselines import Baseline, load_baseline
from architectures.causal_lm import CausalLM
from architectures.checkpoint_io import read
from architectures.fine_tuning import FineTuned
from architectures.sequence_classifier import SequenceClassifier

RUN_FILE = "run.json"


def class_of(model: dict[str, Any]) -> type[FineTuned]:
    """Which model the settings are of: a classifier's have a head."""
    return SequenceClassifier if "head" in model else CausalLM


def export(module: FineTuned, folder: Path) -> None:
    """Write the adapter (or the whole model) with what it takes to use it: settings of model and data, in `run.json`.

    A whole language model is written in bfloat16, a whole classifier as it was trained.
    """
    folder.mkdir(parents=True, exist_ok=True)
    adapters.export(module.net, folder, torch.bfloat16 if isinstance(module, CausalLM) else torch.float32)
    record = {"model": module.model_settings, "optimization": module.optimization, "origin": module.origin}
    (folder / RUN_FILE).write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")


def load(path: Path) -> FineTuned | Baseline:
    """A checkpoint file, an exported folder or a baseline's folder -> the model, ready to answer.

    Raises ValueError if it is none of these.
    """
    if path.is_file():
        return load_checkpoint(path)
    if not (path / RUN_FILE).is_file():
        raise ValueError(f"ckpt={path} is no checkpoint file and no exported folder (there is no {path / RUN_FILE})")
    try:
        record = json.loads((path / RUN_FILE).read_text(encoding="utf-8"))
        settings = record["model"]
        if "method" in settings:
            return load_baseline(path, record)
        if settings["adapter"] == "none":
            settings = {**settings, "base": str(path), "init": "pretrained"}
        module = class_of(settings)(settings, record["optimization"], record["origin"])
    except (json.JSONDecodeError, KeyError) as error:
        raise ValueError(f"{path / RUN_FILE} is damaged ({error!r}): export the model again") from None
    module.configure_model()
    if adapters.has_adapter(module.net):
        adapters.load_exported(module.net, path)
    return module.eval()


def load_checkpoint(path: Path) -> FineTuned:
    """A Trainer's checkpoint -> the model. Only plain types and tensors are read from it."""
    content: dict[str, Any] = read(path)
    try:
        module = class_of(content["hyper_parameters"]["model"])(**content["hyper_parameters"])
    except (KeyError, TypeError) as error:
        raise ValueError(f"ckpt={path} is not a checkpoint of this project: {error!r:.200}") from None
    module.configure_model()
    restore(module, content)
    return module.eval()


def restore(module: FineTuned, content: dict[str, Any]) -> None:
    """Put a checkpoint's trained tensors into a built model."""
    module.check_fit(content)
    module.load_state_dict(content["state_dict"], strict=False)
