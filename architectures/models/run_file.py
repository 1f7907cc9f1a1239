"""run.json, the record of an exported model: how it is written and read, and the digest that identifies
the model.
"""

import hashlib
import json
from pathlib import Path

from architectures.values import Settings

RUN_FILE = "run.json"


def write_record(folder: Path, record: Settings) -> None:
    """Write the settings of model and data; the file is complete at any time."""
    partial = folder / f"{RUN_FILE}.partial"
    partial.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    partial.replace(folder / RUN_FILE)


def read_record(folder: Path) -> Settings:
    """Read the settings of model and data. Raises ValueError if the folder is no exported model, or the
    file is damaged.
    """
    path = folder / RUN_FILE
    if not path.is_file():
        raise ValueError(
            f"ckpt={folder} is neither a checkpoint file nor an exported folder (there is no {path})"
        )
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except ValueError as error:
        raise ValueError(f"{path} is damaged ({error!r}): export the model again") from None


def find_exported(folder: Path) -> Path:
    """The exported model anywhere in a folder. Raises ValueError if there is none."""
    path = next(folder.rglob(RUN_FILE), None)
    if path is None:
        raise ValueError(f"{folder} holds no exported model (there is no {RUN_FILE})")
    return path.parent


def model_digest(exported: Path) -> str:
    """Digest (16 hex digits) of an exported model: its weights and the settings that they are used with."""
    settings = read_record(exported)["model"]
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode())
    for path in sorted(exported.glob("*.safetensors")):
        with path.open("rb") as file:
            digest.update(path.name.encode() + hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()[:16]
