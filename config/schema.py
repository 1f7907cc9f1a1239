"""Every field of a run in one place: name, default, unit, one line of doc, and the check that it must pass.

YAML groups and the command line state only differences. `problems_of` finds all that is wrong with a configuration at once:
unknown keys (also appended ones) with the nearest valid name, wrong types, values out of range.
"""

import difflib
import re
from collections.abc import Iterator
from dataclasses import dataclass, field, is_dataclass
from typing import Any, get_type_hints

from omegaconf import MISSING, DictConfig, OmegaConf
from omegaconf.errors import MissingMandatoryValue, OmegaConfBaseException

PROJECTIONS = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
KNOWN_TARGETS = {*PROJECTIONS, "qkv_proj", "gate_up_proj", "query", "key", "value", "dense", "out_proj", "c_attn", "c_proj"}
KNOWN_TARGETS |= {"fc1", "fc2", "Wqkv", "Wi", "Wo", "q_lin", "k_lin", "v_lin", "out_lin", "lin1", "lin2"}
COLUMNS = ["id", "name", "category", "description", "specifications", "image", "brand", "rating"]
CLEANING = ["lowercase", "links", "symbols", "stop_words"]
MONITORS = ["loss", "accuracy", "f1", "macro_f1", "micro_f1", "weighted_f1", "macro_f1_with_none", "micro_f1_with_none"]
FILTERS = ["length", "script", "repetition", "exact", "near", "overlap", "words"]
SCRIPTS = [
    "Latin",
    "Greek",
    "Cyrillic",
    "Arabic",
    "Hebrew",
    "Devanagari",
    "Bengali",
    "Tamil",
    "Telugu",
    "Thai",
    "Han",
    "Hiragana",
    "Hangul",
]
BASELINES = ["same-product", "exact", "tfidf", "nearest-answer", "untuned", "untuned-row", "untuned-shots"]
SHORTEST_SEQUENCE = 64
ALIASES = {"rank": "model.lora_r", "alpha": "model.lora_alpha", "dropout": "model.lora_dropout", "lr": "trainer.learning_rate"}
ALIASES |= {"max_length": "data.max_seq_length", "num_epochs": "trainer.epochs", "clip": "trainer.max_grad_norm"}


@dataclass
class ModelConfig:
    """Which model is trained, and how much of it."""

    name: str = "pocket"  # label in tables and runs
    method: str = "fine-tune"  # fine-tune; or a baseline: random, majority, keywords, tfidf, embedding, prompted
    base: str = "architectures/pocket"  # folder or Hub name of the base model, or package:NAME/FOLDER of an installed Python package
    init: str = "pretrained"  # pretrained: its weights; random: its shapes only, weights drawn from the seed
    adapter: str = "lora"  # lora: train an adapter; none: train every parameter
    lora_r: int = 8  # rank of the adapter
    lora_alpha: int = 16  # scale: the adapter's output is multiplied by alpha / r
    lora_dropout: float = 0.1  # share of the adapter's inputs dropped in training
    lora_targets: list[str] = field(default_factory=lambda: list(PROJECTIONS))  # names of the linear layers to adapt
    quantization: str = "none"  # none; nf4: the frozen base in 4 bits, which makes LoRA QLoRA
    dtype: str = "auto"  # of the frozen base: float32, bfloat16; auto: bfloat16 if it is big, or stored so and the hardware gains by it
    attention: str = "auto"  # auto: architectures/attention.py, sdpa for classifiers; eager, sdpa, ...: transformers' own, slower here
    gradient_checkpointing: bool = False  # recompute activations in the backward pass: less memory, a third more time
    base_dropout: float | None = None  # share dropped inside the base in training; null: as the base has it
    pooling: str = "native"  # what a classifier's head reads: native, as transformers has it for the model; mean, of all tokens
    probe: bool = False  # fit a classifier's head alone first, by logistic regression on the frozen base, then fine-tune
    head_dropout: float = 0.1  # share of what reaches a classifier's head dropped in training


