"""Exact resume: a run cut anywhere and continued equals one that was never cut; damaged files, bad
gradients, full disks.
"""

import shutil
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning import Trainer

from architectures.training import checkpoint_io
from architectures.training.fit import is_out_of_memory
from architectures.training.recovery import NonFiniteGradients
from architectures.training.signals import Interrupted, Signals
from data.tokens.batches import TrainingBatches
from data.tokens.batching import Batching
from tests.architectures.models.test_causal_lm import rows, state
from tests.architectures.training.harness import STEPS, Harness


@pytest.fixture
def settings(model_settings: Any) -> dict[str, Any]:
    made: dict[str, Any] = model_settings("llama", lora_dropout=0.2)
    return made


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the uninterrupted run gave; filled by the first test that needs it."""
    return {"folder": tmp_path_factory.mktemp("whole")}


def expected(
    whole: dict[str, Any], settings: dict[str, Any]
) -> tuple[list[dict[str, Any]], dict[str, torch.Tensor], Any]:
    if "run" not in whole:
        run = Harness(settings, whole["folder"] / "run")
        trainer = run.fit()
        whole["run"] = (run.record(), state(run.module), kept(trainer))
    made: tuple[list[dict[str, Any]], dict[str, torch.Tensor], Any] = whole["run"]
    return made


def kept(trainer: Trainer) -> Any:
    """State of the schedule, and which checkpoint is the best."""
    best: Any = trainer.checkpoint_callback
    return (
        trainer.lr_scheduler_configs[0].scheduler.state_dict(),
        float(best.best_model_score),
        Path(best.best_model_path).name,
    )


def check_equal(run: Harness, trainer: Trainer, wanted: Any) -> None:
    record, tensors, others = wanted
    assert run.record() == record
    assert kept(trainer) == others
    for name, tensor in state(run.module).items():
        assert torch.equal(tensor, tensors[name]), name


@pytest.mark.parametrize("step", range(1, STEPS + 1))
def test_cut_after_any_step_and_resumed_it_equals_the_whole(
    settings: dict[str, Any], tmp_path: Path, whole: dict[str, Any], step: int
) -> None:
    """From the checkpoint of each step, whether a validation or an epoch's end came just after it or not."""
    wanted = expected(whole, settings)
    run = Harness(settings, tmp_path / "run")
    shutil.copytree(whole["folder"] / "run", run.folder)
    for path in (run.folder / "checkpoints").glob("step-*.ckpt"):
        if int(path.stem.removeprefix("step-")) > step:
            path.unlink()
    check_equal(run, run.fit(), wanted)


def striker(action: Any, step: int, validation: bool = False) -> Any:
    """A callback that does something once, at the start of a step or within a validation."""
    from lightning import Callback

    class Strike(Callback):
        def on_train_batch_start(self, trainer: Any, *arguments: Any) -> None:
            if not validation and trainer.global_step == step:
                action()

        def on_validation_batch_start(self, trainer: Any, *arguments: Any) -> None:
            if validation and trainer.global_step == step:
                action()

    return Strike()


@pytest.mark.parametrize(
    ("number", "step", "validation"),
    [
        (signal.SIGTERM, 0, False),
        (signal.SIGUSR1, 4, False),
        (signal.SIGTERM, 4, True),
        (signal.SIGUSR1, 8, True),
        pytest.param(signal.SIGUSR1, 0, False, marks=pytest.mark.slow),
        pytest.param(signal.SIGTERM, 4, False, marks=pytest.mark.slow),
        pytest.param(signal.SIGUSR1, 4, True, marks=pytest.mark.slow),
        pytest.param(signal.SIGTERM, 8, True, marks=pytest.mark.slow),
    ],
)
def test_a_signal_saves_at_the_next_step_and_the_resumed_run_equals_the_whole(
    settings: dict[str, Any], tmp_path: Path, whole: dict[str, Any], number: int, step: int, validation: bool
) -> None:
    wanted = expected(whole, settings)
    run = Harness(settings, tmp_path / "run")
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGUSR1, signal.SIGINT)}
    try:
        with pytest.raises(Interrupted, match=signal.Signals(number).name):
            run.fit(striker(lambda: signal.raise_signal(number), step, validation), every=0)
        saved = checkpoint_io.newest_intact(run.folder / "checkpoints")
        assert saved is not None
        assert saved.stem == f"step-{step + (not validation):09d}"
        run.signals = Signals()
        check_equal(run, run.fit(every=0), wanted)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def test_other_micro_batches_after_resuming_give_the_same_run(
    settings: dict[str, Any], tmp_path: Path
) -> None:
    settings |= {"lora_dropout": 0.0}
    run = Harness(settings, tmp_path / "whole")
    run.fit()
    record, tensors = run.record(), state(run.module)
    other = Harness(settings, tmp_path / "other")
    with pytest.raises(RuntimeError, match="cut"):
        other.fit(striker(lambda: (_ for _ in ()).throw(RuntimeError("cut")), 5))
    other.fit(micro=3)
    assert [line["step"] for line in other.record()] == [line["step"] for line in record]
    for one, two in zip(other.record(), record, strict=True):
        assert one == pytest.approx(two, rel=1e-4)
    for name, tensor in state(other.module).items():
        torch.testing.assert_close(tensor, tensors[name], rtol=1e-3, atol=1e-5)


