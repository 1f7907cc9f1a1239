"""How the documents of a batch stand in a causal LM's input, and its last hidden states for them.

    on end          [ a a a a b b c c c c c ]     no padding; every layer has to keep documents apart
    side by side    [ a a a a - ]                 padded on the right, where no causal layer looks
                    [ b b - - - ]
                    [ c c c c c ]

Some layers (convolutions, linear attention, state-space layers) see across documents on end. Whether a net
has such layers is found by trying it with its own weights; then its documents stand side by side.
"""

import logging

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.rnn import pad_sequence

from architectures.compatibility.transformers import attention_name
from architectures.models import attention
from architectures.models.documents import Documents
from architectures.models.fused_ops import matmul_dtype
from architectures.models.lora import base_model, language_tower
from architectures.values import Net, Settings

log = logging.getLogger(__name__)

TOLERANCE = {torch.float32: 1e-5}  # of hidden states that should be equal, over the largest of them
COARSE_TOLERANCE = 1e-2  # in 16 bits
PROBE_LENGTHS = (9, 6)
SIZES_AN_OCTAVE = 16  # numbers of tokens between n and 2n that are computed on a CPU
FEWEST_FILLED = 1_536  # tokens
LAYER_TYPES = ("layer_types", "layers_block_type")  # what configurations call the kinds of their layers
ATTENTION_LAYERS = {"full_attention", "sliding_attention", "chunked_attention", "attention"}
LOGIT_FACTORS = {"logit_scale": 1, "lm_head_multiplier": 1, "logits_scaling": -1}  # exponents by field


def hidden_states(net: Net, input_ids: Tensor, lengths: list[int], on_end: bool) -> Tensor:
    """Last hidden states of documents. input_ids: (tokens,) -> (tokens, width)

    Args:
        lengths: of the documents, in the order in which they follow one another in ``input_ids``.
    """
    if on_end:
        return states_on_end(net, input_ids, lengths)
    rows = pad_sequence(list(input_ids.split(lengths)), batch_first=True)
    states: Tensor = language_tower(base_model(net))(input_ids=rows, use_cache=False).last_hidden_state
    return torch.cat([row[:length] for row, length in zip(states, lengths, strict=True)])


def states_on_end(net: Net, input_ids: Tensor, lengths: list[int]) -> Tensor:
    """Last hidden states of documents on end. input_ids: (tokens,) -> (tokens, width)

    Positions start at 0 in each document. An attention other than 'auto' tells documents apart by them
    alone; other layers may use ``seq_idx`` or ``cu_seq_lens_q``, where their kernels support it.
    """
    device, count = input_ids.device, len(input_ids)
    if device.type == "cpu" and (filler := filler_length(count)):
        input_ids, lengths = functional.pad(input_ids, (0, filler)), [*lengths, *[1] * filler]
    positions = torch.cat([torch.arange(length, device=device) for length in lengths])
    # a cache would mix documents
    inputs: Settings = {"input_ids": input_ids[None], "position_ids": positions[None], "use_cache": False}
    if attention_name(base_model(net).config) == attention.ATTENTION:
        inputs["documents"] = documents = Documents(lengths, device)
        if _has_other_layers(net):
            starts = torch.tensor([0, *lengths], device=device).cumsum(0, dtype=torch.int32)
            inputs |= {"seq_idx": documents.numbers[None].int(), "cu_seq_lens_q": starts}
    states: Tensor = language_tower(base_model(net))(**inputs).last_hidden_state
    return states[0, :count]


def filler_length(tokens: int) -> int:
    """How many documents of one token fill up ``tokens`` to one of few sizes, at most a sixteenth more.

    A CPU's allocator finds room for tensors of sizes that it has freed before. With as many sizes as there
    are batches, its memory breaks into ever smaller pieces, and a step takes longer and longer. Small batches
    are left as they are.
    """
    if tokens < FEWEST_FILLED:
        return 0
    return -tokens % (2 ** (tokens.bit_length() - 1) // SIZES_AN_OCTAVE)


def _has_other_layers(net: Net) -> bool:
    """Whether some layers mix tokens by other means than attention."""
    return not ATTENTION_LAYERS.issuperset(layer_types(net))


def layer_types(net: Net) -> list[str]:
    """The kinds of layers that the net's configuration lists; empty if it lists none."""
    config = base_model(net).config.get_text_config()
    for name in LAYER_TYPES:
        if listed := getattr(config, name, None):
            return sorted(set(listed))
    return []


@torch.no_grad()
def keeps_documents_apart(net: Net) -> bool:
    """Whether documents on end have the hidden states that each has alone; found with the net's own weights.

    The second of two documents must not change with the first, and must equal itself alone.
    """
    was_training = net.training
    net.eval()
    device = net.get_input_embeddings().weight.device
    first, second = PROBE_LENGTHS
    ids = torch.arange(3, 3 + first + second, device=device)
    other = torch.cat([ids[:first].flip(0), ids[first:]])
    try:
        states, changed = (states_on_end(net, row, [first, second])[first:] for row in (ids, other))
        alone = hidden_states(net, ids[first:], [second], on_end=False)
    finally:
        net.train(was_training)
    difference = max((states - changed).abs().max(), (states - alone).abs().max())
    tolerance = TOLERANCE.get(matmul_dtype(states), COARSE_TOLERANCE)
    apart = bool(difference <= tolerance * alone.abs().max())
    if not apart:
        kinds = ", ".join(layer_types(net)) or type(base_model(net)).__name__
        log.warning(
            "the layers of this model (%s) see across documents on end: the rows of a batch stand side by"
            " side, padded to the longest, which takes longer",
            kinds,
        )
    return apart


def output_head(net: Net) -> tuple[Tensor, Tensor | None, float, float]:
    """(weight, bias, cap, factor) of the layer that turns hidden states into logits.

    The cap is Gemma 2's, 0 if there is none. Logits are multiplied by the factor (Granite, Cohere, Falcon
    H1).
    """
    model = base_model(net)
    head: nn.Linear = model.get_output_embeddings()
    text = model.config.get_text_config()
    cap = getattr(text, "final_logit_softcapping", None)
    factor = 1.0
    for name, exponent in LOGIT_FACTORS.items():
        factor *= float(getattr(text, name, None) or 1) ** exponent
    return head.weight, head.bias, cap or 0.0, factor
