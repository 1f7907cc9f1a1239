"""Classification from end to end: fine-tune, evaluate each kind of result, baselines and folds in one
table, bad input refused.
"""

import json
import re
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
from architectures.training.signals import Signals
from tests.conftest import EVALUATE_KEYS, ROOT
from tests.test_train import typed

SMALL = ["tracking.system_metrics=false", "trainer.log_every=1", "trainer.precision=32-true"]
NOTHING = dict.fromkeys(EVALUATE_KEYS)
THINGS = {
    "food": ["soup", "bread", "cheese", "apple pie", "noodles"],
    "tools": ["hammer", "saw", "drill", "spanner", "chisel"],
    "music": ["violin", "drum", "song", "concert", "piano"],
}


def things(folder: Path, count: int = 90) -> Path:
    """A table of subjects and bodies with queues; one row in nine is of 'music', which makes it rare."""
    rows = []
    for i in range(count):
        queue = "music" if i % 9 == 0 else ("food", "tools")[i % 2]
        rows.append(
            {
                "subject": f"Order {i}",
                "body": f"I would like a {THINGS[queue][i % 5]}, please.",
                "queue": queue,
                "customer": f"c{i % 4}",
            }
        )
    pl.DataFrame(rows).write_csv(folder / "things.csv")
    return folder / "things.csv"


def command(path: Path, outputs: Path, *more: str) -> list[str]:
    columns = [
        "data.text_columns=[subject,body]",
        "data.label_column=queue",
        "data.name=things",
        "data.validation=0.2",
        "data.test=0.2",
    ]
    return ["+experiment=labels", f"data.path={path}", *columns, f"outputs={outputs}", *SMALL, *more]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """One fine-tuned run: (its folder, what it printed)."""
    import contextlib
    import io

    outputs = tmp_path_factory.mktemp("outputs")
    folder = outputs / "runs" / "one"
    folder.mkdir(parents=True)
    (outputs / "checks.jsonl").write_text(
        '{"kind": "minimum", "text": "A loaf of bread.", "label": "food"}\n'
    )
    more = [
        "trainer.epochs=2",
        "trainer.batch_size=8",
        "+evaluation.slices.regular=\"customer = 'c1'\"",
        f"evaluation.checks={outputs}/checks.jsonl",
    ]
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed), contextlib.chdir(ROOT):
        train.run(typed(*command(things(outputs), outputs, *more)), folder, Signals())
    return folder, printed.getvalue()


def evaluated(finished: tuple[Path, str], capsys: pytest.CaptureFixture[str], **given: Any) -> str:
    folder = finished[0]
    capsys.readouterr()
    evaluate.run(
        OmegaConf.create(NOTHING | {"ckpt": str(folder / "model"), "outputs": str(folder.parents[1])} | given)
    )
    return capsys.readouterr().out


def test_a_run_leaves_its_record(finished: tuple[Path, str]) -> None:
    folder, printed = finished
    expected = {
        "config.yaml",
        "metrics.jsonl",
        "model",
        "checkpoints",
        "predictions.parquet",
        "scores.json",
        "report.md",
        "checks.parquet",
    }
    assert expected | {"confusion_test.png", "labels_validation.png", "reliability.png"} <= {
        path.name for path in folder.iterdir()
    }
    logged = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    assert [row["step"] for row in logged if "train/loss" in row] == list(range(1, 15))
    names = {name for row in logged for name in row}
    assert {
        "validation/macro_f1",
        "validation/f1/music",
        "validation/weighted_precision",
        "test/micro_recall",
        "evaluation/test/macro_f1",
    } <= names
    results = json.loads((folder / "results.json").read_text())
    assert {"test_loss_best", "test_accuracy_last", "test_macro_f1_best", "validation", "scores"} <= set(
        results
    )
    assert 'text="..."' in printed


def test_it_learns_and_the_figures_agree(finished: tuple[Path, str]) -> None:
    """What torchmetrics counted while testing equals what the predictions are scored at."""
    results = json.loads((finished[0] / "results.json").read_text())
    assert results["scores"]["test"]["macro_f1"] > 0.9
    for name in ("accuracy", "macro_f1"):
        assert results["scores"]["test"][name] == pytest.approx(results[f"test_{name}_best"], abs=1e-6)
    assert results["scores"]["validation"]["macro_f1"] == pytest.approx(results["validation"], abs=1e-6)


def test_predictions_are_one_row_a_text(finished: tuple[Path, str]) -> None:
    rows = pl.read_parquet(finished[0] / "predictions.parquet")
    assert rows.group_by("split").len().sort("split").rows() == [("test", 18), ("validation", 18)]
    assert {"row", "text", "labels", "predicted", "probabilities", "words", "customer", "model"} <= set(
        rows.columns
    )
    assert rows["probabilities"].list.sum().round(5).unique().to_list() == [1.0]


def test_slices_and_checks_stand_in_the_report(finished: tuple[Path, str]) -> None:
    report = (finished[0] / "report.md").read_text()
    assert "test, regular" in report
    assert "| minimum" in report
    scores = json.loads((finished[0] / "scores.json").read_text())
    expected = (
        pl.read_parquet(finished[0] / "predictions.parquet")
        .filter((pl.col("split") == "test") & (pl.col("customer") == "c1"))
        .height
    )
    assert scores["parts"]["test, regular"]["n"] == expected
    assert scores["checks"] == {"minimum": 1.0}


