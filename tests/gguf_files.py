"""A tiny Llama as a GGUF file, written as llama.cpp's converter writes it: weights, byte-level tokenizer,
metadata.
"""

from pathlib import Path
from typing import Any

import numpy as np
import torch

CONTROL, NORMAL = 3, 1
TEMPLATE = "{% for m in messages %}<|s|>{{ m.role }}\n{{ m.content }}<|e|>{% endfor %}<|s|>assistant\n"
LAYER_NAMES = {
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
}
HEADS, KEY_HEADS, LAYERS = 4, 2, 2


def vocabulary() -> tuple[list[str], list[str]]:
    """(tokens, merges): control tokens, the 256 bytes, two spaces, and a number of two digits."""
    from transformers.convert_slow_tokenizer import bytes_to_unicode

    tokens = ["<|pad|>", "<|s|>", "<|e|>", *bytes_to_unicode().values(), "ĠĠ", "12", "he"]
    return tokens, ["Ġ Ġ", "1 2", "h e"]


def tiny_llama() -> Any:
    """A random Llama that the vocabulary fits."""
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(vocabulary()[0]),
        hidden_size=64,
        intermediate_size=96,
        num_hidden_layers=LAYERS,
        num_attention_heads=HEADS,
        num_key_value_heads=KEY_HEADS,
        tie_word_embeddings=False,
        max_position_embeddings=128,
    )
    return LlamaForCausalLM(config).eval()


def interleaved(weight: Any, heads: int) -> Any:
    """Rows of a projection in the order that GGUF's rotary embedding expects."""
    return weight.reshape(heads, 2, -1, weight.shape[1]).swapaxes(1, 2).reshape(weight.shape)


def write_gguf(net: Any, path: Path, kind: str = "F32", **metadata: Any) -> None:
    """Write the net with its tokenizer.

    Args:
        kind: how matrices are stored. metadata: pre (the splitting rule), add_bos.
    """
    from gguf import GGMLQuantizationType, GGUFWriter
    from gguf.quants import quantize

    writer, config = GGUFWriter(path, "llama"), net.config
    writer.add_name("Tiny Llama")
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(LAYERS)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(KEY_HEADS)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_dimension_count(config.head_dim)
    writer.add_vocab_size(config.vocab_size)
    tokens, merges = vocabulary()
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(metadata.get("pre", "smollm"))
    writer.add_token_list(tokens)
    writer.add_token_types([CONTROL] * 3 + [NORMAL] * (len(tokens) - 3))
    writer.add_token_merges(merges)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_pad_token_id(0)
    writer.add_add_bos_token(metadata.get("add_bos", False))
    writer.add_chat_template(TEMPLATE)
    stored = GGMLQuantizationType[kind]
    for name, weight in tensors(net).items():
        data = weight.astype(np.float32)
        if data.ndim == 1 or kind == "F32":
            writer.add_tensor(name, data)
        else:
            writer.add_tensor(name, quantize(data, stored), raw_dtype=stored)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def tensors(net: Any) -> dict[str, Any]:
    """The net's weights by their names in a GGUF file."""
    state = {name: tensor.numpy() for name, tensor in net.state_dict().items()}
    found = {
        "token_embd.weight": state["model.embed_tokens.weight"],
        "output_norm.weight": state["model.norm.weight"],
        "output.weight": state["lm_head.weight"],
    }
    heads = {"self_attn.q_proj": HEADS, "self_attn.k_proj": KEY_HEADS}
    for layer in range(LAYERS):
        for name, short in LAYER_NAMES.items():
            weight = state[f"model.layers.{layer}.{name}.weight"]
            found[f"blk.{layer}.{short}.weight"] = (
                interleaved(weight, heads[name]) if name in heads else weight
            )
    return found
