"""From what a run leaves behind back to a model: a Trainer's checkpoint, an exported folder, or a
baseline's folder.
"""

from pathlib import Path

import torch

from architectures.baselines.base import Baseline
from architectures.baselines.methods import load_baseline
from architectures.models import lora
from architectures.models.causal_lm import CausalLM
from architectures.models.fine_tuned import FineTuned
from architectures.models.run_file import RUN_FILE, read_record
from architectures.models.sequence_classifier import SequenceClassifier
from architectures.training.checkpoint_io import read_checkpoint
from architectures.values import CommandLine, Settings

LABEL_KEYS = ("text", "checks")  # of evaluate.py's command line, for classifiers alone
BACKEND_KEYS = ("questions", "backend", "vllm_python", "tensor_parallel", "served_model", "baselines")
# For models trained on instructions alone.
METRIC_KEYS = ("metrics", "pattern", "json_schema", "judge_model", "judge_labels", "judge_against")
ANSWER_KEYS = ("general", "general_rows", "variants", "golden", "pairs", "speed", "price")
ANSWERING = ("retail", "instructions")  # tasks whose models answer in words
OTHER_TASKS = {  # task -> keys of evaluate.py's command line that are for other tasks
    "labels": (*BACKEND_KEYS, *METRIC_KEYS, *ANSWER_KEYS),
    "retail": (*LABEL_KEYS, *METRIC_KEYS),
    "instructions": (*LABEL_KEYS, "golden", "pairs"),
}


def model_class(settings: Settings) -> type[FineTuned]:
    """The class of the model that settings describe: a classifier's have a head."""
    return SequenceClassifier if "head" in settings else CausalLM


def load_model(path: Path) -> FineTuned | Baseline:
    """A checkpoint file, an exported folder or a baseline's folder -> the model, ready to answer.

    Raises ValueError if it is none of these.
    """
    if path.is_file():
        return load_checkpoint(path)
    record = read_record(path)
    try:
        settings = record["model"]
        if "method" in settings:
            return load_baseline(path, record)
        if settings["adapter"] == "none":
            settings = {**settings, "base": str(path), "init": "pretrained"}
        module = model_class(settings)(settings, record["optimization"], record["origin"])
    except KeyError as error:
        raise ValueError(f"{path / RUN_FILE} is damaged ({error!r}): export the model again") from None
    module.configure_model()
    if lora.has_adapter(module.net):
        lora.load_adapter_weights(module.net, path)
    return module.eval()


def check_task(ckpt: str, model: FineTuned | Baseline, settings: CommandLine) -> None:
    """Raise ValueError if the command line sets what is for another task than the model's."""
    task = str(model.origin["data"]["task"])
    for key in OTHER_TASKS.get(task, ()):
        if settings[key] not in (None, False, "auto"):
            raise ValueError(f"{key}: is for models of another task than that of ckpt={ckpt} ({task})")


def _check_trained_for(ckpt: str, model: FineTuned | Baseline, tasks: tuple[str, ...]) -> None:
    """Raise ValueError if a model was trained for none of the tasks."""
    data = model.origin["data"]
    if data["task"] not in tasks:
        raise ValueError(
            f"ckpt={ckpt} was trained on {data['name']} (task {data['task']}); this is for models of the task"
            f" {' or '.join(tasks)}"
        )


def load_for_task(path: Path, task: str, ckpt: str) -> FineTuned | Baseline:
    """Load a model. Raises ValueError, with its name ``ckpt``, if it was trained for another task."""
    model = load_model(path)
    if task in ANSWERING:
        return check_answering(ckpt, model, (task,))
    _check_trained_for(ckpt, model, (task,))
    return model


def check_answering(ckpt: str, model: FineTuned | Baseline, tasks: tuple[str, ...] = ANSWERING) -> FineTuned:
    """The model, if it answers and was trained for one of the tasks. Raises ValueError if it does not, or is
    of an earlier version.
    """
    _check_trained_for(ckpt, model, tasks)
    assert isinstance(model, FineTuned)
    data, evaluation = model.origin["data"], model.origin["evaluation"]
    missing = {"backend", "baselines"} - set(evaluation) | {"version", "questions"} - set(data)
    if missing:
        names = ", ".join(sorted(missing))
        raise ValueError(
            f"ckpt={ckpt} was made by an earlier version of this project (no {names}): train it again"
        )
    return model


def load_answering_model(path: Path, tasks: tuple[str, ...] = ANSWERING) -> FineTuned:
    """Load a model that answers, onto the GPU if there is one. Raises ValueError as `check_answering`."""
    model = check_answering(str(path), load_model(path), tasks)
    return model.to("cuda" if torch.cuda.is_available() else "cpu")


def load_checkpoint(path: Path) -> FineTuned:
    """A Trainer's checkpoint -> the model. Only plain types and tensors are read from it."""
    content: Settings = read_checkpoint(path)
    try:
        settings = content["hyper_parameters"]
        module = model_class(settings["model"])(**settings)
    except (KeyError, TypeError) as error:
        raise ValueError(f"ckpt={path} is not a checkpoint of this project: {error!r:.200}") from None
    module.configure_model()
    load_trained_weights(module, content)
    return module.eval()


def load_trained_weights(module: FineTuned, content: Settings) -> None:
    """Load a checkpoint's trained tensors into a built model. Raises ValueError if they do not fit."""
    module.check_fit(content)
    module.load_state_dict(content["state_dict"], strict=False)