@dataclass
class QuestionsConfig:
    """Who writes the questions about single products. The endpoint's address and key come from OPENAI_BASE_URL and OPENAI_API_KEY."""

    source: str = "templates"  # templates; endpoint: a language model behind an OpenAI-compatible server, from each product's row
    served_model: str = ""  # the name under which the server has it
    per_product: int = 4  # questions that are asked for, a product
    system_prompt: str = ""  # file with the instruction, {count} in it for the number; empty: as in data/asked.py
    temperature: float = 0.7  # of the answers
    max_tokens: int = 1024  # of an answer
    structured: bool = True  # ask for answers by a JSON schema; a server that knows none is asked without
    concurrency: int = 8  # requests at once
    retries: int = 6  # further tries of a request, with exponential back-off
    timeout: float = 60.0  # seconds a try
    per_minute: int = 0  # most requests a minute; 0: any
    max_requests: int = 0  # budget; what is left unasked has no written questions; 0: none
    max_tokens_in_all: int = 0  # budget of tokens read and written; 0: none


@dataclass
class ImagesConfig:
    """stage=images: pictures of products, from the addresses in the catalogue."""

    per_product: int = 7  # addresses a product
    target: str = ""  # folder, or s3://, gs://, abfs:// (with the fsspec package for it); empty: outputs/images
    concurrency: int = 32  # requests at once
    per_host: int = 16  # of one server
    retries: int = 3  # further tries of what may pass, with exponential back-off
    timeout: float = 20.0  # seconds without an answer
    largest: int = 10_000_000  # bytes of a file
    private: bool = False  # whether addresses of private networks and of this machine may be asked


@dataclass
class QualityConfig:
    """Which training rows are worth it; validation and test rows always stay."""

    filters: list[str] = field(default_factory=list)  # in this order: length, script, repetition, exact, near, overlap, words; empty: none
    shortest: int = 20  # filter length: characters of a row, question and answer together
    longest: int = 20_000  # the same
    script: str = "Latin"  # filter script: as Unicode calls it
    script_share: float = 0.8  # filter script: least share of the letters
    repeated: float = 0.3  # filter repetition: most runs of four words that stood in the row before, as a share
    alike: float = 0.8  # filter near: runs of three words that two rows share (Jaccard), from which on they are twins
    overlap: int = 13  # filter overlap: words in a row that a test row may not share
    words: str = ""  # filter words: file with what may not occur, a word (or several) a line


@dataclass
class DataConfig:
    """Which table is learnt, and how it becomes prompts."""

    name: str = "sample"  # label in tables and runs
    task: str = "retail"  # retail: questions about a catalogue; labels: classify texts; instructions: conversations; pocket: for the base
    path: str = MISSING  # .csv, .csv.gz, .parquet or .jsonl; for task labels also a folder of them, or hub:OWNER/NAME/FOLDER
    version: str = ""  # task retail: digest of prepared data, or an MLflow run that used it; instead of making it from data.path
    against: str = ""  # stage inspect: another version, to say what changed from it to data.version
    engine: str = "local"  # task retail: what prepares the table's parts: local, one after the other; ray: a Ray cluster, many at once
    ray_address: str = ""  # of the cluster, as in ray.init; it must see the folder outputs; empty: one on this machine
    shard: str = ""  # 3/8: begin with the third of eight shares, others being done elsewhere; for stage=prepare and stage=images
    columns: dict[str, str] = field(
        default_factory=lambda: dict.fromkeys(COLUMNS, "")
    )  # what is read -> the table's own name for it; empty: not there
    attributes: list[str] = field(default_factory=list)  # columns that hold one attribute each, beside or instead of specifications
    root: str = ""  # first-level category to keep; empty: all
    departments: list[str] = field(default_factory=list)  # second-level categories to keep; empty: all
    min_rows: int = 10  # least rows that a third- and a fourth-level category must have among all rows kept so far
    drop_missing_levels: bool = False  # drop rows that have no third or fourth level (false: a missing level is a value)
    questions: QuestionsConfig = field(default_factory=QuestionsConfig)
    quality: QualityConfig = field(default_factory=QualityConfig)
    images: ImagesConfig = field(default_factory=ImagesConfig)
    attribute_questions: int = 3  # questions about single attributes, a product
    max_details: int = 8  # lines in an answer's Product Details
    suggestions: int = 3  # products that a shelf puts forward as alternative or outfit
    unseen: float = 0.05  # share of the products that never occur in training
    validation: float = 0.1  # share of the rows (questions about the other products; labelled texts)
    test: float = 0.1  # share of the rows
    limit: int = 0  # for debugging: products to use; labelled texts a split, as many of each label; 0: all
    mixture: dict[str, float] = field(default_factory=dict)  # task instructions: further paths -> how often their rows are seen an epoch
    max_seq_length: int = 512  # tokens of a row (prompt and answer together); longer ones are cut off, and counted
    text_columns: list[str] = field(default_factory=lambda: ["text"])  # task labels: what is read, joined by a space
    label_column: str = "label"  # task labels: names, or places in label_names
    label_names: list[str] = field(default_factory=list)  # task labels, in order, of two the positive one last; empty: as in the table
    label_kind: str = "single"  # single: one label a text; multiple: a list, or text with ';'; any: two labels, no (there is none) and yes
    clean: list[str] = field(default_factory=list)  # task labels: lowercase, links, symbols, stop_words (taken out)
    split_by: str = ""  # task labels: SQL expression over the columns, file and line: train, validation or test, if the file's name is none
    folds: int = 0  # task labels: cross-validation, in which the fold of number data.fold is the test split; 0: none
    fold: int = 0  # which
    truncate: str = "end"  # task labels: where texts that are too long are cut: end, middle
    texts: int = 180_000  # task pocket: texts to draw
    vocabulary: int = 4096  # task pocket: tokens in the tokenizer


