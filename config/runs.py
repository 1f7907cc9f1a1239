"""Which run is the same run: what of a configuration decides its result, and what a run's folder says of how far it got."""

import hashlib
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from config.schema import TrainConfig

STATE_FILE = "state.json"
# what may change between two attempts at one run: where and how it works, not what comes of it
FREE = ["resume", "outputs", "stage", "tracking", "evaluation", "trainer.accelerator", "trainer.threads", "trainer.strategy"]
FREE += ["trainer.devices", "trainer.nodes", "trainer.shards", "trainer.micro_batch", "trainer.max_hours", "trainer.prune"]
FREE += ["data.images", "data.against", "data.questions.structured", "data.questions.concurrency", "data.questions.retries"]
FREE += ["data.questions.timeout", "data.questions.per_minute", "data.engine", "data.ray_address", "data.shard"]
FREE += ["trainer.checkpoint_every", "trainer.checkpoint_minutes", "trainer.keep_checkpoints", "trainer.skip_steps", "trainer.log_every"]


def identity(config: TrainConfig) -> dict[str, Any]:
    """What decides the result: dotted key -> value."""

    def walk(tree: dict[str, Any], prefix: str) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for name, value in tree.items():
            key = f"{prefix}{name}"
            if key not in FREE:
                found |= walk(value, f"{key}.") if isinstance(value, dict) else {key: value}
        return found

    return walk(asdict(config), "")


def digest(settings: dict[str, Any]) -> str:
    """Hex digest (16 digits) of an identity."""
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:16]


def differences(there: dict[str, Any], here: dict[str, Any]) -> list[str]:
    """What differs between two identities, one line each."""
    keys = sorted(there.keys() | here.keys())
    return [f"{key}: {there.get(key)!r} there, {here.get(key)!r} here" for key in keys if there.get(key) != here.get(key)]


def read_state(folder: Path) -> dict[str, Any]:
    """What a run's folder says of it (config, status, run_id, ...); nothing if no run was begun there. Raises ValueError."""
    path = folder / STATE_FILE
    try:
        return dict(json.loads(path.read_text(encoding="utf-8"))) if path.is_file() else {}
    except json.JSONDecodeError as error:
        again = f"delete it, and go on from the folder's checkpoints by resume=auto hydra.run.dir={folder}"
        raise ValueError(f"{path} is damaged ({error}): {again}") from None


def write_json(path: Path, content: Any) -> None:
    """Write a file that is whole at any time."""
    part = path.with_name(f"{path.name}.partial")
    part.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    part.replace(path)


def write_state(folder: Path, **changes: Any) -> None:
    """Change entries of the state."""
    write_json(folder / STATE_FILE, read_state(folder) | changes)


def newest_run(runs: Path, config: TrainConfig) -> Path | None:
    """The folder of the newest run of this same configuration."""
    wanted = digest(identity(config))
    for path in sorted(runs.glob(f"*/{STATE_FILE}"), key=lambda path: path.stat().st_mtime, reverse=True):
        if read_state(path.parent).get("config") == wanted:
            return path.parent
    return None


def folder_of(config: TrainConfig) -> Path | None:
    """The run's folder that ``resume`` names; None where a new one is to be made. Raises ValueError if it holds no such run."""
    if config.resume == "never":
        return None
    if config.resume == "auto":
        return newest_run(Path(config.outputs) / "runs", config)
    folder = Path(config.resume)
    if not read_state(folder):
        raise ValueError(
            f"resume={folder}: no run was begun there (no {STATE_FILE}); resume=auto finds the newest one of this configuration"
        )
    return folder


def check_same(folder: Path, config: TrainConfig) -> None:
    """Raises ValueError, with the differences, if the folder holds a run of another configuration, or one not to be resumed."""
    there = read_state(folder).get("settings")
    if there and config.resume == "never":
        raise ValueError(f"{folder} holds a run already: go on with it by resume=auto, or choose another hydra.run.dir")
    other = differences(there, identity(config)) if there else []
    if other:
        raise ValueError(f"the run in {folder} is of another configuration; nothing was changed:\n  " + "\n  ".join(other))
