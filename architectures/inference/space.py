"""A folder with all that a Hugging Face Space needs to serve the chat page."""

import shutil
from importlib.metadata import version
from pathlib import Path

LAYERS, FILES = ("architectures", "data"), ("app.py", "LICENSE", "requirements.txt")
CONFIG = "config/app.yaml"
CHANGES = (("ckpt: null ", "ckpt: model"), ("host: 127.0.0.1", "host: 0.0.0.0"))  # in the configuration
PYTHON = "'3.11'"


def _check_empty_space(folder: Path) -> None:
    """Raise ValueError if the folder is not empty."""
    if folder.exists() and any(folder.iterdir()):
        raise ValueError(f"space={folder}: is not empty; give another folder")


def write_space(root: Path, folder: Path, exported: Path, title: str, description: str) -> Path:
    """Copy the code below ``root`` and an exported model into ``folder``; the model's folder there.

    Args:
        description: of the model and its catalogue, for the README.
    """
    _check_empty_space(folder)
    ignored = shutil.ignore_patterns("__pycache__")
    for layer in LAYERS:
        shutil.copytree(root / layer, folder / layer, ignore=ignored)
    (folder / CONFIG).parent.mkdir()
    content = (root / CONFIG).read_text(encoding="utf-8")
    for old, new in CHANGES:
        assert old in content
        content = content.replace(old, new, 1)
    (folder / CONFIG).write_text(content, encoding="utf-8")
    for name in FILES:
        shutil.copy(root / name, folder / name)
    shutil.copytree(exported, folder / "model")
    fields = {"title": title, "sdk": "gradio", "sdk_version": version("gradio"), "python_version": PYTHON}
    fields |= {"app_file": "app.py", "license": "apache-2.0"}
    front_matter = "\n".join(["---", *(f"{key}: {value}" for key, value in fields.items()), "---"])
    (folder / "README.md").write_text(f"{front_matter}\n\n# {title}\n\n{description}\n", encoding="utf-8")
    return folder / "model"
