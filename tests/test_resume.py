"""A run in its folder: interrupted and resumed, refused where it is another one, out of memory, with
losses that are not finite.
"""

import gc
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

import train
from architectures.models.causal_lm import CausalLM
from architectures.training.signals import Interrupted, Signals
from config import runs
from tests.conftest import ROOT
from tests.test_train import SMALL, typed

MORE = [
    "stage=fit",
    "trainer.epochs=2",
    "trainer.validate_every=2",
    "trainer.checkpoint_every=1",
    "data.limit=40",
    "trainer.batch_size=8",
]


def config(outputs: Path, *more: str) -> Any:
    return typed("+experiment=quickstart", f"outputs={outputs}", *SMALL, *MORE, *more)


def losses(folder: Path, rows: str = "train") -> dict[int, float]:
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return {line["step"]: line[f"{rows}/loss"] for line in lines if f"{rows}/loss" in line}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a run that nothing happened to."""
    import contextlib

    outputs = tmp_path_factory.mktemp("whole")
    folder = outputs / "runs" / "whole"
    folder.mkdir(parents=True)
    with contextlib.chdir(ROOT):
        train.run(config(outputs), folder, Signals())
    return folder


@pytest.fixture
def place(whole: Path, tmp_path: Path) -> Path:
    """An outputs folder with the prepared data, and an empty run folder in it."""
    shutil.copytree(whole.parents[1] / "cache", tmp_path / "cache")
    folder = tmp_path / "runs" / "run"
    folder.mkdir(parents=True)
    return folder


def sums(monkeypatch: pytest.MonkeyPatch, change: Any) -> list[int]:
    """Have ``change(call, rows, result)`` see what every forward pass of training gives; the list counts
    these.
    """
    real, calls = CausalLM.sums, [0]

    def changed(self: Any, input_ids: Any, lengths: Any, *rest: Any) -> Any:
        if not torch.is_grad_enabled():
            return real(self, input_ids, lengths, *rest)
        calls[0] += 1
        return change(calls[0], len(lengths), lambda: real(self, input_ids, lengths, *rest))

    monkeypatch.setattr(CausalLM, "sums", changed)
    return calls


def test_an_interrupted_run_is_found_and_goes_on(
    whole: Path, place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    outputs, signals = place.parents[1], Signals()

    def strike(call: int, rows: int, result: Any) -> Any:
        if call == 4:
            signals.received = signal.SIGTERM
        return result()

    with monkeypatch.context() as patch:
        sums(patch, strike)
        with pytest.raises(Interrupted, match="SIGTERM"):
            train.run(config(outputs), place, signals)
    assert runs.read_state(place)["status"] == "interrupted"
    assert not (place / "model").exists()
    again = config(outputs, "resume=auto")
    assert runs.folder_of(again) == place
    capsys.readouterr()
    gc.collect()
    assert "Epoch" not in capsys.readouterr().out  # the bar of the first attempt is closed
    train.run(again, place, Signals())
    bars = re.findall(r"Epoch \d+:.*?(\d+)/(\d+|\?) \[", capsys.readouterr().out)
    assert bars[0][0] == "4"  # where it goes on
    assert {total for _, total in bars} == {"6"}, bars
    assert runs.read_state(place)["status"] == "finished"
    assert losses(place) == losses(whole)
    one, two = (load_file(folder / "model/adapter_model.safetensors") for folder in (whole, place))
    assert all(torch.equal(one[name], two[name]) for name in one)
    ids = {json.loads(line).get("run_id") for line in (place / "tracking.jsonl").read_text().splitlines()}
    assert len(ids - {None}) == 1
    before = (place / "metrics.jsonl").read_bytes()
    train.run(again, place, Signals())  # finished: nothing is done
    assert (place / "metrics.jsonl").read_bytes() == before


@pytest.mark.slow
def test_a_signal_while_answers_are_generated_leaves_a_run_that_goes_on(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The training is not repeated."""
    outputs, signals = place.parents[1], Signals()
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGUSR1, signal.SIGINT)}
    try:
        signals.listen()
        with monkeypatch.context() as patch:
            patch.setattr(
                "architectures.inference.transformers_backend.generate_batch",
                lambda *rest: signal.raise_signal(signal.SIGUSR1),
            )
            with pytest.raises(Interrupted, match="SIGUSR1"):
                train.run(config(outputs, "stage=all"), place, signals)
        trained = losses(place)
        calls = sums(monkeypatch, lambda call, rows, result: result())
        train.run(config(outputs, "stage=all", "resume=auto"), place, Signals())
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    assert calls == [0]
    assert losses(place) == trained
    assert (place / "scores.json").is_file()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (["trainer=gpu"], "torch sees no GPU"),
        (["trainer=fsdp", "trainer.shards=2"], "1 processes are no multiple"),
    ],
)
def test_processes_that_cannot_be_are_refused(place: Path, changes: list[str], message: str) -> None:
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    with pytest.raises(ValueError, match=message):
        train.run(config(place.parents[1], *changes), place, Signals())


@pytest.mark.parametrize("resume", ["auto", "never"])
def test_a_run_of_another_configuration_is_refused_with_the_differences(whole: Path, resume: str) -> None:
    before = {path: path.stat().st_mtime_ns for path in whole.rglob("*")}
    other = config(
        whole.parents[1],
        f"resume={resume}",
        "trainer.learning_rate=1e-3",
        "model.lora_r=4",
        "trainer.threads=1",
    )
    if resume == "auto":
        assert runs.folder_of(other) is None
    with pytest.raises(ValueError) as error:
        train.run(other, whole, Signals())
    text = str(error.value)
    if resume == "never":
        assert "holds a run already" in text
    else:
        assert "model.lora_r: 32 there, 4 here" in text
        assert "trainer.learning_rate: 0.003 there, 0.001 here" in text
        assert "trainer.threads" not in text
    assert before == {path: path.stat().st_mtime_ns for path in whole.rglob("*")}


