"""Build the net to train from its settings: a base with an adapter (or trained whole), with the fused
operations in place.
"""

from collections.abc import Sequence

from architectures.models.fused_ops import fuse
from architectures.models.loading import BaseSettings, ClassifierHead, load_base, load_classifier
from architectures.models.lora import LoraSettings, attach_lora
from architectures.values import Net


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
    lora_variant: str = "lora",
    lora_layers: Sequence[str] = (),
    lora_init: str = "default",
) -> Net:
    """The net to train: a base with an adapter, or (``adapter='none'``) a base of which every parameter is
    trained.

    With ``head`` it is a classifier, whose head is trained in any case. The other arguments are the fields of
    the configuration group `model`; models of earlier versions lack the last three.
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
        matrices = (lora_r, lora_alpha, lora_dropout, lora_targets)
        net = attach_lora(net, LoraSettings(*matrices, lora_variant, lora_layers, lora_init), new)
    return fuse(net)
