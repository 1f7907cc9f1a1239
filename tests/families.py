"""Tiny random causal LMs of the families that are fine-tuned today, built from transformers' own
configuration classes.

Widths and counts are small; kinds of layers, head sizes, caps, windows, sinks, routers and scales are those
of the family.
"""

from pathlib import Path
from typing import Any

WIDTHS: dict[str, Any] = {
    "hidden_size": 32,
    "num_hidden_layers": 4,
    "intermediate_size": 48,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "vocab_size": 128,
    "max_position_embeddings": 256,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
EXPERTS = {"num_experts": 4, "num_local_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 16}
LINEAR = {
    "linear_num_value_heads": 4,
    "linear_num_key_heads": 2,
    "linear_key_head_dim": 8,
    "linear_value_head_dim": 8,
}
MAMBA = {"mamba_n_heads": 8, "mamba_d_head": 8, "mamba_d_state": 8, "mamba_n_groups": 1}
LATENT = {
    "num_key_value_heads": 4,
    "kv_lora_rank": 16,
    "q_lora_rank": 16,
    "qk_rope_head_dim": 8,
    "qk_nope_head_dim": 8,
    "v_head_dim": 12,
    "n_routed_experts": 4,
    "n_group": 2,
    "topk_group": 1,
    "first_k_dense_replace": 1,
}
EYES = {
    "hidden_size": 16,
    "intermediate_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "head_dim": 8,
    "image_size": 28,
    "patch_size": 14,
}
GEMMA4 = {"hidden_size_per_layer_input": 8, "vocab_size_per_layer_input": 128, "global_head_dim": 8}
HYBRID = ["conv", "full_attention", "conv", "full_attention"]

# Families whose documents stand on end, and those whose layers see across them.
ON_END: dict[str, dict[str, Any]] = {
    "llama": {},
    "mistral": {"sliding_window": 7},
    "ministral3": {},
    "mistral3": {
        "text_config": WIDTHS | {"model_type": "mistral"},
        "vision_config": EYES | {"model_type": "pixtral"},
    },
    "qwen2": {},
    "qwen3": {},
    "qwen3_moe": EXPERTS,
    "gemma2": {"sliding_window": 7},
    "gemma3_text": {"sliding_window": 7},
    "gemma3": {"text_config": WIDTHS, "vision_config": EYES, "mm_tokens_per_image": 4},
    "gemma4_text": GEMMA4,
    "gemma4": {"text_config": WIDTHS | GEMMA4, "vision_config": EYES, "audio_config": None},
    "phi": {},
    "phi3": {},
    "smollm3": {},
    "olmo2": {},
    "granite": {"logits_scaling": 8.0},
    "cohere2": {"logit_scale": 0.25},
    "deepseek_v3": EXPERTS | LATENT,
}
SIDE_BY_SIDE: dict[str, dict[str, Any]] = {
    "lfm2": {"layer_types": HYBRID},
    "gpt_oss": EXPERTS,
    "qwen3_next": EXPERTS | LINEAR | {"shared_expert_intermediate_size": 16},
    "qwen3_5_text": LINEAR,
    "falcon_h1": MAMBA | {"mamba_d_ssm": 64, "mamba_chunk_size": 16, "lm_head_multiplier": 0.5},
    "bamba": MAMBA | {"attn_layer_indices": [1, 3]},
    "nemotron_h": {
        "hybrid_override_pattern": "M*M-",
        "mamba_num_heads": 8,
        "mamba_head_dim": 8,
        "n_groups": 1,
        "ssm_state_size": 8,
    },
    "bloom": {"n_layer": 2, "n_head": 4},
}
FAMILIES = ON_END | SIDE_BY_SIDE


def write_family(kind: str, folder: Path) -> str:
    """Save a tiny random model of the family; its folder."""
    import torch
    from transformers import AutoConfig

    from architectures.models.loading import causal_lm_class

    fields = FAMILIES[kind]
    config = AutoConfig.for_model(kind, **(fields if "text_config" in fields else WIDTHS | fields))
    torch.manual_seed(0)
    causal_lm_class(config).from_config(config, dtype=torch.float32).save_pretrained(folder)
    return str(folder)
