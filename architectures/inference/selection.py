"""Choose the back end that answers with a loaded model, as tuned or as its untuned base."""

import gc
import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import torch

from architectures.inference.backend import Backend, Decoding
from architectures.inference.endpoint_backend import EndpointBackend, EndpointSettings
from architectures.inference.transformers_backend import TransformersBackend
from architectures.inference.vllm_backend import VllmBackend, VllmModel
from architectures.models import lora
from architectures.models.exported import base_identity
from architectures.models.fine_tuned import FineTuned
from architectures.models.run_file import model_digest
from architectures.values import Settings

Model = TypeVar("Model")


@dataclass(frozen=True)
class Prompting:
    """How a model's prompts are answered: greedy decoding, and how text becomes token ids (nothing added)."""

    decoding: Decoding
    encode: Callable[[str], list[int]]


def on_device(model: Model) -> Model:
    """A net on the GPU, if there is one; a baseline unchanged."""
    if isinstance(model, torch.nn.Module):
        model.to("cuda" if torch.cuda.is_available() else "cpu")
    return model


def select_backend(
    module: FineTuned, prompting: Prompting, settings: Settings, exported: Path, untuned: bool
) -> tuple[Backend, str]:
    """(back end that answers as the tuned model, or as its untuned base; the reason for the choice)

    An endpoint serves one model, so the untuned base answers in this process then.

    Args:
        settings: fields of the configuration group `evaluation`. exported: the model's folder.
    """
    name, reason = settings["backend"], "as set"
    decoding = prompting.decoding
    if name == "endpoint" and not untuned:
        endpoint = EndpointSettings(settings["served_model"], settings["concurrency"], settings["retries"])
        return EndpointBackend(endpoint, [model_digest(exported)], decoding, prompting.encode), reason
    if name == "auto":
        available, reason = vllm_available(settings["vllm_python"], module.model_settings)
        name = "vllm" if available else "transformers"
    identity = [*base_identity(module), "" if untuned else model_digest(exported)]
    if name == "vllm":
        model = vllm_model(module, exported)
        if untuned:
            model = model.without_adapter()
        python, gpus = settings["vllm_python"], settings["tensor_parallel"]
        return VllmBackend(model, identity, decoding, python, gpus), reason
    size = settings["batch_size"]
    return TransformersBackend(module.net, identity, untuned, decoding, size), reason


def vllm_model(module: FineTuned, exported: Path) -> VllmModel:
    """What vLLM loads; the GPU's memory is released for it. Raises ValueError for an adapter that vLLM does
    not serve.
    """
    if _is_dora(module.model_settings):
        raise ValueError(
            "backend=vllm: vLLM serves no DoRA adapter; set backend=transformers, or write export=merged and"
            " give ckpt= its folder"
        )
    module.to("cpu")
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    dtype = str(module.net.dtype).removeprefix("torch.")
    if lora.has_adapter(module.net):
        return VllmModel(module.model_settings["base"], exported, dtype)
    return VllmModel(str(exported), None, dtype)


def _is_dora(model: Settings) -> bool:
    """Whether settings of a model describe an adapter with a magnitude of its own."""
    return model["adapter"] == "lora" and model.get("lora_variant") == "dora"


def vllm_available(python: str, model: Settings) -> tuple[bool, str]:
    """(whether 'auto' chooses vLLM for a model of these settings, the reason)"""
    if model["quantization"] != "none":
        return False, "a base in 4 bits answers as it was trained"
    if _is_dora(model):
        return False, "vLLM serves no DoRA adapter"
    if not torch.cuda.is_available():
        return False, "there is no GPU"
    if not python and importlib.util.find_spec("vllm") is None:
        return False, "vLLM is not installed (requirements/gpu.txt)"
    return True, "there is a GPU, and vLLM"
