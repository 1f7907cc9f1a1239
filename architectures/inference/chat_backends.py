"""The back ends of a chat page: in this process, an endpoint, or a vLLM server that ends with this
process.
"""

import atexit
import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from architectures.inference.assistant import Assistant, ChatRenderer
from architectures.inference.backend import Decoding, StreamingBackend
from architectures.inference.endpoint_backend import EndpointBackend, EndpointSettings
from architectures.inference.selection import vllm_available, vllm_model
from architectures.inference.transformers_backend import TransformersBackend
from architectures.inference.vllm_server import VllmServer
from architectures.models import lora
from architectures.models.fine_tuned import FineTuned
from architectures.models.run_file import model_digest

log = logging.getLogger("strata")
RETRIES = 2  # of a request to an endpoint


@dataclass(frozen=True)
class ChatModel:
    """A loaded model with its exported folder, and its name on the page; ``untuned``: it answers as its
    base.
    """

    module: FineTuned
    exported: Path
    name: str
    untuned: bool = False


@dataclass(frozen=True)
class ChatSettings:
    """How a chat page's models answer: backend (auto, transformers, vllm, endpoint), interpreter with vLLM,
    name at the endpoint, folder for logs.
    """

    backend: str
    vllm_python: str
    served_model: str
    outputs: Path


def build_assistants(
    models: list[ChatModel], settings: ChatSettings, renderer: Callable[[FineTuned], ChatRenderer]
) -> list[Assistant]:
    """The assistants of some models, of which the first may be served elsewhere.

    Args:
        renderer: makes the renderer of a model.
    """
    kind, first = settings.backend, models[0]
    same_base = all(model.module is first.module for model in models)
    if kind == "auto":
        available, reason = vllm_available(settings.vllm_python, first.module.model_settings)
        kind = "vllm" if available and same_base else "transformers"
        log.info("answered by %s: %s", kind, reason)
    server = _start_server(first, settings) if kind == "vllm" else None
    assistants = []
    for model in models:
        render, longest = renderer(model.module), model.module.origin["max_new_tokens"]
        decoding, digest = Decoding(render.stop_ids, longest), model_digest(model.exported)
        backend: StreamingBackend = TransformersBackend(
            model.module.net, [digest], model.untuned, decoding, 1
        )
        endpoint: EndpointSettings | None = None
        if server:
            name = "tuned" if lora.has_adapter(model.module.net) and not model.untuned else "base"
            endpoint = EndpointSettings(name, 1, RETRIES, server.address, "none")
        elif kind == "endpoint" and not model.untuned:
            endpoint = EndpointSettings(settings.served_model, 1, RETRIES)
        if endpoint:
            backend = EndpointBackend(endpoint, [digest], decoding, render.encoded)
        length = int(model.module.net.config.max_position_embeddings)
        assistants.append(Assistant(model.name, digest, backend, render, length, longest))
    return assistants


def _start_server(model: ChatModel, settings: ChatSettings) -> VllmServer:
    """Serve the model, and its base, from a process of its own, which ends with this one."""
    log.info("starting vLLM; this takes a minute")
    served = vllm_model(model.module, model.exported)
    server = VllmServer(served, settings.vllm_python, settings.outputs / "vllm")
    atexit.register(server.close)
    return server
