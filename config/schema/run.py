"""`evaluation`, `tracking` and the whole run."""

from dataclasses import dataclass, field

from config.schema.data import DataConfig
from config.schema.fields import setting
from config.schema.model import ModelConfig, PromptingConfig
from config.schema.trainer import TrainerConfig

BACKENDS = ["auto", "transformers", "vllm", "endpoint"]
LOOKUPS = ["same-product", "exact", "tfidf", "nearest-answer", "rules"]
BASELINES = [*LOOKUPS, "untuned", "untuned-row", "untuned-shots"]
METRICS = ["exact_match", "token_f1", "chrf", "number", "json", "pattern", "json_schema", "judge"]
# Loggers of `tracking.also`, with the package that each needs.
LOGGERS = {"csv": "", "tensorboard": "tensorboard", "wandb": "wandb", "comet": "comet_ml"}
STAGES = ["inspect", "prepare", "images", "show", "plan", "fit", "all"]


@dataclass
class EvaluationConfig:
    """How predictions are made and scored after training."""

    batch_size: int = setting(64, "prompts or texts in a forward pass", at_least=1, at_most=100_000)
    questions: int = setting(
        0, "questions of each split to answer, spread evenly over the split; 0: all", at_least=0
    )
    backend: str = setting(
        "auto",
        "transformers: in this process; vllm: in a process of its own; endpoint: a running server"
        " (OPENAI_BASE_URL); auto: vllm where a GPU and vLLM are available",
        choices=BACKENDS,
    )
    vllm_python: str = setting("", "backend vllm: interpreter with vLLM, if this one has none")
    tensor_parallel: int = setting(1, "backend vllm: GPUs that share the weights", at_least=1, at_most=1024)
    served_model: str = setting("", "backend endpoint: the name under which the server serves the model")
    concurrency: int = setting(8, "backend endpoint: requests at once", at_least=1, at_most=1000)
    retries: int = setting(
        6, "backend endpoint: retries of a request, with exponential back-off", at_least=0, at_most=100
    )
    baselines: list[str] = setting(BASELINES, "baselines in the model's table", items=BASELINES)
    shots: int = setting(
        4, "baseline untuned-shots: training questions in its prompt", at_least=1, at_most=100
    )
    metrics: list[str] = setting(
        ["chrf", "token_f1", "exact_match"],
        "task instructions: metrics of answers against their references; the first one decides",
        items=METRICS,
    )
    pattern: str = setting("", "metric pattern: regular expression that a whole answer must match")
    json_schema: str = setting("", "metric json_schema: file of the JSON Schema that an answer must meet")
    judge_model: str = setting(
        "", "metric judge: name under which the endpoint (OPENAI_BASE_URL) serves the model that judges"
    )
    judge_labels: str = setting(
        "", "metric judge: file of pairs that people compared, on which the judge's agreement is measured"
    )
    judge_against: str = setting(
        "", "metric judge: folder of another run, with whose answers it compares; empty: with the references"
    )
    general: list[str] = setting(
        [],
        "files of conversations or texts (column text) on which the loss of the tuned model is compared with"
        " its base's; task:NAME or task:FILE.yaml: a task of lm-eval, on which their errors are",
    )
    general_rows: int = setting(
        200, "rows of each file and task of evaluation.general", at_least=1, at_most=100_000
    )
    slices: dict[str, str] = setting(
        {}, "task labels: name -> SQL condition over text, words, labels and the table's columns"
    )
    checks: str = setting("", "task labels: file of behavioural checks, as in data/checks/; empty: none")


@dataclass
class TrackingConfig:
    """Where runs are recorded in addition to their own folder."""

    uri: str = setting("", "MLflow tracking server; empty: MLFLOW_TRACKING_URI, else SQLite in outputs/")
    experiment: str = setting("strata", "MLflow experiment")
    system_metrics: bool = setting(True, "log CPU, memory and GPU use")
    also: list[str] = setting(
        [],
        "loggers that get parameters and metrics, too (make install EXTRA=loggers); WANDB_MODE=offline and"
        " COMET_START_ONLINE=0 keep the record of wandb and comet in the run's folder",
        items=list(LOGGERS),
    )


@dataclass
class TrainConfig:
    """A whole run."""

    experiment: str = setting("none", "label of the row in the hyper-parameter table")
    stage: str = setting(
        "all",
        "inspect: describe data.path; prepare: make the data; images: fetch pictures; show: print"
        " an example as"
        " the model sees it; plan: print what training costs; fit: train; all: train and evaluate",
        choices=STAGES,
    )
    seed: int = setting(42, "seed of everything random")
    resume: str = setting(
        "never",
        (
            "never: start a new run; auto: continue the newest unfinished run of this configuration; or"
            " a run's folder"
        ),
    )
    outputs: str = setting("outputs", "folder for caches, runs and the tracking database")
    model: ModelConfig = field(default_factory=ModelConfig)
    data: DataConfig = field(default_factory=DataConfig)
    trainer: TrainerConfig = field(default_factory=TrainerConfig)
    evaluation: EvaluationConfig = field(default_factory=EvaluationConfig)
    prompting: PromptingConfig = field(default_factory=PromptingConfig)
    tracking: TrackingConfig = field(default_factory=TrackingConfig)