@dataclass
class TrainerConfig:
    """How it is trained, and on what."""

    accelerator: str = "auto"  # auto, cpu, gpu
    strategy: str = "auto"  # of several processes: ddp, each holds the whole net; fsdp, each holds a shard of it; auto: ddp
    devices: int = 0  # processes on each machine; 0: one a GPU, and one where there is none
    nodes: int = 1  # machines
    shards: int = 0  # strategy fsdp: processes that hold the net together, groups of them hold copies; 0: all
    precision: str = "auto"  # 32-true, bf16-mixed; auto: bf16-mixed where the hardware multiplies bf16 faster, for that size
    threads: int = 0  # CPU threads; 0: all cores
    epochs: int = 1  # passes over the training rows
    max_steps: int = 0  # most optimiser steps; 0: as many as the epochs take
    batch_size: int = 16  # rows an optimiser step
    micro_batch: str = "auto"  # rows a forward pass: fewer take less memory, the steps stay the same; auto: what memory is sure to hold
    learning_rate: float = 2e-4  # peak, after warm-up
    weight_decay: float = 0.001  # of AdamW, on matrices
    beta2: float = 0.999  # of AdamW
    schedule: str = "cosine"  # of the learning rate after its warm-up: cosine, linear, constant; plateau: no warm-up, lower when it stalls
    warmup_ratio: float = 0.03  # share of the steps in which the learning rate rises
    plateau_factor: float = 0.5  # schedule plateau: what the learning rate is multiplied by
    plateau_patience: int = 1  # schedule plateau: validations without a better trainer.monitor before it is lowered
    max_grad_norm: float = 0.3  # gradients are clipped to this norm
    validate_every: int = 0  # optimiser steps between validations, evened out over the run; 0: once an epoch
    monitor: str = "loss"  # validation metric that chooses the best checkpoint, stops early, and heads the table; f1: of the last of two
    patience: int = 3  # validations without a better trainer.monitor before training stops; 0: never stop early
    min_delta: float = 0.0  # what counts as better
    max_hours: float = 0.0  # hours of training at most; 0: no limit
    class_weights: bool = False  # task labels: multiply each label's loss so that rare ones count as much as frequent ones
    log_every: int = 10  # optimiser steps between logged metrics
    checkpoint_every: int = 200  # optimiser steps between checkpoints to resume from, beside those at epoch ends; 0: not by steps
    checkpoint_minutes: float = 10.0  # minutes between them; 0: not by time
    keep_checkpoints: int = 2  # newest ones that stay, beside the best
    skip_steps: int = 3  # steps in a row whose gradients may be not finite: they are skipped; then the run goes back a checkpoint, once
    prune: bool = False  # stop a job of a sweep whose validation is worse than half of the other jobs' at the same step


