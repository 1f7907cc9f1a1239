"""From a model's own wrong answers, and visitors' opinions, to a model that was trained on them."""

import json
import signal
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import torch
from safetensors.torch import load_file

import evaluate
import train
from architectures.models.preference_lm import PreferenceLM
from architectures.training.signals import Interrupted, Signals
from tests.test_export import configured
from tests.test_resume import config, losses

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    """(an outputs folder with a trained run, arguments that go on from it with its mistakes)"""
    outputs = tmp_path_factory.mktemp("outputs")
    folder = outputs / "runs" / "parent"
    folder.mkdir(parents=True)
    train.run(config(outputs), folder, Signals())
    opinions = [
        (["Red?", "Yes.", "Sure?", "Yes!"], {"liked": True}),
        (["Red?", "Yes.", "Sure?", "No!"], {"liked": False}),
        (["Red?", "Yes.", "Sure?", "Maybe."], {"faults": ["the catalogue says no"]}),
        (["Blue?", "No."], {"liked": False}),
        (["Green?", "No."], {"liked": ""}),
    ]
    lines = [json.dumps({"turns": turns, **known}) for turns, known in opinions]
    lines += [
        '{"turns": ["Black?", "Ye',
        '{"liked": true}',
        '{"turns": ["Black?"], "liked": true}',
        '"Black?"',
    ]
    (outputs / "feedback.jsonl").write_text("\n".join(lines))
    evaluate.run(configured(f"ckpt={folder / 'model'}", "pairs=30", f"outputs={outputs}"))
    (path,) = (outputs / "preferences").glob("pairs-*.parquet")
    chosen = ["trainer.objective=dpo", f"model.parent={folder / 'model'}", f"data.preferences={path}"]
    return outputs, chosen


def test_wrong_answers_stand_beside_the_catalogues(pairs: tuple[Path, list[str]]) -> None:
    outputs, chosen = pairs
    table = pl.read_parquet(chosen[-1].partition("=")[2]).filter(source="catalogue")
    assert table.height
    questions = pl.concat(
        [pl.read_parquet(path) for path in outputs.glob("cache/questions-*/questions.parquet")]
    )
    for prompt, better, worse in table.select("prompt", "chosen", "rejected").rows():
        asked = prompt[-1]["content"].splitlines()[-1]
        row = questions.filter(question=asked, answer=better[0]["content"])
        assert row["split"].unique().to_list() == ["train"]
        assert worse[0]["content"] != better[0]["content"]


def test_visitors_opinions_are_pairs(pairs: tuple[Path, list[str]]) -> None:
    table = pl.read_parquet(pairs[1][-1].partition("=")[2]).filter(source="visitors")
    said = [(prompt[2]["content"].splitlines()[-1], better[0]["content"], worse[0]["content"])
            for prompt, better, worse in table.select("prompt", "chosen", "rejected").rows()]  # fmt: skip
    assert said == [("Sure?", "Yes!", "Maybe."), ("Sure?", "Yes!", "No!")]


def test_an_interrupted_run_on_pairs_goes_on_to_the_bit(
    pairs: tuple[Path, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    outputs, chosen = pairs
    signals, compared = Signals(), PreferenceLM.compare
    calls: list[int] = []

    def compare(module: PreferenceLM, batch: Any) -> Any:
        calls.append(1)
        if len(calls) == 2:
            signals.received = signal.SIGTERM
        return compared(module, batch)

    whole, parts = outputs / "runs/whole", outputs / "runs/parts"
    for folder in (whole, parts):
        folder.mkdir()
    train.run(config(outputs, *chosen), whole, Signals())
    with monkeypatch.context() as patch:
        patch.setattr(PreferenceLM, "compare", compare)
        with pytest.raises(Interrupted, match="SIGTERM"):
            train.run(config(outputs, *chosen), parts, signals)
    train.run(config(outputs, *chosen, "resume=auto"), parts, Signals())
    assert losses(parts) == losses(whole)
    steps = sorted(losses(whole))
    assert losses(whole)[steps[-1]] < losses(whole)[steps[0]]
    one, two = (load_file(folder / "model/adapter_model.safetensors") for folder in (whole, parts))
    assert all(torch.equal(one[key], two[key]) for key in one)
