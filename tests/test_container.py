"""The container image: its recipe keeps the usual rules, and the files that it takes are enough for a run."""

import fnmatch
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT

Instructions = list[tuple[str, str]]  # word and arguments


def instructions() -> Instructions:
    """Dockerfile, continued lines joined."""
    text = (ROOT / "Dockerfile").read_text(encoding="utf-8").replace("\\\n", " ")
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return [(word, rest) for word, _, rest in (line.partition(" ") for line in lines)]


def stages() -> dict[str, Instructions]:
    """Stage -> its instructions, the first of which says what it is built from."""
    found: dict[str, Instructions] = {}
    for word, rest in instructions():
        if word == "FROM":
            name = rest.split(" AS ")[1]
            found[name] = []
        found[name].append((word, rest))
    return found


def test_every_base_is_an_earlier_stage_or_has_a_version() -> None:
    seen: set[str] = set()
    for name, (first, *_) in stages().items():
        base = first[1].split(" AS ")[0]
        assert base in seen or re.fullmatch(r"[\w./-]+:\d[\w.-]*", base), base
        seen.add(name)


def test_copied_files_exist_and_copied_stages_come_first() -> None:
    names = list(stages())
    for name, lines in stages().items():
        for word, rest in lines:
            if word != "COPY":
                continue
            if source := re.match(r"--from=(\S+)", rest):
                assert names.index(source[1]) < names.index(name)
            else:
                assert (ROOT / rest.split()[0]).exists(), rest


@pytest.mark.parametrize("name", ["cpu", "gpu", "chat"])
def test_what_is_built_runs_without_root(name: str) -> None:
    assert stages()[name][-1] == ("USER", "1000")


def test_packages_are_those_of_the_lock_and_leave_no_caches() -> None:
    ran = [rest for word, rest in instructions() if word == "RUN"]
    assert any("--require-hashes" in line and "--no-deps" in line for line in ran)
    for line in ran:
        assert "pip install" not in line or "--no-cache-dir" in line
        if "apt-get install" in line:
            assert "--no-install-recommends" in line
            assert "rm -rf /var/lib/apt/lists/*" in line


def test_the_development_container_makes_what_the_tests_need() -> None:
    content = json.loads((ROOT / ".devcontainer/devcontainer.json").read_text())
    assert content["postCreateCommand"] == "make .venv/dev"
    assert re.search(r":3\.1[123]-", content["image"])


def image_files() -> list[str]:
    """The tracked files that .dockerignore lets into an image."""
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True)
    lines = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    patterns = [line for line in lines if line and not line.startswith("#")]
    found = []
    for name in listed.stdout.split():
        first = name.split("/")[0]
        if not any(fnmatch.fnmatch(first, pattern) for pattern in patterns):
            found.append(name)
    return found


@pytest.mark.slow
def test_the_files_of_the_image_are_enough_for_a_run(tmp_path: Path) -> None:
    code = tmp_path / "code"
    for name in image_files():
        (code / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, code / name)
    assert not (code / "tests").exists()
    small = ["data.limit=60", "trainer.max_steps=2", "evaluation.questions=4", "evaluation.baselines=[exact]"]
    command = [sys.executable, "train.py", *small, f"outputs={tmp_path / 'outputs'}"]
    done = subprocess.run(command, cwd=code, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "| tuned " in done.stdout
