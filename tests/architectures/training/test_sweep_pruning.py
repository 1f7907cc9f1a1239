"""The median rule, on records as runs write them."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from architectures.training.sweep_pruning import SweepPruning


def record(folder: Path, values: list[float], name: str = "validation/loss") -> None:
    folder.mkdir()
    lines = [{"step": 10 * (i + 1), "time": 0.0, name: value} for i, value in enumerate(values)]
    (folder / "metrics.jsonl").write_text(
        '{"step": 5, "train/loss": 9.0}\n' + "".join(json.dumps(line) + "\n" for line in lines) + '{"ste'
    )


def pruned(folder: Path, mode: str = "min", name: str = "validation/loss") -> bool:
    trainer: Any = SimpleNamespace(
        is_global_zero=True,
        sanity_checking=False,
        should_stop=False,
        strategy=SimpleNamespace(broadcast=lambda value: value),
    )
    rule = SweepPruning(folder, name, mode)
    rule.on_validation_end(trainer, None)
    assert rule.pruned == trainer.should_stop
    return rule.pruned


@pytest.mark.parametrize(
    ("mine", "expected"),
    [([5.0, 4.0], True), ([5.0, 2.0], False), ([1.0, 9.0], False), ([2.5], False), ([5.0], True)],
)
def test_a_job_is_stopped_when_its_best_is_worse_than_half_of_the_others(
    tmp_path: Path, mine: list[float], expected: bool
) -> None:
    for number, values in enumerate([[3.0, 2.0, 0.1], [4.0, 3.0], [2.0, 2.5]]):
        record(tmp_path / str(number), values)
    record(tmp_path / "mine", mine)
    assert pruned(tmp_path / "mine") is expected


def test_more_is_better_for_a_score(tmp_path: Path) -> None:
    for number, value in enumerate([0.5, 0.6, 0.7]):
        record(tmp_path / str(number), [value], "validation/f1")
    record(tmp_path / "good", [0.65], "validation/f1")
    assert not pruned(tmp_path / "good", "max", "validation/f1")
    record(tmp_path / "bad", [0.55], "validation/f1")
    assert pruned(tmp_path / "bad", "max", "validation/f1")


def test_nobody_is_stopped_before_others_have_got_as_far(tmp_path: Path) -> None:
    record(tmp_path / "0", [1.0, 0.5])
    record(tmp_path / "1", [1.0])
    record(tmp_path / "mine", [5.0, 5.0])
    assert not pruned(tmp_path / "mine")
