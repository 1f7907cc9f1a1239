"""Which run is the same run: what of a configuration decides its result; and the state of a run in its
folder.
"""

import hashlib
import json
from dataclasses import asdict
from datetime import datetime
from enum import StrEnum
from pathlib import Path

from omegaconf import OmegaConf

from config.schema import TrainConfig
from config.schema.fields import Values

STATE_FILE = "state.json"
# what may change between two attempts at one run: where and how it works, not what its result is
OTHER_GROUPS = ["resume", "outputs", "stage", "tracking", "evaluation", "data.images", "data.against"]
HARDWARE = [
    "accelerator",
    "threads",
    "strategy",
    "devices",
    "nodes",
    "shards",
    "micro_batch",
    "max_hours",
    "prune",
]
CHECKPOINTS = ["checkpoint_every", "checkpoint_minutes", "keep_checkpoints", "skip_steps", "log_every"]
REQUESTS = ["structured", "concurrency", "retries", "timeout", "per_minute"]
FREE_TRAINER = [f"trainer.{name}" for name in [*HARDWARE, *CHECKPOINTS]]
FREE_REQUESTS = [f"data.questions.{name}" for name in REQUESTS]
FREE = [*OTHER_GROUPS, *FREE_TRAINER, *FREE_REQUESTS, "data.engine", "data.ray_address", "data.shard"]


class Status(StrEnum):
    """How far a run is. SUBMITTED: it is in the queue of a cluster."""

    SUBMITTED = "submitted"
    RUNNING = "running"
    FINISHED = "finished"
    INTERRUPTED = "interrupted"
    FAILED = "failed"

    @property
    def in_mlflow(self) -> str:
        """MLflow's word for a run that has ended."""
        return {Status.FINISHED: "FINISHED", Status.INTERRUPTED: "KILLED"}.get(self, "FAILED")


def identity(config: TrainConfig) -> Values:
    """What decides the result: dotted key -> value."""

    def walk(tree: Values, prefix: str) -> Values:
        decisive: Values = {}
        for name, value in tree.items():
            key = f"{prefix}{name}"
            if key not in FREE:
                decisive |= walk(value, f"{key}.") if isinstance(value, dict) else {key: value}
        return decisive

    return walk(asdict(config), "")


def digest(settings: Values) -> str:
    """Hex digest (16 digits) of an identity."""
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:16]


def differences(there: Values, here: Values) -> list[str]:
    """What differs between two identities, one line each."""
    keys = sorted(there.keys() | here.keys())
    return [
        f"{key}: {there.get(key)!r} there, {here.get(key)!r} here"
        for key in keys
        if there.get(key) != here.get(key)
    ]


def read_state(folder: Path) -> Values:
    """What a run's folder says of it (config, status, run_id, ...); empty if no run was started there.
    Raises ValueError.
    """
    path = folder / STATE_FILE
    try:
        return dict(json.loads(path.read_text(encoding="utf-8"))) if path.is_file() else {}
    except json.JSONDecodeError as error:
        again = f"delete it, and go on from the folder's checkpoints by resume=auto hydra.run.dir={folder}"
        raise ValueError(f"{path} is damaged ({error}): {again}") from None


def write_json(path: Path, content: object) -> None:  # any value that JSON can write
    """Write a file that is complete at any time."""
    partial = path.with_name(f"{path.name}.partial")
    partial.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    partial.replace(path)


def write_state(folder: Path, **changes: object) -> None:
    """Change entries of the state."""
    write_json(folder / STATE_FILE, read_state(folder) | changes)


def _newest_run(runs: Path, config: TrainConfig) -> Path | None:
    """The folder of the newest run of this same configuration."""
    wanted = digest(identity(config))
    for path in sorted(runs.glob(f"*/{STATE_FILE}"), key=lambda path: path.stat().st_mtime, reverse=True):
        if read_state(path.parent).get("config") == wanted:
            return path.parent
    return None


def folder_of(config: TrainConfig) -> Path | None:
    """The run's folder that ``resume`` names; None where a new one is to be made. Raises ValueError if it
    holds no such run.
    """
    if config.resume == "never":
        return None
    if config.resume == "auto":
        return _newest_run(Path(config.outputs) / "runs", config)
    folder = Path(config.resume)
    if not read_state(folder):
        raise ValueError(
            f"resume={folder}: no run was started there (no {STATE_FILE}); resume=auto finds the"
            f" newest one of this configuration"
        )
    return folder


def check_same(folder: Path, config: TrainConfig) -> None:
    """Raises ValueError, with the differences, if the folder holds a run of another configuration, or one
    not to be resumed.
    """
    there = read_state(folder).get("settings")
    if there and config.resume == "never":
        raise ValueError(
            f"{folder} holds a run already: go on with it by resume=auto, or choose another hydra.run.dir"
        )
    other = differences(there, identity(config)) if there else []
    if other:
        raise ValueError(
            f"the run in {folder} is of another configuration; nothing was changed:\n  " + "\n  ".join(other)
        )


def interrupt(folder: Path, **changes: object) -> None:  # plain values that JSON can write
    """Write that a run stopped and can be resumed, with changed entries of its state."""
    write_state(folder, status=Status.INTERRUPTED, **changes)


def end_run(folder: Path, status: Status, **outcome: object) -> None:
    """Write how a run ended. A failure that another process's interruption has caused counts as
    interrupted.
    """
    if status == Status.FAILED and read_state(folder)["status"] == Status.INTERRUPTED:
        status = Status.INTERRUPTED
    write_state(folder, status=status, **outcome)


def start_run(folder: Path, config: TrainConfig) -> None:
    """Write which run is under way, and its configuration as config.yaml."""
    settings = identity(config)
    identifiers = {"config": digest(settings), "settings": settings, "experiment": config.experiment}
    write_state(folder, **identifiers, status=Status.RUNNING)
    OmegaConf.save(OmegaConf.structured(config), folder / "config.yaml")


def description(config: TrainConfig, data_digest: str, commit: str) -> Values:
    """What names a finished run in tables of several."""
    return {
        "digest": data_digest,
        "commit": commit,
        "finished": datetime.now().isoformat(" ", "minutes"),
        "name": f"{config.experiment} r={config.model.lora_r}",
        "experiment": config.experiment,
        "model": config.model.name,
        "data": config.data.name,
        "fold": [config.data.fold, config.data.folds],
        "monitor": config.trainer.monitor,
        "lora_r": config.model.lora_r,
        "learning_rate": config.trainer.learning_rate,
    }


def origin(config: TrainConfig) -> Values:
    """What a model is made of, kept with it for whoever evaluates it or continues its training."""
    names = {"name": config.model.name, "experiment": config.experiment, "monitor": config.trainer.monitor}
    groups = {"data": asdict(config.data), "evaluation": asdict(config.evaluation)}
    return groups | names | {"seed": config.seed, "settings": identity(config)}


def baseline_settings(config: TrainConfig, answers: Path) -> Values:
    """What a baseline classifier takes. answers: file of cached answers of an endpoint."""
    model = asdict(config.model)
    settings = {name: model[name] for name in ("method", "base", "dtype", "quantization", "attention")}
    settings |= {"monitor": config.trainer.monitor, "seed": config.seed}
    settings |= {"max_seq_length": config.data.max_seq_length, "batch_size": config.evaluation.batch_size}
    return settings | asdict(config.prompting) | {"answers": str(answers)}