@dataclass
class EvaluationConfig:
    """How predictions are made and scored after training."""

    batch_size: int = 64  # prompts a forward pass
    questions: int = 0  # questions of each split to answer, spread evenly; 0: all
    backend: str = "auto"  # transformers, vllm (a process of its own), endpoint (OPENAI_BASE_URL); auto: vllm where there is a GPU and it
    vllm_python: str = ""  # backend vllm: interpreter that has it, if this one has not
    tensor_parallel: int = 1  # backend vllm: GPUs that share the weights
    served_model: str = ""  # backend endpoint: the name under which it serves the model
    concurrency: int = 8  # backend endpoint: requests at once
    retries: int = 6  # backend endpoint: further tries of a request, with exponential back-off
    baselines: list[str] = field(default_factory=lambda: list(BASELINES))  # what stands beside the model in its table
    shots: int = 4  # baseline untuned-shots: training questions in its prompt
    slices: dict[str, str] = field(
        default_factory=dict
    )  # task labels: name -> SQL condition over text, words, labels and the table's columns
    checks: str = ""  # task labels: file of behavioural checks (data/checks/); empty: none


@dataclass
class PromptingConfig:
    """How method prompted asks. The endpoint's address and key come from OPENAI_BASE_URL and OPENAI_API_KEY."""

    backend: str = "local"  # local: model.base scores each label's likelihood; endpoint: an OpenAI-compatible server answers
    served_model: str = ""  # backend endpoint: the name under which it serves the model
    shots: int = 0  # labelled examples in the prompt, a label
    choice: str = "fixed"  # which examples: fixed, the same drawn ones for every text; nearest, the most similar ones
    concurrency: int = 8  # backend endpoint: requests at once
    retries: int = 6  # backend endpoint: further tries of a request, with exponential back-off
    input_price: float = 0.0  # backend endpoint: of a million tokens read
    output_price: float = 0.0  # backend endpoint: of a million tokens written


@dataclass
class TrackingConfig:
    """Where runs are recorded beside their own folder."""

    uri: str = ""  # MLflow tracking server; empty: MLFLOW_TRACKING_URI, else SQLite in outputs/
    experiment: str = "strata"  # MLflow experiment
    system_metrics: bool = True  # log CPU, memory and GPU use


@dataclass
class TrainConfig:
    """A whole run."""

    experiment: str = "none"  # label of the row in the hyper-parameter table
    # inspect: look at data.path; prepare: data only; images: the products' pictures; show: one example as the model sees it;
    # plan: what training takes; fit: train; all: evaluate, too
    stage: str = "all"
    seed: int = 42  # of everything random
    resume: str = "never"  # never: a new run; auto: the newest unfinished run of this same configuration; or a run's folder
    outputs: str = "outputs"  # folder for caches, runs and the tracking database
    model: ModelConfig = field(default_factory=ModelConfig)
    data: DataConfig = field(default_factory=DataConfig)
    trainer: TrainerConfig = field(default_factory=TrainerConfig)
    evaluation: EvaluationConfig = field(default_factory=EvaluationConfig)
    prompting: PromptingConfig = field(default_factory=PromptingConfig)
    tracking: TrackingConfig = field(default_factory=TrackingConfig)


