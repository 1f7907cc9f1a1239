"""The spine from end to end on the embedded model: train, export, evaluate each kind of result, sweep, and
refuse bad data.
"""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import torch
from omegaconf import OmegaConf

import evaluate
import train
from architectures.runtime import machine
from architectures.training import planning, settings
from architectures.training.signals import Signals
from config import command_line
from data.modules.retail import RetailData
from data.scoring.verdicts import VERDICTS
from tests.conftest import EVALUATE_KEYS, ROOT, SMALL, typed


def client_of(folder: Path) -> Any:
    from mlflow import MlflowClient

    return MlflowClient(f"sqlite:///{folder.parent / 'mlflow.db'}")


def only_run(folder: Path) -> Any:
    client = client_of(folder)
    return client.search_runs([client.get_experiment_by_name("strata").experiment_id])[0]


def test_a_run_leaves_its_record(finished: tuple[Path, str]) -> None:
    folder, printed = finished
    assert {
        "config.yaml",
        "metrics.jsonl",
        "model",
        "checkpoints",
        "predictions.parquet",
        "scores.json",
        "report.html",
    } <= {path.name for path in folder.iterdir()}
    steps = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    assert [row["step"] for row in steps if "train/loss" in row] == [1, 2, 3, 4, 5, 6]
    for name in ("loss", "perplexity", "accuracy", "learning_rate", "gradient_norm", "tokens_per_second"):
        assert all(row[f"train/{name}"] >= 0 for row in steps if "train/loss" in row), name
    losses = [row["train/loss"] for row in steps if "train/loss" in row]
    assert losses[-1] < losses[0]
    assert "python evaluate.py ckpt=" in printed
    results = json.loads((folder / "results.json").read_text())
    assert {
        "test_loss_last",
        "test_loss_best",
        "validation",
        "accuracy",
        "right_product",
        "legacy_accuracy",
        "tokens",
        "peak_gib",
    } <= set(results)


def test_predictions_are_one_row_a_question(finished: tuple[Path, str]) -> None:
    rows = pl.read_parquet(finished[0] / "predictions.parquet")
    assert {"question", "kind", "answer", "prediction", "named", "verdict", "model", "split"} <= set(
        rows.columns
    )
    models = ["same-product", "tfidf", "untuned", "tuned"]
    assert rows["model"].unique(maintain_order=True).to_list() == models
    expected = sorted((model, split, 6) for model in models for split in ("test", "unseen", "wordings"))
    assert sorted(rows.group_by("model", "split").len().rows()) == expected
    scores = json.loads((finished[0] / "scores.json").read_text())
    assert all(
        sum(s[v] for v in VERDICTS) == s["n"]
        for s in [*scores["grounded"].values(), *scores["kinds"].values()]
    )


def test_mlflow_has_the_run(finished: tuple[Path, str]) -> None:
    folder, _ = finished
    run, client = only_run(folder), client_of(folder)
    assert run.info.status == "FINISHED"
    assert run.data.params["model.lora_r"] == "32"
    assert run.data.params["git_commit"] == machine.git_commit(ROOT)
    local = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    for name in ("train/loss", "validation/loss"):
        sent = [(metric.step, metric.value) for metric in client.get_metric_history(run.info.run_id, name)]
        assert sent == [(row["step"], row[name]) for row in local if name in row]
    assert {item.path for item in client.list_artifacts(run.info.run_id)} >= {
        "config.yaml",
        "model",
        "predictions.parquet",
        "judged.json",
        "report.html",
    }
    assert run.info.artifact_uri.startswith((folder.parent / "mlartifacts").as_uri())
    assert run.inputs.dataset_inputs[0].dataset.digest == run.data.params["data_digest"]


def test_mlflow_shows_the_judged_answers_as_a_table(finished: tuple[Path, str]) -> None:
    import mlflow

    folder, _ = finished
    run = only_run(folder).info
    mlflow.set_tracking_uri(f"sqlite:///{folder.parent / 'mlflow.db'}")
    table = client_of(folder).load_table(run.experiment_id, "judged.json", [run.run_id])
    rows = pl.read_parquet(folder / "predictions.parquet")
    assert table.columns.tolist()[:4] == ["model", "split", "kind", "verdict"]
    for name in ("model", "verdict", "prediction"):
        assert table[name].tolist() == rows[name].to_list()


