"""Tables of labelled texts: another one for evaluation, several labels a text, real tasks."""

import json
from pathlib import Path

import polars as pl
import pytest

import train
from architectures.training.signals import Signals
from tests.conftest import real
from tests.test_labels import SMALL, THINGS
from tests.test_train import typed


@pytest.mark.slow
def test_several_labels_a_text(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [
        {"text": f"a {THINGS['food'][i % 5]} and a {THINGS['tools'][i % 5]}", "label": "food;tools"}
        for i in range(15)
    ]
    rows += [{"text": f"only a {THINGS['food'][i % 5]}", "label": "food"} for i in range(15)]
    rows += [{"text": f"nothing {i}", "label": ""} for i in range(15)]
    pl.DataFrame(rows).write_csv(tmp_path / "t.csv")
    more = [
        "data.label_kind=multiple",
        "trainer.monitor=macro_f1_with_none",
        "trainer.epochs=3",
        "trainer.batch_size=8",
        "trainer.learning_rate=2e-4",
    ]
    train.run(
        typed("+experiment=labels", f"data.path={tmp_path / 't.csv'}", f"outputs={tmp_path}", *SMALL, *more),
        tmp_path,
        Signals(),
    )
    results = json.loads((tmp_path / "results.json").read_text())
    assert (
        results["scores"]["validation"]["macro_f1_with_none"]
        == pytest.approx(results["validation"], abs=1e-6)
        == pytest.approx(1, abs=0.2)
    )
    assert "| none" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("experiment", "path", "rows"),
    [
        ("unfair-tos", "unfair_tos", 5532),
        ("unfair-tos-multilabel", "unfair_tos", 5532),
        ("tags", "made_with_ml/dataset.csv", 612),
        ("rotten-tomatoes", "rotten_tomatoes", 8530),
        ("imdb", "imdb", 4500),
    ],
)
def test_real_tasks_are_prepared(experiment: str, path: str, rows: int, tmp_path: Path) -> None:
    data = train.prepare(
        typed(f"+experiment={experiment}", "model=minilm", f"data.path={real(path)}", f"outputs={tmp_path}")
    )
    assert data.training_rows == rows
    assert int(data.rows["train"].lengths.max()) <= (256 if experiment == "imdb" else 128)