CHOICES = {
    "stage": ["inspect", "prepare", "images", "show", "plan", "fit", "all"],
    "model.method": ["fine-tune", "random", "majority", "keywords", "tfidf", "embedding", "prompted"],
    "model.init": ["pretrained", "random"],
    "model.adapter": ["lora", "none"],
    "model.quantization": ["none", "nf4"],
    "model.pooling": ["native", "mean"],
    "model.dtype": ["auto", "float32", "bfloat16"],
    "model.attention": ["auto", "eager", "sdpa", "flash_attention_2", "flex_attention"],
    "data.task": ["retail", "labels", "instructions", "pocket"],
    "data.quality.script": SCRIPTS,
    "data.engine": ["local", "ray"],
    "data.questions.source": ["templates", "endpoint"],
    "data.label_kind": ["single", "multiple", "any"],
    "data.truncate": ["end", "middle"],
    "trainer.schedule": ["cosine", "linear", "constant", "plateau"],
    "trainer.monitor": MONITORS,
    "evaluation.backend": ["auto", "transformers", "vllm", "endpoint"],
    "prompting.backend": ["local", "endpoint"],
    "prompting.choice": ["fixed", "nearest"],
    "trainer.accelerator": ["auto", "cpu", "gpu"],
    "trainer.strategy": ["auto", "ddp", "fsdp"],
    "trainer.precision": ["auto", "32-true", "bf16-mixed"],
}
# key -> (lowest, highest, whether the highest itself is allowed)
RANGES: dict[str, tuple[float, float, bool]] = {
    "model.lora_r": (1, 1024, True),
    "model.lora_alpha": (1, 4096, True),
    "model.lora_dropout": (0, 1, False),
    "model.base_dropout": (0, 1, False),
    "model.head_dropout": (0, 1, False),
    "data.min_rows": (0, float("inf"), True),
    "data.attribute_questions": (0, 100, True),
    "data.questions.per_product": (1, 100, True),
    "data.images.per_product": (1, 1000, True),
    "data.images.concurrency": (1, 1000, True),
    "data.images.per_host": (1, 1000, True),
    "data.images.retries": (0, 100, True),
    "data.images.timeout": (0.1, 3600, True),
    "data.images.largest": (1, float("inf"), True),
    "data.quality.shortest": (0, float("inf"), True),
    "data.quality.longest": (1, float("inf"), True),
    "data.quality.script_share": (0, 1, True),
    "data.quality.repeated": (0, 1, True),
    "data.quality.alike": (0.05, 1, True),
    "data.quality.overlap": (1, 1000, True),
    "data.questions.temperature": (0, 2, True),
    "data.questions.max_tokens": (16, 1_000_000, True),
    "data.questions.concurrency": (1, 1000, True),
    "data.questions.retries": (0, 100, True),
    "data.questions.timeout": (0.1, 86_400, True),
    "data.questions.per_minute": (0, float("inf"), True),
    "data.questions.max_requests": (0, float("inf"), True),
    "data.questions.max_tokens_in_all": (0, float("inf"), True),
    "data.max_details": (1, 1000, True),
    "data.suggestions": (1, 1000, True),
    "data.unseen": (0, 0.5, True),
    "data.validation": (0, 0.5, True),
    "data.test": (0, 0.5, True),
    "data.limit": (0, float("inf"), True),
    "data.max_seq_length": (SHORTEST_SEQUENCE, 1_000_000, True),
    "data.folds": (0, 100, True),
    "data.fold": (0, 100, True),
    "data.texts": (100, float("inf"), True),
    "data.vocabulary": (300, 1_000_000, True),
    "trainer.threads": (0, 1024, True),
    "trainer.epochs": (1, 10_000, True),
    "trainer.max_steps": (0, float("inf"), True),
    "trainer.batch_size": (1, 1_000_000, True),
    "trainer.learning_rate": (0, 1, False),
    "trainer.weight_decay": (0, 1, True),
    "trainer.beta2": (0, 1, False),
    "trainer.warmup_ratio": (0, 1, False),
    "trainer.max_grad_norm": (0, float("inf"), True),
    "trainer.validate_every": (0, float("inf"), True),
    "trainer.patience": (0, float("inf"), True),
    "trainer.plateau_factor": (0, 1, False),
    "trainer.plateau_patience": (0, float("inf"), True),
    "trainer.min_delta": (0, float("inf"), True),
    "trainer.max_hours": (0, float("inf"), True),
    "trainer.log_every": (1, float("inf"), True),
    "trainer.devices": (0, 1024, True),
    "trainer.nodes": (1, 10_000, True),
    "trainer.shards": (0, 1_000_000, True),
    "trainer.checkpoint_every": (0, float("inf"), True),
    "trainer.checkpoint_minutes": (0, float("inf"), True),
    "trainer.keep_checkpoints": (1, float("inf"), True),
    "trainer.skip_steps": (0, float("inf"), True),
    "evaluation.batch_size": (1, 100_000, True),
    "evaluation.questions": (0, float("inf"), True),
    "evaluation.tensor_parallel": (1, 1024, True),
    "evaluation.concurrency": (1, 1000, True),
    "evaluation.retries": (0, 100, True),
    "evaluation.shots": (1, 100, True),
    "prompting.shots": (0, 1000, True),
    "prompting.concurrency": (1, 1000, True),
    "prompting.retries": (0, 100, True),
    "prompting.input_price": (0, float("inf"), True),
    "prompting.output_price": (0, float("inf"), True),
}
HINTS = {
    "trainer.learning_rate": "2e-4 is usual for LoRA; the published table's 2.00E+04 is a misprint of it",
    "data.max_seq_length": "a prompt alone takes about 50 tokens, and an answer must fit after it",
}


