"""The check of a GPU box: its lines work, and one that fails is red."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from tests.benchmarks import check_gpu
from tests.conftest import ROOT

COMMAND = [sys.executable, "-m", "tests.benchmarks.check_gpu"]


@pytest.mark.slow
def test_every_line_works_in_a_dry_run(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    command = [*COMMAND, "--device", "cpu", "--page", str(page)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr[-2000:]
    lines = page.read_text().splitlines()[4:]
    assert len(lines) == len(check_gpu.CHECKS)
    outcomes = {line.split(" | ")[0].removeprefix("| "): line.split(" | ")[1] for line in lines}
    assert {name for name, outcome in outcomes.items() if outcome != "ok"} <= {"several GPUs", "4 bits"}


def test_a_line_that_fails_is_red(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    def wrong(box: check_gpu.Box) -> str:
        raise AssertionError("losses differ")

    monkeypatch.setattr(check_gpu, "CHECKS", {"machine": check_gpu.machine, "repeatable": wrong})
    monkeypatch.setattr(sys, "argv", ["check_gpu", "--device", "cpu", "--page", str(tmp_path / "page.md")])
    with pytest.raises(SystemExit) as ended:
        check_gpu.main()
    assert ended.value.code == 1
    assert "| repeatable | FAILED | AssertionError: losses differ |" in capsys.readouterr().out


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
@pytest.mark.slow
def test_a_machine_without_a_gpu_is_told() -> None:
    done = subprocess.run(COMMAND, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.strip() == "error: torch finds no GPU here; --device cpu tries the script itself"
