"""The modules that one training step runs, by a trace, are those that docs/architecture.md lists."""

import re
import sys
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
from lightning.pytorch.loops.training_epoch_loop import _TrainingEpochLoop

import train
from architectures.training.signals import Signals
from tests.conftest import ROOT, typed

STEPS = 2


def listed(text: str) -> set[str]:
    """Modules in the table of the section about one training step."""
    section = text.split("## One training step")[1].split("\n## ")[0]
    return set(re.findall(r"^\| `([\w/]+\.py)` \|", section, re.MULTILINE))


@pytest.mark.slow
def test_the_modules_of_a_step_are_those_of_the_drawing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_modules: set[str] = set()
    calls = 0
    advance = _TrainingEpochLoop.advance

    def record(frame: FrameType, event: str, argument: object) -> None:
        path = Path(frame.f_code.co_filename)
        if path.is_relative_to(ROOT) and not path.is_relative_to(ROOT / "tests"):
            run_modules.add(path.relative_to(ROOT).as_posix())

    def traced(loop: _TrainingEpochLoop, *arguments: Any) -> None:
        nonlocal calls
        calls += 1
        before = sys.gettrace()
        sys.settrace(record if calls == STEPS else before)
        try:
            advance(loop, *arguments)
        finally:
            sys.settrace(before)

    monkeypatch.setattr(_TrainingEpochLoop, "advance", traced)
    sizes = ["data.limit=40", "trainer.batch_size=8", "trainer.micro_batch=8", f"trainer.max_steps={STEPS}"]
    config = typed("+experiment=quickstart", "stage=fit", *sizes, f"outputs={tmp_path}")
    folder = tmp_path / "run"
    folder.mkdir()
    train.run(config, folder, Signals())
    assert calls == STEPS
    own = {
        name for name in run_modules if name.split("/")[0] in ("architectures", "data", "config", "train.py")
    }
    assert own == listed((ROOT / "docs/architecture.md").read_text(encoding="utf-8"))