@pytest.mark.parametrize("kind", ["best.ckpt", "model", "run"])
def test_evaluate_gives_the_same_figures(
    finished: tuple[Path, str], kind: str, capsys: pytest.CaptureFixture[str]
) -> None:
    from mlflow import MlflowClient

    folder, printed = finished
    client = MlflowClient(f"sqlite:///{folder.parents[1] / 'mlflow.db'}")
    (run,) = client.search_runs([client.get_experiment_by_name("strata").experiment_id])
    ckpt = {"best.ckpt": folder / "checkpoints/best.ckpt", "model": folder / "model", "run": run.info.run_id}[
        kind
    ]
    text = evaluated(finished, capsys, ckpt=str(ckpt)).strip()
    if kind == "best.ckpt":  # its probabilities are not calibrated
        text, calibration = text.split("\n\n| calibration")
        assert "expected error" in calibration
    assert text in (folder / "report.md").read_text()
    assert text in printed
    assert {"confusion_test.png", "predictions.parquet"} <= {
        item.path for item in client.list_artifacts(run.info.run_id)
    }


def test_a_typed_text_gets_its_label(finished: tuple[Path, str], capsys: pytest.CaptureFixture[str]) -> None:
    lines = evaluated(finished, capsys, text="A grilled cheese sandwich.").splitlines()
    assert lines[0] == "label: food"
    shares = [float(line.split("%")[0]) for line in lines[1:]]
    assert shares == sorted(shares, reverse=True)
    assert sum(shares) == pytest.approx(100, abs=0.05)


def test_another_table_is_evaluated(
    finished: tuple[Path, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pl.DataFrame(
        {
            "subject": ["a", "b"],
            "body": ["an old violin", "fried noodles"],
            "queue": ["music", "food"],
            "customer": ["c1", "c1"],
        }
    ).write_csv(tmp_path / "new.csv")
    table = evaluated(finished, capsys, path=str(tmp_path / "new.csv"))
    assert re.search(r"\| other, regular +\| +2 \| 100\.0%", table)
    pl.DataFrame({"subject": ["a"], "body": ["x"], "queue": ["garden"], "customer": ["c1"]}).write_csv(
        tmp_path / "strange.csv"
    )
    with pytest.raises(ValueError, match=r"holds 'garden', which data.label_names lacks"):
        evaluated(finished, capsys, path=str(tmp_path / "strange.csv"))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"questions": 3}, "questions: is for models of another task"),
        ({"checks": "nowhere.jsonl"}, "no checks at nowhere.jsonl"),
        ({"compare": ["nothing"]}, "no evaluated run there"),
        ({"path": "nowhere.csv"}, "no table at data.path=nowhere.csv"),
    ],
)
def test_evaluate_refuses(
    finished: tuple[Path, str], given: dict[str, Any], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(ValueError, match=message):
        evaluated(finished, capsys, **given)


def test_checkpoints_hold_what_was_trained(tmp_path: Path) -> None:
    more = ["trainer.max_steps=2", "model.adapter=lora", "stage=fit", "data.limit=20"]
    train.run(typed(*command(things(tmp_path), tmp_path, *more)), tmp_path, Signals())
    content = torch.load(tmp_path / "checkpoints/best.ckpt", weights_only=True)
    assert all("lora_" in name or "classifier" in name for name in content["state_dict"])
    assert content["hyper_parameters"]["model"]["head"]["labels"] == ["food", "music", "tools"]
    assert (tmp_path / "checkpoints/best.ckpt").stat().st_size < 5_000_000


@pytest.mark.slow
def test_baselines_and_folds_stand_in_one_table(tmp_path: Path) -> None:
    """A sweep over models and folds, as a user types it: every row of the table predicted once by each
    model.
    """
    path = things(tmp_path, 60)
    arguments = command(path, tmp_path, "model=majority,tfidf", "data.folds=2", "data.fold=0,1")
    done = subprocess.run(
        [sys.executable, "train.py", "-m", *arguments], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    table = [
        [cell.strip() for cell in line.split("|")]
        for line in done.stdout.splitlines()
        if line.startswith("| things")
    ]
    assert {tuple(row[2:5]) for row in table[-2:]} == {
        ("2 folds", name, "60") for name in ("majority", "tfidf")
    }
    order = [row[3] for row in table[-2:]]
    assert order.index("tfidf") < order.index("majority")
    assert next(tmp_path.glob("sweeps/*/models.png")).stat().st_size > 5000
    shown = subprocess.run(
        [sys.executable, "evaluate.py", "compare=things", f"outputs={tmp_path}"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert [line for line in shown.stdout.splitlines() if line.startswith("| things")] == [
        line for line in done.stdout.splitlines() if line.startswith("| things")
    ][-2:]


def test_a_baseline_is_evaluated_like_any_model(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    train.run(typed(*command(things(tmp_path), tmp_path, "model=keywords")), folder, Signals())
    printed = capsys.readouterr().out
    assert "food: " in printed
    nothing = NOTHING | {"ckpt": str(folder / "model"), "outputs": str(tmp_path)}
    evaluate.run(OmegaConf.create(nothing))
    assert capsys.readouterr().out.strip() in (folder / "report.md").read_text()
    evaluate.run(OmegaConf.create(nothing | {"text": "a piano"}))
    assert capsys.readouterr().out.startswith("label: ")


def test_show_prints_a_text_as_the_model_sees_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    train.run(typed(*command(things(tmp_path), tmp_path, "stage=show")), tmp_path, Signals())
    printed = capsys.readouterr().out
    assert "tokens: [CLS] order" in printed
    assert "labels: " in printed