def test_other_loggers_get_training_and_evaluation(finished: tuple[Path, str]) -> None:
    table = pl.read_csv(finished[0] / "csv/metrics.csv")
    assert table["train/loss"].drop_nulls().len() == 6
    assert {"validation/loss", "evaluation/accuracy"} <= set(table.columns)


@pytest.mark.parametrize("kind", ["checkpoint", "run", pytest.param("folder", marks=pytest.mark.slow)])
def test_evaluate_gives_the_same_figures(
    finished: tuple[Path, str], kind: str, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, printed = finished
    ckpt = {
        "checkpoint": folder / "checkpoints/best.ckpt",
        "folder": folder / "model",
        "run": only_run(folder).info.run_id,
    }[kind]
    for kept in folder.parent.glob("cache/answers-*.jsonl"):
        kept.unlink()
    nothing = dict.fromkeys(EVALUATE_KEYS)
    evaluate.run(OmegaConf.create(nothing | {"ckpt": str(ckpt), "outputs": str(folder.parent)}))
    assert capsys.readouterr().out.strip() in printed
    page = max(folder.parent.glob("evaluations/*/report.html")).read_text()
    assert "Learning curves" in page or kind == "run"


def test_checkpoints_hold_the_adapter_alone(finished: tuple[Path, str]) -> None:
    for name in ("best", "step-000000006"):
        path = finished[0] / f"checkpoints/{name}.ckpt"
        content = torch.load(path, weights_only=True)
        assert all("lora_" in key for key in content["state_dict"])
        assert path.stat().st_size < 3 * sum(t.numel() * 4 for t in content["state_dict"].values()) + 200_000


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("ckpt=nowhere", "there is no such file or folder"),
        ("ckpt=" + "0" * 32, "has no exported model"),
        ("ckpt=config", "neither a checkpoint file nor an exported folder"),
    ],
)
def test_evaluate_refuses_what_is_no_model(argument: str, message: str, tmp_path: Path) -> None:
    nothing = dict.fromkeys(EVALUATE_KEYS)
    with pytest.raises(ValueError, match=message):
        evaluate.run(OmegaConf.create(nothing | {"ckpt": argument.split("=")[1], "outputs": str(tmp_path)}))


def test_show_prints_an_example_as_the_model_sees_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train.run(typed("stage=show", "data.limit=30", f"outputs={tmp_path}"), tmp_path, Signals())
    printed = capsys.readouterr().out
    assert "\033[2m<start_of_turn>\033[0m" in printed
    assert "Product" in printed


def test_a_plan_says_what_training_takes_and_trains_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [
        "stage=plan",
        "data.limit=30",
        "trainer.batch_size=8",
        "trainer.micro_batch=4",
        "model.lora_r=4",
    ]
    train.run(typed(*arguments, f"outputs={tmp_path}"), tmp_path, Signals())
    shown = capsys.readouterr().out
    assert "3,997,696 weights, 74,752 trained" in shown
    assert "of 8 rows, 4 in a forward pass, in 1 process(es)" in shown
    for kind in ("weights", "AdamW", "activations", "logits", "tokens a second", "minutes of training"):
        assert kind in shown
    assert not (tmp_path / "checkpoints").exists()
    assert not (tmp_path / "metrics.jsonl").exists()


def test_a_plan_for_what_does_not_fit_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    small = ["stage=plan", "data.limit=30", "data.grounding_rows=2", f"outputs={tmp_path}"]
    with monkeypatch.context() as patched:
        patched.setattr(settings, "process_memory", lambda trainer: planning.Memory("cpu", 1e6))
        train.run(typed(*small), tmp_path, Signals())
    shown = capsys.readouterr().out
    assert "1 in a forward pass" in shown
    assert "more than is free: set model.quantization=nf4" in shown
    train.run(
        typed(*small, "trainer.batch_size=100000"),
        tmp_path,
        Signals(),
    )
    assert "steps   1 of 100000 rows" in capsys.readouterr().out
    with pytest.raises(ValueError, match="stage=plan: is for fine-tuning causal LMs"):
        command_line.check(["+experiment=tags", "model=tfidf", "data.path=x.csv", "stage=plan"])