def all_keys(cls: Any, prefix: str = "") -> Iterator[str]:
    """Every dotted key that the schema knows, groups among them."""
    for name, kind in get_type_hints(cls).items():
        yield prefix + name
        if is_dataclass(kind):
            yield from all_keys(kind, f"{prefix}{name}.")


KEYS = tuple(all_keys(TrainConfig))


def unknown(key: str) -> str:
    """The message for a key that the schema does not know, with the nearest one that it does."""
    leaf = key.rsplit(".", 1)[-1]
    near = difflib.get_close_matches(key, KEYS, 1, 0.6)
    same_leaf = difflib.get_close_matches(leaf, [k.rsplit(".", 1)[-1] for k in KEYS], 1, 0.6)
    alias = difflib.get_close_matches(leaf, ALIASES, 1, 0.7)
    near = [ALIASES[alias[0]]] if alias else near or [k for k in KEYS if same_leaf and k.rsplit(".", 1)[-1] == same_leaf[0]][:1]
    return f"{key}: no such key" + (f"; did you mean {near[0]}?" if near else "")


def known(key: str) -> bool:
    """Whether the command line may set the key; entries of data.columns are known by their own list."""
    parent, _, leaf = key.rpartition(".")
    return key in KEYS or (parent == "data.columns" and leaf in COLUMNS) or parent in ("evaluation.slices", "data.mixture")


def problems_of(config: DictConfig) -> list[str]:
    """All that is wrong with a composed configuration, one line each; empty if nothing is."""
    typed: dict[str, Any] = {}
    problems = list(check_node(config, TrainConfig, "", typed))
    for key, choices in CHOICES.items():
        if key in typed and typed[key] not in choices:
            near = difflib.get_close_matches(str(typed[key]), choices, 1)
            mean = f"; did you mean {near[0]}?" if near else ""
            problems.append(f"{key}={typed[key]}: must be one of {', '.join(choices)}{mean}")
    for key, (low, high, closed) in RANGES.items():
        value = typed.get(key)
        if value is not None and not (low <= value < high or (closed and value == high)):
            text = f"{key}={value}: must be at least {low}" + (
                "" if high == float("inf") else f" and {'at most' if closed else 'below'} {high}"
            )
            problems.append(text + (f" ({HINTS[key]})" if key in HINTS else ""))
    return problems + list(check_together(typed))


def check_node(node: Any, cls: type, prefix: str, typed: dict[str, Any]) -> Iterator[str]:
    """Compare one level with its dataclass: keys and types; values of the right type are gathered in ``typed``."""
    if not isinstance(node, DictConfig):
        yield f"{prefix.rstrip('.')}: must be a group of settings, not {node!r}"
        return
    kinds, holder = get_type_hints(cls), OmegaConf.structured(cls)
    for name in map(str, node):
        key = f"{prefix}{name}"
        if name not in kinds:
            yield unknown(key)
        elif is_dataclass(kinds[name]):
            yield from check_node(node[name], kinds[name], f"{key}.", typed)
        else:
            try:
                holder[name] = node[name]
                value = holder[name]
                typed[key] = OmegaConf.to_container(value, resolve=True) if OmegaConf.is_config(value) else value
            except MissingMandatoryValue:
                yield f"{key}: no value is given; set {key}=... on the command line"
            except OmegaConfBaseException as error:
                yield f"{key}: {str(error).splitlines()[0]}"


