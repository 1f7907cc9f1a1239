"""model.parent: a run goes on from the adapter of an earlier one, and its record says from which."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

import train
from architectures.models.run_file import model_digest
from architectures.training.parent import find_parent, load_parent
from architectures.training.signals import Signals
from data.reports.evaluated_runs import read_run
from data.reports.model_card import model_card, registry_fields
from tests.conftest import ROOT, typed
from tests.test_instruction_run import write_rows

ADAPTER = "adapter_model.safetensors"


@pytest.fixture(autouse=True)
def at_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)


def config(outputs: Path, *more: str) -> Any:
    small = ["data.test=0.2", "trainer.max_steps=12", "trainer.learning_rate=5e-3", "evaluation.questions=4"]
    small += ["trainer.precision=32-true", "tracking.system_metrics=false", "evaluation.baselines=[]"]
    rows = f"data.path={outputs / 'rows.jsonl'}"
    return typed("+experiment=instructions", rows, f"outputs={outputs}", *small, *more)


def trained(outputs: Path, name: str, *more: str) -> Path:
    folder = outputs / "runs" / name
    folder.mkdir(parents=True)
    train.run(config(outputs, *more), folder, Signals())
    return folder


@pytest.fixture(scope="module")
def outputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    outputs = tmp_path_factory.mktemp("outputs")
    write_rows(outputs / "rows.jsonl", "Tell the colour:")
    return outputs


@pytest.fixture(scope="module")
def first(outputs: Path) -> Path:
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(ROOT)
        return trained(outputs, "first")


def test_a_run_goes_on_from_its_parent_and_names_it(outputs: Path, first: Path) -> None:
    still = ["trainer.max_steps=1", "trainer.learning_rate=1e-12", "trainer.weight_decay=0"]
    second = trained(outputs, "second", f"model.parent={first / 'model'}", *still)
    one, two = (load_file(folder / "model" / ADAPTER) for folder in (first, second))
    assert all(torch.allclose(one[name], two[name], atol=1e-6) for name in one)
    losses = [json.loads((folder / "results.json").read_text())["validation"] for folder in (first, second)]
    assert losses[0] == pytest.approx(losses[1], abs=1e-4)
    third = trained(outputs, "third", f"model.parent={second / 'model'}", "trainer.max_steps=1")
    parents = json.loads((third / "model/run.json").read_text())["origin"]["parents"]
    assert parents == [model_digest(second / "model"), model_digest(first / "model")]
    run = read_run(third)
    assert f"It goes on from the model {parents[0]}, which goes on from {parents[1]}." in model_card(run, "")
    assert registry_fields(run, third / "model", "")["tags"]["parents"] == ", ".join(parents)
    assert "goes on from" not in model_card(read_run(first), "")


@pytest.mark.parametrize(
    ("more", "told"),
    [
        (["model.lora_r=4"], r"model\.lora_r: 8 there, 4 here"),
        (["model.lora_variant=rslora"], r"model\.lora_variant: 'lora' there, 'rslora' here"),
        (["model.parent=nowhere"], r"model\.parent=nowhere: there is no such file or folder"),
        (["model.adapter=none"], r"model\.adapter: 'lora' there, 'none' here"),
    ],
)
def test_what_cannot_be_gone_on_from_is_refused_before_the_data_are_read(
    more: list[str], told: str, outputs: Path, first: Path, tmp_path: Path
) -> None:
    given = [f"model.parent={first / 'model'}", "data.path=nowhere.jsonl", *more]
    with pytest.raises(ValueError, match=told):
        train.run(config(outputs, *given), tmp_path, Signals())


def test_a_checkpoint_is_no_parent(first: Path) -> None:
    settings = {"parent": str(first / "checkpoints/best.ckpt")}
    with pytest.raises(ValueError, match="give an exported model, such as RUN/model"):
        find_parent(settings, first)


def test_other_labels_are_refused(first: Path) -> None:
    class Classifier:
        model_settings = {"head": {"labels": ["a", "b"]}}  # noqa: RUF012

    module: Any = Classifier()
    settings = json.loads((first / "model/run.json").read_text())["model"] | {"parent": str(first / "model")}
    parent = find_parent(settings, first)
    assert parent is not None
    with pytest.raises(ValueError, match=r"its labels are None, those of the data are \['a', 'b'\]"):
        load_parent(module, parent)
