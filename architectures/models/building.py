"""Build the net to train from its settings: a base with an adapter (or trained whole), with the fused
operations in place.
"""

from torch import Tensor

from architectures.compatibility.transformers import attention_name
from architectures.models import attention, documents
from architectures.models.fused_ops import fuse
from architectures.models.loading import BaseSettings, ClassifierHead, load_base, load_classifier
from architectures.models.lora import LoraSettings, attach_lora, base_model
from architectures.models.types import Net, Settings


def build_net(
    *,
    base: str,
    init: str,
    adapter: str,
    lora_r: int,
    lora_alpha: int,
    lora_dropout: float,
    lora_targets: list[str],
    quantization: str,
    dtype: str,
    attention: str,
    gradient_checkpointing: bool,
    base_dropout: float | None,
    head: ClassifierHead | None = None,
) -> Net:
    """The net to train: a base with an adapter, or (``adapter='none'``) a base of which every parameter is
    trained.

    With ``head`` it is a classifier, whose head is trained in any case. The other arguments are the fields of
    the configuration group `model`.
    """
    frozen = adapter == "lora"
    settings = BaseSettings(base, init, dtype, quantization, attention, frozen, base_dropout)
    new: list[str] = []
    if head:
        net, new = load_classifier(settings, head)
    else:
        net = load_base(settings)
    if gradient_checkpointing:
        net.gradient_checkpointing_enable({"use_reentrant": False})
        net.enable_input_require_grads()
    if frozen:
        net = attach_lora(net, LoraSettings(lora_r, lora_alpha, lora_dropout, lora_targets), new)
    return fuse(net)


def hidden_states(net: Net, input_ids: Tensor, position_ids: Tensor, lengths: list[int]) -> Tensor:
    """A causal LM's last hidden states, of documents on end. input_ids, position_ids: (tokens,) -> (tokens,
    width)

    Args:
        lengths: of the documents; their positions start at 0. An attention other than 'auto' tells documents
        apart
            by their positions alone.
    """
    model = base_model(net)
    # a cache would mix documents
    inputs: Settings = {"input_ids": input_ids[None], "position_ids": position_ids[None], "use_cache": False}
    if attention_name(model.config) == attention.ATTENTION:
        inputs["documents"] = documents.Documents(lengths, input_ids.device)
    states: Tensor = model.base_model(**inputs).last_hidden_state
    return states[0]


def output_head(net: Net) -> tuple[Tensor, Tensor | None, float]:
    """(weight, bias, cap) of the layer that turns hidden states into logits; the cap is Gemma 2's, 0 if
    there is none.
    """
    model = base_model(net)
    head = model.get_output_embeddings()
    cap = getattr(model.config.get_text_config(), "final_logit_softcapping", None)
    return head.weight, head.bias, cap or 0.0