def check_together(typed: dict[str, Any]) -> Iterator[str]:
    """Checks that need more than one field, or look inside a list."""
    for target in typed.get("model.lora_targets", []):
        if target not in KNOWN_TARGETS:
            near = difflib.get_close_matches(target, KNOWN_TARGETS, 1)
            yield f"model.lora_targets: unknown layer {target!r}" + (f"; did you mean {near[0]}?" if near else "")
    if typed.get("model.lora_targets") == []:
        yield "model.lora_targets: names no layer, so nothing would be trained; use model.adapter=none to train the whole model"
    if typed.get("model.quantization") == "nf4" and typed.get("model.adapter") == "none":
        yield "model.quantization=nf4: a base in 4 bits cannot be trained as a whole; use model.adapter=lora"
    for column in typed.get("data.columns", {}):
        if column not in COLUMNS:
            near = difflib.get_close_matches(column, COLUMNS, 1)
            yield f"data.columns.{column}: must be one of {', '.join(COLUMNS)}" + (f"; did you mean {near[0]}?" if near else "")
    filters = typed.get("data.quality.filters", [])
    for name in filters:
        if name not in FILTERS:
            near = difflib.get_close_matches(name, FILTERS, 1)
            yield f"data.quality.filters: unknown {name!r}; " + (f"did you mean {near[0]}?" if near else f"there are {', '.join(FILTERS)}")
    if filters and typed.get("data.task") not in ("retail", "instructions"):
        yield "data.quality.filters: are for data.task=retail and data.task=instructions"
    if typed.get("stage") == "images" and typed.get("data.task") != "retail":
        yield "stage=images: is for data.task=retail"
    yield from check_parts(typed)
    if "words" in filters and not typed.get("data.quality.words"):
        yield "data.quality.words: the filter words needs a file with a word a line"
    if "@" in str(typed.get("tracking.uri", "")):
        yield "tracking.uri: holds a user or a password, and would be written into every run; set MLFLOW_TRACKING_URI instead"
    for key in ("data.version", "data.against"):
        if typed.get(key) and not re.fullmatch(r"[0-9a-f]{16}|[0-9a-f]{32}", typed[key]):
            yield f"{key}={typed[key]}: must be a digest (16 hex digits) or the id of an MLflow run (32)"
    if typed.get("data.against") and (typed.get("stage") != "inspect" or not typed.get("data.version")):
        yield "data.against: is for stage=inspect with data.version"
    if typed.get("data.version") and typed.get("data.task") != "retail":
        yield "data.version: is for data.task=retail"
    if typed.get("data.questions.source") == "endpoint" and not typed.get("data.questions.served_model"):
        yield "data.questions.served_model: what does the endpoint call the model? set data.questions.served_model=..."
    for path, weight in typed.get("data.mixture", {}).items():
        if not 0 < weight <= 1000:
            yield f"data.mixture: {path} has the weight {weight}; it must be above 0 and at most 1000"
    if typed.get("data.mixture") and typed.get("data.task") != "instructions":
        yield "data.mixture: is for data.task=instructions"
    if typed.get("data.task") == "retail":
        for column in ("name", "category"):
            if not typed.get("data.columns", {}).get(column):
                yield f"data.columns.{column}: which column of the table holds it? set data.columns.{column}=..."
    for name in typed.get("evaluation.baselines", []):
        if name not in BASELINES:
            near = difflib.get_close_matches(name, BASELINES, 1)
            yield f"evaluation.baselines: unknown {name!r}; " + (
                f"did you mean {near[0]}?" if near else f"there are {', '.join(BASELINES)}"
            )
    if typed.get("evaluation.backend") == "endpoint" and not typed.get("evaluation.served_model"):
        yield "evaluation.served_model: what does the endpoint call the model? set evaluation.served_model=..."
    yield from check_labels(typed)
    yield from check_processes(typed)
    if typed.get("data.validation", 0) + typed.get("data.test", 0) >= 1:
        yield "data.validation and data.test leave nothing to train on"
    micro = str(typed.get("trainer.micro_batch", "auto"))
    if micro != "auto" and not (micro.isdecimal() and int(micro)):
        yield f"trainer.micro_batch={micro}: must be auto, or a number of rows from 1 on"
    elif micro != "auto" and int(micro) > typed.get("trainer.batch_size", 1):
        yield "trainer.micro_batch: must not exceed trainer.batch_size"


