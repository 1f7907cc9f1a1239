"""A classifier's gate, registry and export: judged beside a baseline, registered, loaded by its alias."""

import contextlib
import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest

import train
from architectures.training.signals import Signals
from tests.conftest import ROOT
from tests.test_labels import command, things
from tests.test_train import typed
from tests.verdict_runs import LIMITS, run


@pytest.fixture(scope="module")
def outputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Outputs with a run of a fine-tuned classifier, ``tuned``, and one of a baseline, ``majority``."""
    outputs = tmp_path_factory.mktemp("outputs")
    table = things(outputs)
    small = ["trainer.epochs=2", "trainer.batch_size=8"]
    for name, more in {"tuned": small, "majority": ["model=majority"]}.items():
        folder = outputs / "runs" / name
        folder.mkdir(parents=True)
        with contextlib.chdir(ROOT):
            train.run(typed(*command(table, outputs, *more)), folder, Signals())
    return outputs


def gated(outputs: Path, **given: Any) -> None:
    limits = LIMITS | given.pop("limits", {})
    run(ckpt=outputs / "runs/tuned/model", outputs=outputs, limits=limits, registered_name="queues", **given)


def test_scores_tell_of_calibration_and_lineage(outputs: Path) -> None:
    scores = json.loads((outputs / "runs/tuned/scores.json").read_text())
    assert set(scores["calibration"]) == {"validation", "test"}
    assert 0 <= scores["calibration"]["test"]["ece"] < 0.5
    assert sum(count for count, _, _ in scores["calibration"]["test"]["bins"]) == 18
    assert scores["trained_on"] == scores["data_digest"]
    head = json.loads((outputs / "runs/tuned/model/run.json").read_text())["model"]["head"]
    assert head["temperature"] != 1.0


@pytest.mark.parametrize(
    ("limits", "closed"),
    [
        ({"score": 0.99}, "macro_f1, test rows"),
        ({"score": 0.5, "calibration": 0.0}, "expected calibration error"),
    ],
)
def test_a_limit_closes_the_gate(
    limits: dict[str, float], closed: str, outputs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        gated(outputs, gate=True, limits=limits)
    printed = capsys.readouterr().out
    assert f"The gate is closed: {closed}." in printed
    assert "not worse than the baseline majority" in printed


def test_without_a_baseline_the_gate_is_closed(
    outputs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        run(ckpt=outputs / "runs/tuned/model", outputs=tmp_path, limits=LIMITS, gate=True, incumbent=None)
    assert "no baseline was evaluated beside it (python train.py" in capsys.readouterr().out


def test_what_passes_is_registered_and_gives_the_same_probabilities(
    outputs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import mlflow

    gated(outputs, register=True, alias="champion", limits={"score": 0.5, "calibration": 0.5})
    printed = capsys.readouterr().out
    assert "The gate is open" in printed
    assert "registered as models:/queues/1, alias champion" in printed
    judged = max((outputs / "evaluations").iterdir())
    assert "Verdict" in (judged / "report.md").read_text()
    run(ckpt="models:/queues@champion", outputs=outputs)
    newest = max((outputs / "evaluations").iterdir())
    first = pl.read_parquet(outputs / "runs/tuned/predictions.parquet")
    again = pl.read_parquet(newest / "predictions.parquet")
    assert again["probabilities"].to_list() == first["probabilities"].to_list()
    mlflow.set_tracking_uri(f"sqlite:///{outputs / 'mlflow.db'}")
    served = mlflow.pyfunc.load_model("models:/queues@champion")
    (answer,) = served.predict(pl.DataFrame({"text": [first["text"][0]]}).to_pandas())
    assert answer["labels"] == first["predicted"][0].to_list()
    assert list(answer["probabilities"].values()) == pytest.approx(
        first["probabilities"][0].to_list(), abs=1e-5
    )
    # The champion is now the incumbent: it is not worse than itself.
    gated(outputs, gate=True, limits={"score": 0.5, "calibration": 0.5})
    assert "not worse than the incumbent" in capsys.readouterr().out


def test_an_incumbent_of_another_task_is_named(outputs: Path, finished: tuple[Path, str]) -> None:
    told = r"was trained on sample \(task retail\); this is for models of the task labels"
    with pytest.raises(ValueError, match=told):
        gated(outputs, gate=True, incumbent=finished[0] / "model")


def test_an_export_has_its_tokenizer_and_card_and_the_same_figures(
    outputs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(ckpt=outputs / "runs/tuned/model", outputs=outputs, export="adapter", to=tmp_path / "exported")
    capsys.readouterr()
    assert (tmp_path / "exported/tokenizer.json").is_file()
    card = (tmp_path / "exported/README.md").read_text()
    assert "food, music, tools" in card
    run(ckpt=tmp_path / "exported", outputs=outputs)
    assert capsys.readouterr().out.strip() in (outputs / "runs/tuned/report.md").read_text()


@pytest.mark.slow
def test_a_classifier_as_onnx_labels_a_text_alike(
    outputs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from onnxruntime import InferenceSession
    from transformers import AutoTokenizer

    text = "I would like an order, please."
    run(ckpt=outputs / "runs/tuned/model", outputs=outputs, export="onnx", to=tmp_path / "onnx")
    assert capsys.readouterr().out.strip() == f"exported to {tmp_path / 'onnx'}"
    assert "food, music, tools" in (tmp_path / "onnx/README.md").read_text()
    ids = AutoTokenizer.from_pretrained(tmp_path / "onnx")(text, return_tensors="np")
    given = {name: ids[name] for name in ("input_ids", "attention_mask")}
    session = InferenceSession(tmp_path / "onnx/tuned.onnx")
    labels = json.loads(session.get_modelmeta().custom_metadata_map["labels"])
    probabilities = dict(zip(labels, session.run(["probabilities"], given)[0][0].tolist(), strict=True))
    run(ckpt=outputs / "runs/tuned/model", outputs=outputs, text=text)
    printed = capsys.readouterr().out
    for label, probability in probabilities.items():
        assert f"{probability:.2%}  {label}" in printed


@pytest.mark.parametrize(
    ("name", "kind", "told"),
    [
        ("tuned", "merged", "of a classifier, set export=adapter or onnx"),
        ("majority", "adapter", "baseline is not"),
    ],
)
def test_what_cannot_be_exported_is_refused(
    name: str, kind: str, told: str, outputs: Path, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match=told):
        run(ckpt=outputs / f"runs/{name}/model", outputs=outputs, export=kind, to=tmp_path / "exported")