def test_a_checkpoint_of_another_run_is_refused_with_the_differences(whole: Path, place: Path) -> None:
    """Somebody copied it there."""
    shutil.copytree(whole / "checkpoints", place / "checkpoints")
    outputs = place.parents[1]
    with pytest.raises(
        ValueError, match=r"is of another configuration.*\n  trainer.learning_rate: 0.003 there, 0.001 here"
    ):
        train.run(config(outputs, "resume=auto", "trainer.learning_rate=1e-3"), place, Signals())


def test_resume_from_a_folder_without_a_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no run was started there"):
        runs.folder_of(config(tmp_path, f"resume={tmp_path}"))


def test_a_damaged_state_is_named(tmp_path: Path) -> None:
    (tmp_path / "runs/run").mkdir(parents=True)
    (tmp_path / "runs/run/state.json").write_text('{"a":')
    with pytest.raises(
        ValueError, match=r"run/state\.json is damaged .*: delete it, and go on .* hydra\.run\.dir="
    ):
        runs.folder_of(config(tmp_path, "resume=auto"))


@pytest.mark.slow
def test_out_of_memory_halves_the_micro_batch_and_the_steps_stay_the_same(
    whole: Path, place: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(call: int, rows: int, result: Any) -> Any:
        if rows > 3 and call > 3:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return result()

    sums(monkeypatch, full)
    train.run(config(place.parents[1]), place, Signals())
    assert "out of memory with 8 rows in a forward pass: continuing with 4" in caplog.text
    assert "out of memory with 4 rows in a forward pass: continuing with 2" in caplog.text
    assert runs.read_state(place)["micro_batch"] == 2
    assert losses(place) == pytest.approx(losses(whole), rel=2e-2)  # the base is in bfloat16
    assert list(losses(place)) == list(losses(whole))


def test_out_of_memory_with_one_row_is_one_clear_error(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(call: int, rows: int, result: Any) -> Any:
        raise torch.OutOfMemoryError("CUDA out of memory")

    sums(monkeypatch, full)
    with pytest.raises(
        ValueError, match=r"out of memory with one row in a forward pass: lower data\.max_seq_length"
    ):
        train.run(config(place.parents[1], "trainer.micro_batch=1"), place, Signals())


@pytest.mark.slow
def test_losses_that_are_not_finite_are_skipped_then_undone_then_named(
    place: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def poison(call: int, rows: int, result: Any) -> Any:
        loss, right, size = result()
        return (loss * float("nan") if call >= 4 else loss), right, size

    calls = sums(monkeypatch, poison)
    with pytest.raises(ValueError, match=r"not finite, again after going back.*product .*: '") as error:
        train.run(config(place.parents[1], "trainer.skip_steps=1"), place, Signals())
    assert caplog.text.count("is skipped: its gradients are not finite") == 4
    assert caplog.text.count("going back to the last checkpoint, once") == 1
    assert calls[0] == 3 + 2 + 2
    assert str(error.value).count("product ") == 16
    assert runs.read_state(place)["status"] == "failed"


@pytest.mark.slow
def test_a_passing_bad_step_costs_that_step_alone(
    whole: Path, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def poison(call: int, rows: int, result: Any) -> Any:
        loss, right, size = result()
        return (loss * float("inf") if call == 3 else loss), right, size

    sums(monkeypatch, poison)
    train.run(config(place.parents[1]), place, Signals())
    assert list(losses(place)) == [1, 2, 4, 5, 6]
    assert {step: loss for step, loss in losses(place).items() if step < 3} == {
        1: losses(whole)[1],
        2: losses(whole)[2],
    }


@pytest.mark.slow
@pytest.mark.parametrize("rank", ["0", "1"])
def test_one_of_two_processes_out_of_memory_ends_both_and_the_run_goes_on(place: Path, rank: str) -> None:
    """Nothing hangs; the second start has half the micro-batch, and is the same run."""
    outputs = place.parents[1]
    two = ["trainer=ddp", "trainer.accelerator=cpu", "trainer.devices=2"]
    command = [
        sys.executable,
        str(ROOT / "tests/short_of_memory.py"),
        "+experiment=quickstart",
        *SMALL,
        *MORE,
        *two,
    ]
    command += [f"outputs={outputs}", f"hydra.run.dir={place}", "resume=auto"]
    environment = os.environ | {"SHORT_RANK": rank, "SHORT_ROWS": "2"}
    shown: dict[str, Any] = {"cwd": ROOT, "env": environment, "capture_output": True, "text": True}
    first = subprocess.run(command, check=False, timeout=200, **shown)
    assert first.returncode != 0
    assert "out of memory with 4 rows in a forward pass: continuing with 2" in first.stderr, first.stderr[
        -2000:
    ]
    state = runs.read_state(place)
    assert (state["status"], state["micro_batch"]) == ("interrupted", 2)
    second = subprocess.run(command, check=False, timeout=200, **shown)
    assert second.returncode == 0, second.stderr[-2000:]
    assert runs.read_state(place)["status"] == "finished"
    assert list(losses(place)) == [1, 2, 3, 4, 5, 6]
