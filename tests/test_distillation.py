"""A student learns from a teacher's probabilities, is interrupted, and goes on to the bit."""

import shutil
import signal
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoTokenizer

import train
from architectures.models.distilled_lm import DistilledLM
from architectures.training import first_pass
from architectures.training.signals import Interrupted, Signals
from tests.config.test_schema import wrong
from tests.test_resume import config, losses


@pytest.mark.slow
def test_an_interrupted_student_goes_on_to_the_bit(
    finished: tuple[Path, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    signals, learn, calls = Signals(), DistilledLM.learn, list[int]()

    def struck(module: DistilledLM, batch: Any) -> Any:
        calls.append(1)
        if len(calls) == 4:
            signals.received = signal.SIGTERM
        return learn(module, batch)

    chosen = [f"trainer.teacher={finished[0] / 'model'}", "model.lora_r=4"]
    whole, parts = tmp_path / "runs/whole", tmp_path / "runs/parts"
    for folder in (whole, parts):
        folder.mkdir(parents=True)
    train.run(config(tmp_path, *chosen), whole, Signals())
    with monkeypatch.context() as patch:
        patch.setattr(DistilledLM, "learn", struck)
        with pytest.raises(Interrupted, match="SIGTERM"):
            train.run(config(tmp_path, *chosen), parts, signals)
    with monkeypatch.context() as patch:
        patch.setattr(first_pass, "load_model", None)  # the teacher is not asked again
        train.run(config(tmp_path, "resume=auto", *chosen), parts, Signals())
    assert losses(parts) == losses(whole)
    one, two = (load_file(folder / "model/adapter_model.safetensors") for folder in (whole, parts))
    assert all(torch.equal(one[key], two[key]) for key in one)


@pytest.mark.slow
def test_a_teacher_with_another_vocabulary_is_refused(finished: tuple[Path, str], tmp_path: Path) -> None:
    folder, teacher = tmp_path / "runs/whole", tmp_path / "teacher"
    folder.mkdir(parents=True)
    shutil.copytree(finished[0] / "model", teacher)
    tokenizer = AutoTokenizer.from_pretrained(teacher)
    tokenizer.add_tokens(["one more"])
    tokenizer.save_pretrained(teacher)
    with pytest.raises(ValueError, match="choose a teacher of the same family"):
        train.run(config(tmp_path, f"trainer.teacher={teacher}"), folder, Signals())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["trainer.teacher=nowhere"], "trainer.teacher=nowhere: is no exported model"),
        (["trainer.teacher=x", "data=labelled", "data.path=x"], "trainer.teacher: is for data.task=retail"),
        (["trainer.teacher=x", "trainer=fsdp"], "trainer.teacher: is for trainer.strategy=ddp"),
    ],
)
def test_what_cannot_be_taught_is_refused(arguments: list[str], message: str) -> None:
    assert message in wrong(*arguments)


def test_a_damaged_record_of_a_teacher_is_refused(tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text('{"model": ')
    assert f"trainer.teacher={tmp_path}: {tmp_path / 'run.json'} is damaged" in wrong(
        f"trainer.teacher={tmp_path}"
    )
