"""trainer.monitor=answer_score: questions are answered at each validation; the best checkpoint goes by it."""

import contextlib
import json
import signal
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import torch

import train
from architectures.models.causal_lm import CausalLM
from architectures.training.signals import Interrupted, Signals
from config import runs
from data.reports.monitored_questions import MonitoredQuestions
from tests.conftest import ROOT, typed
from tests.test_instruction_run import write_rows

QUESTIONS = 8


def config(outputs: Path, *more: str) -> Any:
    small = ["data.test=0.2", "data.validation=0.2", "trainer.epochs=12", "trainer.learning_rate=5e-3"]
    small += ["trainer.precision=32-true", "tracking.system_metrics=false", "evaluation.baselines=[]"]
    small += ["trainer.validate_every=4", "trainer.patience=0", f"trainer.monitor_questions={QUESTIONS}"]
    small += [f"evaluation.questions={QUESTIONS}", "evaluation.metrics=[exact_match,chrf]"]
    rows = f"data.path={outputs / 'rows.jsonl'}"
    answers = "trainer.monitor=answer_score"
    return typed("+experiment=instructions", rows, f"outputs={outputs}", answers, *small, *more)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run."""
    outputs = tmp_path_factory.mktemp("answers")
    write_rows(outputs / "rows.jsonl", "Tell the colour:")
    folder = outputs / "runs" / "whole"
    folder.mkdir(parents=True)
    with contextlib.chdir(ROOT):
        train.run(config(outputs), folder, Signals())
    return folder


def validations(folder: Path) -> list[dict[str, float]]:
    lines = (folder / "metrics.jsonl").read_text().splitlines()
    return [row for row in map(json.loads, lines) if "validation/answer_score" in row]


def test_the_best_checkpoint_has_the_best_answers(whole: Path) -> None:
    rows = validations(whole)
    assert len(rows) > 5
    scores = [row["validation/answer_score"] for row in rows]
    assert all(score * QUESTIONS == pytest.approx(round(score * QUESTIONS), abs=1e-4) for score in scores)
    best = rows[scores.index(max(scores))]
    assert max(scores) > min(scores)
    results = json.loads((whole / "results.json").read_text())
    assert (results["monitor"], results["validation"]) == ("answer_score", pytest.approx(max(scores)))
    content = torch.load(whole / "checkpoints/best.ckpt", weights_only=True)
    assert content["global_step"] == best["step"]
    by_loss = min(rows, key=lambda row: row["validation/loss"])
    assert by_loss["step"] != best["step"], "by loss another checkpoint would have been chosen"


def test_it_is_the_score_of_the_evaluation(whole: Path) -> None:
    results = json.loads((whole / "results.json").read_text())
    judged = pl.read_parquet(whole / "predictions.parquet")
    asked = judged.filter((pl.col("model") == "tuned") & (pl.col("split") == "validation"))
    assert asked.height == QUESTIONS
    assert asked["exact_match"].mean() == pytest.approx(results["validation"])


@pytest.mark.slow
def test_an_interrupted_run_ends_with_the_same_scores(whole: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    outputs, signals = whole.parents[1], Signals()
    folder = outputs / "runs" / "interrupted"
    folder.mkdir()
    original, calls = CausalLM.sums, []

    def strike(self: CausalLM, *arguments: Any) -> Any:
        calls.append(0)
        if len(calls) == 23:
            signals.received = signal.SIGTERM
        return original(self, *arguments)

    with monkeypatch.context() as patch, pytest.raises(Interrupted, match="SIGTERM"):
        patch.setattr(CausalLM, "sums", strike)
        train.run(config(outputs), folder, signals)
    before = len(validations(folder))
    assert 0 < before < len(validations(whole))
    train.run(config(outputs, "resume=auto"), folder, Signals())
    keys = ("step", "validation/answer_score", "validation/loss")
    expected = [[row[key] for key in keys] for row in validations(whole)]
    assert [[row[key] for key in keys] for row in validations(folder)] == expected
    assert runs.read_state(folder)["status"] == "finished"


def test_a_metric_that_scores_no_reference_is_refused_before_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_rows(tmp_path / "rows.jsonl", "Tell the colour:")
    monkeypatch.chdir(ROOT)
    with pytest.raises(ValueError, match="no validation question whose answer can be scored"):
        train.run(config(tmp_path, "evaluation.metrics=[json]"), tmp_path, Signals())
    assert not (tmp_path / "checkpoints").exists()


def test_of_a_catalogue_right_answers_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    settings = typed("data.limit=60", f"outputs={tmp_path}")
    data = train.prepare(settings)
    monitored = MonitoredQuestions(data, asdict(settings.evaluation), 6)
    assert len(monitored.prompts) == 6
    truth = [data.renderer.encode([answer])[0] for answer in monitored.questions["answer"]]
    assert monitored.score(list(range(6)), truth) == [1.0] * 6
    assert monitored.score([], []) == []
    assert monitored.score([0, 1], [truth[0], data.renderer.encode(["I do not know."])[0]]) == [1.0, 0.0]


@pytest.mark.slow
@pytest.mark.parametrize("questions", [5, 1])
def test_two_processes_share_the_questions(questions: int, tmp_path: Path) -> None:
    write_rows(tmp_path / "rows.jsonl", "Tell the colour:")
    two = ["trainer=ddp", "trainer.accelerator=cpu", "trainer.devices=2", "trainer.validate_every=4"]
    small = [
        "trainer.epochs=4",
        "trainer.max_steps=8",
        "trainer.learning_rate=5e-3",
        "trainer.precision=32-true",
        "data.test=0.2",
    ]
    small += ["tracking.system_metrics=false", "stage=fit", "evaluation.metrics=[exact_match]"]
    asked = ["trainer.monitor=answer_score", f"trainer.monitor_questions={questions}"]
    place = [
        f"data.path={tmp_path / 'rows.jsonl'}",
        f"outputs={tmp_path}",
        f"hydra.run.dir={tmp_path / 'run'}",
    ]
    command = [sys.executable, "train.py", "+experiment=instructions", *two, *small, *asked, *place]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    scores = [row["validation/answer_score"] for row in validations(tmp_path / "run")]
    assert len(scores) == 2
    assert all(score * questions == pytest.approx(round(score * questions), abs=1e-4) for score in scores)
    assert done.stderr.count(f"answered {questions} validation questions") == 2