def check_parts(typed: dict[str, Any]) -> Iterator[str]:
    """Who prepares a table, and which share of it."""
    if typed.get("data.engine") == "ray" and typed.get("data.task") != "retail":
        yield "data.engine=ray: is for data.task=retail"
    if typed.get("data.ray_address") and typed.get("data.engine") != "ray":
        yield "data.ray_address: is for data.engine=ray"
    shard = typed.get("data.shard")
    if not shard:
        return
    found = re.fullmatch(r"([1-9]\d{0,5})/([1-9]\d{0,5})", shard)
    if not found or int(found[1]) > int(found[2]):
        yield f"data.shard={shard}: must be like 3/8, the third of eight"
    if typed.get("stage") not in ("prepare", "images") or typed.get("data.task") != "retail":
        yield "data.shard: is for stage=prepare and stage=images of data.task=retail"
    if typed.get("data.questions.source") == "endpoint" and typed.get("stage") == "prepare":
        yield "data.shard: not where a model writes the questions, whose server sets the pace; leave it away"


def check_processes(typed: dict[str, Any]) -> Iterator[str]:
    """Checks of what several processes can do together."""
    if typed.get("trainer.strategy") != "fsdp":
        if typed.get("trainer.shards"):
            yield "trainer.shards: is for trainer.strategy=fsdp"
        return
    if typed.get("model.quantization") == "nf4":
        ways = "trainer.strategy=ddp (each process holds the base in 4 bits), or model.quantization=none (each holds a shard in 16 bits)"
        yield f"model.quantization=nf4 with trainer.strategy=fsdp trains wrongly without an error: choose {ways}"
    if typed.get("data.task") == "labels":
        yield "trainer.strategy=fsdp is for language models that answer; a classifier takes trainer.strategy=ddp"
    shards, processes = typed.get("trainer.shards", 0), typed.get("trainer.devices", 0) * typed.get("trainer.nodes", 1)
    if shards and processes % shards:
        yield f"trainer.shards={shards}: {processes} processes (trainer.devices x trainer.nodes) are no multiple of it"


def check_labels(typed: dict[str, Any]) -> Iterator[str]:
    """Checks of task labels, and of what is for that task alone."""
    for step in typed.get("data.clean", []):
        if step not in CLEANING:
            yield f"data.clean: unknown step {step!r}; there are {', '.join(CLEANING)}"
    labels, names = typed.get("data.task") == "labels", typed.get("data.label_names", [])
    method, monitor, kind = (typed.get(key, "") for key in ("model.method", "trainer.monitor", "data.label_kind"))
    if not labels and method != "fine-tune":
        yield f"model.method={method} needs texts with labels, which data.task={typed.get('data.task')} has not: choose data.task=labels"
    if not labels and monitor != "loss":
        yield f"trainer.monitor={monitor}: only the loss is measured for data.task={typed.get('data.task')}"
    if labels and kind == "any" and len(names) != 2:
        yield "data.label_names: label_kind=any needs two names, for no and for yes, such as [fair, unfair]"
    if labels and monitor.endswith("with_none") and kind != "multiple":
        yield f"trainer.monitor={monitor} is for data.label_kind=multiple"
    if labels and monitor == "f1" and (kind == "multiple" or len(names) not in (0, 2)):
        yield "trainer.monitor=f1 is the last label's of two: choose macro_f1, micro_f1 or weighted_f1"
    if labels and typed.get("data.text_columns") == []:
        yield "data.text_columns: names no column"
    if typed.get("data.folds") == 1 or (typed.get("data.folds") and typed.get("data.fold", 0) >= typed["data.folds"]):
        yield "data.fold: must be below data.folds, and that at least 2 (or 0)"
    if method == "prompted" and typed.get("prompting.backend") == "endpoint" and not typed.get("prompting.served_model"):
        yield "prompting.served_model: what does the endpoint call the model? set prompting.served_model=..."


def plain(config: Any) -> dict[str, Any]:
    """A configuration as plain dictionaries and lists."""
    tree = OmegaConf.to_container(config, resolve=True)
    assert isinstance(tree, dict)
    return {str(key): value for key, value in tree.items()}


def defaults() -> dict[str, Any]:
    """The schema's defaults as a plain tree, the ground that YAML groups and the command line build on."""
    return plain(OmegaConf.structured(TrainConfig))


def typed(config: DictConfig) -> TrainConfig:
    """A checked configuration as dataclasses."""
    return OmegaConf.to_object(OmegaConf.merge(OmegaConf.structured(TrainConfig), plain(config)))  # type: ignore[return-value]