def test_validation_stands_at_its_step_in_the_log(settings: dict[str, Any], whole: dict[str, Any]) -> None:
    record, *_ = expected(whole, settings)
    assert [line["step"] for line in record if "validation/loss" in line] == [2, 4, 6, 8]


def test_checkpoints_are_kept_as_many_as_wanted(settings: dict[str, Any], tmp_path: Path) -> None:
    run = Harness(settings, tmp_path / "run")
    run.fit(every=2, keep=2)
    assert sorted(path.name for path in (run.folder / "checkpoints").iterdir()) == [
        "step-000000008.ckpt",
        "step-000000009.ckpt",
    ]


# files


def test_a_checkpoint_is_an_ordinary_torch_file_with_a_digest(tmp_path: Path) -> None:
    content = {"tensor": torch.arange(5), "list": [1, 2.5, None]}
    checkpoint_io.write_checkpoint(content, tmp_path / "step-1.ckpt")
    assert checkpoint_io.is_intact(tmp_path / "step-1.ckpt")
    for read in (checkpoint_io.read_checkpoint, lambda path: torch.load(path, weights_only=True)):
        again = read(tmp_path / "step-1.ckpt")
        assert torch.equal(again["tensor"], content["tensor"])
        assert again["list"] == content["list"]


@pytest.mark.parametrize("damage", ["cut", "flipped", "empty", "sealed by nobody"])
def test_a_damaged_checkpoint_is_named_and_the_one_before_is_taken(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, damage: str
) -> None:
    old, new = tmp_path / "step-000000001.ckpt", tmp_path / "step-000000002.ckpt"
    for path in (old, new):
        checkpoint_io.write_checkpoint({"tensor": torch.arange(1000)}, path)
    whole = bytearray(new.read_bytes())
    if damage == "flipped":
        whole[len(whole) // 2] ^= 1
    new.write_bytes(
        {"cut": whole[: len(whole) // 2], "flipped": whole, "empty": b"", "sealed by nobody": whole[:-71]}[
            damage
        ]
    )
    assert checkpoint_io.newest_intact(tmp_path) == old
    assert str(new) in caplog.text
    with pytest.raises(ValueError, match="is damaged"):
        checkpoint_io.read_checkpoint(new)
    old.unlink()
    assert checkpoint_io.newest_intact(tmp_path) is None


def test_a_full_disk_leaves_the_old_checkpoint_and_one_clear_error(tmp_path: Path) -> None:
    """A real one: a file system of half a megabyte."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=512k", "tmpfs", str(disk)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"no small file system can be mounted here: {mounted.stderr.decode().strip()}")
    try:
        checkpoint_io.write_checkpoint({"tensor": torch.zeros(50_000)}, disk / "step-000000001.ckpt")
        with pytest.raises(
            ValueError, match=r"step-000000002.ckpt could not be written .*make room on that disk"
        ) as error:
            checkpoint_io.write_checkpoint({"tensor": torch.zeros(100_000)}, disk / "step-000000002.ckpt")
        assert "\n" not in str(error.value)
        assert [path.name for path in disk.iterdir()] == ["step-000000001.ckpt"]
        assert checkpoint_io.newest_intact(disk) == disk / "step-000000001.ckpt"
    finally:
        subprocess.run(
            ["umount", "--lazy", str(disk)], check=True
        )  # what failed to write may hold a file open


# gradients that are not finite, and memory


def poisoned(run: Harness, steps: set[int]) -> Any:
    """A callback that makes the loss of some steps not a number."""
    from lightning import Callback

    class Poison(Callback):
        def on_train_batch_start(self, trainer: Any, module: Any, batch: Any, index: int) -> None:
            if trainer.global_step in steps:
                batch["step_size"] = torch.tensor(float("nan"))

    return Poison()


def test_a_step_with_bad_gradients_is_skipped_and_changes_nothing(
    settings: dict[str, Any], tmp_path: Path
) -> None:
    run = Harness(settings, tmp_path / "run")
    run.fit(poisoned(run, {3}))
    kept = {
        path.stem: checkpoint_io.read_checkpoint(path)["state_dict"]
        for path in (run.folder / "checkpoints").glob("*.ckpt")
    }
    before, after, later = (kept[f"step-{step:09d}"] for step in (3, 4, 5))
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert not all(torch.equal(after[name], later[name]) for name in after)
    assert all(torch.isfinite(tensor).all() for tensor in state(run.module).values())
    assert all(value == value for line in run.record() for value in line.values())


def test_too_many_bad_steps_in_a_row_end_it_with_their_rows(settings: dict[str, Any], tmp_path: Path) -> None:
    run = Harness(settings, tmp_path / "run")
    with pytest.raises(NonFiniteGradients) as error:
        run.fit(poisoned(run, {3, 4}), tolerance=1)
    plan = TrainingBatches(rows(), Batching(8, 1, 3), seed=0).plan(1)
    assert error.value.rows == sorted({*plan[0], *plan[1]})
    last = checkpoint_io.newest_intact(run.folder / "checkpoints")
    assert last is not None
    assert last.stem == "step-000000004"


def test_out_of_memory_is_told_from_other_errors() -> None:
    assert is_out_of_memory(torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"))
    with pytest.raises(RuntimeError) as error:
        torch.empty(1 << 60)
    assert is_out_of_memory(error.value)
    assert not is_out_of_memory(RuntimeError("shapes do not fit"))
