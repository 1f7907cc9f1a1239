"""`model`: which model is trained, and how much of it. `prompting`: how model.method=prompted sends its
prompts.
"""

from dataclasses import dataclass

from config.schema.fields import setting

PROJECTIONS = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
ENCODER_LAYERS = ["query", "key", "value", "dense", "out_proj", "Wqkv", "Wi", "Wo"]
OTHER_LAYERS = ["qkv_proj", "gate_up_proj", "c_attn", "c_proj", "fc1", "fc2"]
DISTILBERT_LAYERS = ["q_lin", "k_lin", "v_lin", "out_lin", "lin1", "lin2"]
MIXER_LAYERS = [
    "in_proj",
    "w1",
    "w2",
    "w3",
    "in_proj_qkvz",
    "in_proj_ba",
    "in_proj_qkv",
    "in_proj_z",
    "kv_b_proj",
]
TARGETS = sorted(["auto", *PROJECTIONS, *MIXER_LAYERS, *ENCODER_LAYERS, *OTHER_LAYERS, *DISTILBERT_LAYERS])
METHODS = ["fine-tune", "random", "majority", "keywords", "tfidf", "embedding", "prompted"]
ATTENTIONS = ["auto", "eager", "sdpa", "flash_attention_2", "flex_attention"]


@dataclass
class ModelConfig:
    """Which model is trained, and how much of it."""

    name: str = setting("pocket", "label in tables and runs")
    method: str = setting("fine-tune", "fine-tune a model, or fit a baseline classifier", choices=METHODS)
    base: str = setting(
        "architectures/pocket",
        "base model: a folder, a Hub name, package:NAME/FOLDER inside an installed Python package, or a"
        " GGUF file: FILE.gguf, package:NAME/FILE.gguf, OWNER/NAME:FILE.gguf",
    )
    init: str = setting(
        "pretrained",
        "pretrained: load the base's weights; random: use its shapes only and draw the weights from the seed",
        choices=["pretrained", "random"],
    )
    parent: str = setting(
        "",
        "adapter to go on from, on other data: an exported folder such as RUN/model, an MLflow run, or"
        " models:/NAME@ALIAS; of the same base and shape",
    )
    adapter: str = setting(
        "lora", "lora: train an adapter; none: train every parameter", choices=["lora", "none"]
    )
    lora_r: int = setting(8, "rank of the adapter", at_least=1, at_most=1024)
    lora_alpha: int = setting(
        16, "scale of the adapter: its output is multiplied by alpha / r", at_least=1, at_most=4096
    )
    lora_dropout: float = setting(
        0.1, "share of the adapter's inputs dropped in training", at_least=0, below=1
    )
    lora_variant: str = setting(
        "lora",
        "lora; rslora: multiply the adapter's output by alpha / sqrt(r); dora: learn each output's magnitude"
        " apart from its direction, which takes more time and which vLLM serves only once it is merged",
        choices=["lora", "rslora", "dora"],
    )
    lora_init: str = setting(
        "default",
        "what the adapter begins with. default: A at random, B at zero; pissa, olora: a part of each weight,"
        " by SVD or by QR, exported as an adapter of twice the rank; eva: the directions in which the inputs"
        " of each layer vary most",
        choices=["default", "pissa", "olora", "eva"],
    )
    lora_targets: list[str] = setting(
        ["auto"],
        "names of the linear layers that get an adapter; [auto]: those of attention and MLP, whatever the"
        " family calls them",
        items=TARGETS,
        item="layer",
    )
    lora_layers: list[str] = setting(
        [], "numbers of the transformer blocks that get an adapter, from 0, as [0-7,15]; []: all"
    )
    quantization: str = setting(
        "none", "none; nf4: hold the frozen base in 4 bits (QLoRA)", choices=["none", "nf4"]
    )
    dtype: str = setting(
        "auto",
        "dtype of the frozen base; auto: bfloat16 for a large base, and for one that is stored in"
        " bfloat16 where"
        " the hardware multiplies bfloat16 faster",
        choices=["auto", "float32", "bfloat16"],
    )
    attention: str = setting(
        "auto",
        "auto: architectures/models/attention.py, and sdpa for classifiers; any other value: the"
        " implementation of"
        " transformers, which is slower here",
        choices=ATTENTIONS,
    )
    gradient_checkpointing: bool = setting(
        False, "recompute activations in the backward pass: less memory, about a third more time"
    )
    base_dropout: float | None = setting(
        None,
        "share dropped inside the base in training; null: as the base is configured",
        at_least=0,
        below=1,
    )
    pooling: str = setting(
        "native",
        "what a classifier's head reads. native: what transformers gives it; mean: the mean over all tokens",
        choices=["native", "mean"],
    )
    probe: bool = setting(
        False, "fit a classifier's head by logistic regression on the frozen base before fine-tuning"
    )
    head_dropout: float = setting(
        0.1, "share of a classifier head's inputs dropped in training", at_least=0, below=1
    )


@dataclass
class PromptingConfig:
    """model.method=prompted. The endpoint's address and key come from OPENAI_BASE_URL and OPENAI_API_KEY."""

    backend: str = setting(
        "local",
        (
            "local: model.base scores the likelihood of each label; endpoint: an OpenAI-compatible"
            " server answers"
        ),
        choices=["local", "endpoint"],
    )
    served_model: str = setting("", "backend endpoint: the name under which the server serves the model")
    shots: int = setting(0, "labelled examples in the prompt for each label", at_least=0, at_most=1000)
    choice: str = setting(
        "fixed",
        "fixed: the same seeded examples for every text; nearest: the most similar ones",
        choices=["fixed", "nearest"],
    )
    concurrency: int = setting(8, "backend endpoint: requests at once", at_least=1, at_most=1000)
    retries: int = setting(
        6, "backend endpoint: retries of a request, with exponential back-off", at_least=0, at_most=100
    )
    input_price: float = setting(0.0, "backend endpoint: price of a million input tokens", at_least=0)
    output_price: float = setting(0.0, "backend endpoint: price of a million output tokens", at_least=0)
