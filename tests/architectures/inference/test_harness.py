"""Tasks of the LM Evaluation Harness: log-likelihoods and answers are those of its own class around
transformers, and a task is compared with the base, in tables and the gate.
"""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from architectures.inference import harness
from architectures.models import lora
from architectures.training import checkpoints
from tests.conftest import POCKET
from tests.verdict_runs import LIMITS, run

CONTEXTS = ["Do you have a red", "The fabric of the dress is", ""]
CONTINUATIONS = [" coat?", " cotton, and it is not", " silk"]


@pytest.fixture
def task(tmp_path: Path) -> Path:
    """A task of four questions with two choices each, as its YAML file."""
    rows = [
        {"text": f"Question {i}: is it cotton?", "choices": [" yes", " no"], "label": i % 2} for i in range(4)
    ]
    (tmp_path / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    described = {
        "task": "cotton_or_not",
        "dataset_path": "json",
        "dataset_kwargs": {"data_files": {"test": str(tmp_path / "rows.jsonl")}},
        "test_split": "test",
        "output_type": "multiple_choice",
        "doc_to_text": "{{text}}",
        "doc_to_choice": "{{choices}}",
        "doc_to_target": "label",
        "metric_list": [{"metric": "acc"}],
    }
    path = tmp_path / "cotton.yaml"
    path.write_text(json.dumps(described), encoding="utf-8")  # JSON is YAML
    return path


@pytest.mark.slow
def test_it_answers_as_lm_evals_own_class_does(finished: tuple[Path, str]) -> None:
    from lm_eval.api.instance import Instance
    from lm_eval.models.huggingface import HFLM
    from transformers import AutoTokenizer

    from architectures.inference.harness_model import HarnessModel

    folder = finished[0] / "model"
    tokenizer = AutoTokenizer.from_pretrained(POCKET)
    module: Any = checkpoints.load_model(folder)
    ours = HarnessModel(module.float().eval(), tokenizer)
    merged = lora.merge_adapter(str(POCKET), folder, torch.float32)
    starts = ours.tok_encode("a")[0] == tokenizer.bos_token_id
    theirs = HFLM(pretrained=merged, tokenizer=tokenizer, add_bos_token=starts, device="cpu", batch_size=1)

    def requests(kind: Any, arguments: list[Any]) -> list[Instance]:
        return [Instance(kind, {}, given, number) for number, given in enumerate(arguments)]

    pairs = requests("loglikelihood", list(zip(CONTEXTS, CONTINUATIONS, strict=True)))
    for (mine, likeliest), (other, also) in zip(
        ours.loglikelihood(pairs), theirs.loglikelihood(pairs), strict=True
    ):
        assert mine == pytest.approx(other, rel=1e-3, abs=1e-3)
        assert likeliest == also
    texts = requests("loglikelihood_rolling", [(text,) for text in CONTINUATIONS])
    assert ours.loglikelihood_rolling(texts) == pytest.approx(theirs.loglikelihood_rolling(texts), rel=1e-3)
    asked: dict[str, Any] = {"until": ["\n", "."], "max_gen_toks": 12, "do_sample": False}
    prompts = requests("generate_until", [(text, asked) for text in CONTEXTS[:2]])
    assert ours.generate_until(prompts) == theirs.generate_until(prompts)


@pytest.mark.slow
def test_a_task_stands_in_the_table_and_a_limit_closes_the_gate(
    finished: tuple[Path, str], task: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given: dict[str, Any] = {"ckpt": finished[0] / "model", "outputs": finished[0].parent, "questions": 2}
    given |= {"baselines": ["tfidf"], "general": [f"task:{task}"], "general_rows": 3, "gate": True}
    with pytest.raises(SystemExit):
        run(**given, limits=LIMITS | {"general": 1e-6})
    printed = capsys.readouterr().out
    assert "| cotton_or_not | 1 - acc |    3 |" in printed
    assert "general text, cotton_or_not" in printed
    module: Any = checkpoints.load_model(finished[0] / "model")
    ((name, metric, tuned, base),) = harness.task_errors(module, str(task), 4)
    assert (name, metric) == ("cotton_or_not", "acc")
    assert len(tuned) == len(base) == 4
    assert set(tuned + base) <= {0.0, 1.0}


@pytest.mark.slow
def test_a_task_that_cannot_be_done_is_named_before_the_work(task: Path) -> None:
    harness.check_tasks(["chat.jsonl", f"task:{task}"])
    task.with_name("rows.jsonl").unlink()
    with pytest.raises(ValueError, match=r"evaluation\.general=task:.*cotton\.yaml: cannot be loaded"):
        harness.check_tasks([f"task:{task}"])
    with pytest.raises(ValueError, match=r"evaluation\.general=task:no_such_task: cannot be loaded"):
        harness.check_tasks(["task:no_such_task"])


def test_lm_eval_is_named_where_it_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(harness, "find_spec", lambda name: None)
    harness.check_tasks(["chat.jsonl"])
    told = r"tasks need lm-eval: pip install -r requirements/lm_eval\.txt"
    with pytest.raises(ValueError, match=told):
        harness.check_tasks(["task:arc_easy"])
    module: Any = None  # nothing is asked of it before
    with pytest.raises(ValueError, match=told):
        harness.task_errors(module, "arc_easy", 3)