def test_training_goes_on_without_a_tracking_server(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    overrides = [*SMALL, "stage=fit", f"outputs={tmp_path}", "tracking.uri=http://127.0.0.1:9"]
    train.run(typed("+experiment=quickstart", *overrides), tmp_path, Signals())
    assert "has not received the whole run" in caplog.text
    assert (tmp_path / "model/adapter_model.safetensors").is_file()
    assert (tmp_path / "metrics.jsonl").read_text().count("train/loss") == 6


def test_the_default_command_line(tmp_path: Path) -> None:
    """The README's command as a user types it, made small: it trains and ends with a table."""
    small = [*SMALL, "trainer.max_steps=2", "evaluation.questions=2"]
    command = [sys.executable, "train.py", f"outputs={tmp_path}", *small]
    environment = {**os.environ, "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    assert "tuned, known products" in done.stdout
    again = subprocess.run(
        [sys.executable, "evaluate.py", "ckpt=nowhere", "+rnk=3"],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert again.returncode != 0
    assert "rnk: no such key" in again.stderr
    assert "Traceback" not in again.stderr


@pytest.mark.parametrize("empty", ["validation"])
def test_no_validation_rows_are_refused(empty: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=f"data.{empty}"):
        train.prepare(typed("data.limit=30", f"data.{empty}=0", f"outputs={tmp_path}"))


def test_the_data_module_takes_a_generic_table(tmp_path: Path) -> None:
    frame = pl.DataFrame(
        {
            "title": [f"Mug {i}" for i in range(40)],
            "department": ["Kitchen > Mugs"] * 40,
            "colour": ["red", "blue"] * 20,
        }
    )
    frame.write_parquet(tmp_path / "shop.parquet")
    columns = ["data.columns.name=title", "data.columns.category=department", "data.attributes=[colour]"]
    data = train.prepare(
        typed("data=table", f"data.path={tmp_path / 'shop.parquet'}", *columns, f"outputs={tmp_path}")
    )
    assert isinstance(data, RetailData)
    assert data.questions("train")["question"].str.contains("colour").any()


@pytest.mark.slow
@pytest.mark.parametrize(
    "changes", [["model.quantization=nf4"], ["trainer.micro_batch=2"], ["model.gradient_checkpointing=true"]]
)
def test_other_ways_to_train_run_whole(changes: list[str], tmp_path: Path) -> None:
    train.run(typed("+experiment=quickstart", f"outputs={tmp_path}", *SMALL, *changes), tmp_path, Signals())
    results = json.loads((tmp_path / "results.json").read_text())
    assert results["steps"] == 6
    assert 0 < results["validation"] < 10
    nothing = dict.fromkeys(EVALUATE_KEYS)
    evaluate.run(OmegaConf.create(nothing | {"ckpt": str(tmp_path / "model"), "outputs": str(tmp_path)}))


@pytest.mark.slow
def test_the_quickstart_learns(tmp_path: Path) -> None:
    """The default run, whole: on questions about known products the tuned model names the right one, the
    untuned does not.

    Measured: 94%. The bound leaves room for the rounding of other hardware, and for 150 questions.
    """
    train.run(typed("+experiment=quickstart", f"outputs={tmp_path}"), tmp_path, Signals())
    scores = json.loads((tmp_path / "scores.json").read_text())["grounded"]
    assert scores["tuned, known products"]["right_product"] >= 0.85
    assert scores["untuned, known products"]["right_product"] <= 0.1


def test_the_commit_is_unknown_without_git(monkeypatch: pytest.MonkeyPatch) -> None:
    assert len(machine.git_commit(ROOT)) >= 40 or not (ROOT / ".git").exists()
    monkeypatch.setenv("PATH", "")
    assert machine.git_commit(ROOT) == "unknown"
