"""Write a fine-tuned model as an exported folder, and identify its base."""

from pathlib import Path

import torch

from architectures.compatibility.transformers import commit_hash
from architectures.models import bases, lora
from architectures.models.adapter_start import settings_of_saved
from architectures.models.causal_lm import CausalLM
from architectures.models.fine_tuned import FineTuned
from architectures.models.run_file import write_record
from architectures.values import Identity


def export(module: FineTuned, folder: Path) -> None:
    """Write the adapter (or the whole model) with what it takes to use it: settings of model and data, in
    `run.json`.

    A whole language model is written in bfloat16, a whole classifier as it was trained.
    """
    folder.mkdir(parents=True, exist_ok=True)
    dtype = torch.bfloat16 if isinstance(module, CausalLM) else torch.float32
    lora.save_net(module.net, folder, dtype)
    settings = settings_of_saved(module.model_settings)
    record = {"model": settings, "optimization": module.optimization, "origin": module.origin}
    write_record(folder, record)


def exported_folder(module: FineTuned, path: Path, folder: Path) -> Path:
    """The model at ``path`` as an exported folder; a checkpoint's is written into ``folder``."""
    if path.is_dir():
        return path
    export(module, folder / "model")
    return folder / "model"


def base_identity(module: FineTuned) -> Identity:  # plain values that JSON can write
    """What identifies a base. Its files count by name, size and time, since the weights may be many
    gigabytes.
    """
    base = module.model_settings["base"]
    paths = sorted(Path(bases.resolve_base(base)).glob("*.safetensors"))
    files = [[path.name, path.stat().st_size, path.stat().st_mtime_ns] for path in paths]
    return [base, commit_hash(module.net.config), files, module.model_settings["quantization"]]
