"""From what a run leaves behind back to a model: a Trainer's checkpoint, or an exported folder with its run.json."""

import json
from pathlib import Path
from typing import Any

import torch

from architectures import adapters
from architectures.causal_lm import CausalLM

RUN_FILE = "run.json"


def export(module: CausalLM, folder: Path) -> None:
    """Write the adapter (or the whole model) with what it takes to use it: settings of model and data, in `run.json`."""
    folder.mkdir(parents=True, exist_ok=True)
    adapters.export(module.net, folder)
    record = {"model": module.model_settings, "optimization": module.optimization, "origin": module.origin}
    (folder / RUN_FILE).write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")


def load(path: Path) -> CausalLM:
    """A checkpoint file or an exported folder -> the model, ready to answer. Raises ValueError if it is neither."""
    if path.is_file():
        return load_checkpoint(path)
    if not (path / RUN_FILE).is_file():
        raise ValueError(f"ckpt={path} is no checkpoint file and no exported folder (there is no {path / RUN_FILE})")
    try:
        record = json.loads((path / RUN_FILE).read_text(encoding="utf-8"))
        settings = record["model"]
        if settings["adapter"] == "none":
            settings = {**settings, "base": str(path), "init": "pretrained"}
        module = CausalLM(settings, record["optimization"], record["origin"])
    except (json.JSONDecodeError, KeyError) as error:
        raise ValueError(f"{path / RUN_FILE} is damaged ({error!r}): export the model again") from None
    module.configure_model()
    if adapters.has_adapter(module.net):
        adapters.load_exported(module.net, path)
    return module.eval()


def load_checkpoint(path: Path) -> CausalLM:
    """A Trainer's checkpoint -> the model. Only plain types and tensors are read from it."""
    try:
        content: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        module = CausalLM(**content["hyper_parameters"])
    except Exception as error:  # noqa: BLE001 - a damaged file fails in as many ways as there are bytes
        raise ValueError(f"ckpt={path} is not a checkpoint of this project, or is damaged: {error!r:.200}") from None
    module.configure_model()
    restore(module, content)
    return module.eval()


def restore(module: CausalLM, content: dict[str, Any]) -> None:
    """Put a checkpoint's trained tensors into a built model."""
    module.on_load_checkpoint(content)
    module.load_state_dict(content["state_dict"], strict=False)
