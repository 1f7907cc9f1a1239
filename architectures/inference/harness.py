"""Tasks of the LM Evaluation Harness (https://github.com/EleutherAI/lm-evaluation-harness), done by a tuned
model and by its base, through this project's own forward pass.
"""

import logging
from contextlib import nullcontext
from importlib.util import find_spec
from typing import TYPE_CHECKING

from architectures.inference.losses import untuned
from architectures.models.bases import resolve_base
from architectures.models.causal_lm import CausalLM
from architectures.models.fine_tuned import FineTuned
from architectures.values import Settings

if TYPE_CHECKING:
    from lm_eval.tasks import TaskManager

PREFIX = "task:"  # of a task in evaluation.general
Errors = tuple[str, str, list[float], list[float]]  # (task, metric, errors of the tuned model, of its base)


def check_tasks(general: list[str]) -> None:
    """Raise ValueError for a task that cannot be done here, or lm-eval missing.

    Args:
        general: names of evaluation.general; those of files are passed over.
    """
    specs = [name.removeprefix(PREFIX) for name in general if name.startswith(PREFIX)]
    if not specs:
        return
    if find_spec("lm_eval") is None:
        raise ValueError("evaluation.general: tasks need lm-eval: pip install -r requirements/lm_eval.txt")
    manager = _manager(specs)
    for spec in specs:
        try:
            manager.load([spec])
        except Exception as error:  # noqa: BLE001 - data sets, files and YAML raise all kinds
            reason = (str(error).splitlines() or [type(error).__name__])[0]
            raise ValueError(f"evaluation.general={PREFIX}{spec}: cannot be loaded ({reason})") from None


def task_errors(module: FineTuned, spec: str, count: int) -> list[Errors]:
    """The errors, 1 - score, of each row of a task, or of each task of a group.

    Args:
        spec: the task's name in lm-eval, or a YAML file that describes it. count: rows, the first ones.

    Raises ValueError for a model that predicts no tokens, a metric that is the better the lower, and as
    `check_tasks` does.
    """
    check_tasks([PREFIX + spec])
    from lm_eval import simple_evaluate
    from transformers import AutoTokenizer

    from architectures.inference.harness_model import HarnessModel

    if not isinstance(module, CausalLM):
        raise ValueError("evaluation.general: is for language models")
    logging.getLogger("lm_eval").setLevel(logging.WARNING)
    tokenizer = AutoTokenizer.from_pretrained(resolve_base(module.model_settings["base"]))
    module.eval()
    manager, found = _manager([spec]), []
    for answering in (nullcontext(module), untuned(module)):
        with answering as net:
            results = simple_evaluate(
                model=HarnessModel(net, tokenizer),
                tasks=[spec],
                limit=count,
                task_manager=manager,
                bootstrap_iters=0,
            )
        found.append(_errors_of(dict(results or {})))
    tuned, base = found
    return [(task, metric, errors, base[task][1]) for task, (metric, errors) in tuned.items()]


def _errors_of(results: Settings) -> dict[str, tuple[str, list[float]]]:
    """Task -> (its first metric, 1 minus its value for each row). Raises ValueError if lower values are
    better.
    """
    found = {}
    for task, samples in results["samples"].items():
        metric, first_filter = str(samples[0]["metrics"][0]), samples[0]["filter"]
        if not results["higher_is_better"][task].get(metric, True):
            told = f"its first metric, {metric}, is the better the lower"
            raise ValueError(f"evaluation.general={PREFIX}{task}: {told}")
        rows = {row["doc_id"]: 1 - float(row[metric]) for row in samples if row["filter"] == first_filter}
        found[task] = (metric, [rows[place] for place in sorted(rows)])
    return found


def _manager(specs: list[str]) -> "TaskManager":
    """What finds tasks; lm-eval's own are only looked through where one is named."""
    from lm_eval.tasks import TaskManager

    return TaskManager(include_defaults=not all(spec.endswith((".yaml", ".yml")) for spec in specs))
