"""A loaded model -> what answers prompts with it: which back end, as tuned or as its untuned base; and the digest by which it is known."""

import gc
import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from architectures import adapters, checkpoints
from architectures.generation import Decoding, Transformers
from architectures.served import Endpoint, Vllm, vllm_at_hand

Encode = Callable[[str], list[int]]


def on_device(model: Any) -> Any:
    """A net on the GPU, if there is one; a baseline as it is."""
    return model.to("cuda" if torch.cuda.is_available() else "cpu") if isinstance(model, torch.nn.Module) else model


def exported_of(module: Any, path: Path, folder: Path) -> Path:
    """The model as an exported folder; a checkpoint's is written into ``folder``."""
    if path.is_dir():
        return path
    checkpoints.export(module, folder / "model")
    return folder / "model"


def model_digest(exported: Path) -> str:
    """Of an exported model: its weights and the settings that they are to be used with (16 hex digits)."""
    record = json.loads((exported / "run.json").read_text(encoding="utf-8"))
    whole = hashlib.sha256(json.dumps(record["model"], sort_keys=True).encode())
    for path in sorted(exported.glob("*.safetensors")):
        with path.open("rb") as file:
            whole.update(path.name.encode() + hashlib.file_digest(file, "sha256").digest())
    return whole.hexdigest()[:16]


def base_identity(module: Any) -> list[Any]:
    """What tells one base from another: files are known by name, size and time, as the weights may be many gigabytes."""
    base = module.model_settings["base"]
    files = [
        [path.name, path.stat().st_size, path.stat().st_mtime_ns] for path in sorted(Path(adapters.base_path(base)).glob("*.safetensors"))
    ]
    return [base, getattr(module.net.config, "_commit_hash", None), files, module.model_settings["quantization"]]


def backend_of(module: Any, decoding: Decoding, encode: Encode, settings: dict[str, Any], exported: Path, untuned: bool) -> tuple[Any, str]:
    """(back end that answers as the tuned model, or as its untuned base; why this one)

    An endpoint serves one model, so the untuned base is then asked in this process.

    Args:
        encode: text -> token ids, nothing added. settings: backend, served_model, concurrency, retries, vllm_python, tensor_parallel,
            batch_size. exported: the model's folder, as `architectures.checkpoints.export` wrote it.
    """
    name, why = settings["backend"], "as asked for"
    if name == "endpoint" and not untuned:
        asked = settings["served_model"], [model_digest(exported)], decoding, settings["concurrency"], settings["retries"]
        return Endpoint(*asked, encode), why
    if name == "auto":
        at_hand, why = vllm_at_hand(settings["vllm_python"], module.model_settings["quantization"])
        name = "vllm" if at_hand else "transformers"
    known = [*base_identity(module), "" if untuned else model_digest(exported)]
    if name == "vllm":
        model, adapter, dtype = for_vllm(module, exported)
        return Vllm(model, None if untuned else adapter, known, decoding, settings["vllm_python"], settings["tensor_parallel"], dtype), why
    return Transformers(module.net, known, untuned, decoding, settings["batch_size"]), why


def for_vllm(module: Any, exported: Path) -> tuple[str, Path | None, str]:
    """(the model that vLLM is to load, its adapter if it has one, the dtype); the GPU's memory is left to it."""
    module.to("cpu")
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    adapted = adapters.has_adapter(module.net)
    whole = module.model_settings["base"] if adapted else str(exported)
    return whole, exported if adapted else None, str(module.net.dtype).removeprefix("torch.")
