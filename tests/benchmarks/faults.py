"""Kill a real training run again and again, resume it, and compare what comes out with a run that nobody
touched.

    python -m tests.benchmarks.faults results.md [seed]

Writes the fault table: fault, tries, what survived. The loss log (metrics.jsonl) and the exported adapter
must be equal to the bit. Takes about ten minutes on two cores.
"""

import json
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from safetensors.torch import load_file

ROOT = Path(__file__).resolve().parents[2]
RUN = [
    "data.limit=60",
    "data.max_details=2",
    "trainer.max_steps=60",
    "trainer.epochs=3",
    "trainer.log_every=1",
    "stage=fit",
]
RUN += [
    "trainer.precision=32-true",
    "tracking.system_metrics=false",
    "trainer.validate_every=7",
    "trainer.checkpoint_every=4",
]
RUN += ["model.lora_dropout=0.1", "trainer.threads=1", "trainer.patience=0", "trainer.accelerator=cpu"]
RATES = ("train/tokens_per_second",)  # the only figures that depend on the clock


def start(folder: Path, *more: str) -> subprocess.Popen[bytes]:
    """The run, in ``folder``, from where it stands."""
    command = [
        sys.executable,
        "train.py",
        "+experiment=quickstart",
        *RUN,
        f"outputs={folder.parent}",
        f"hydra.run.dir={folder}",
    ]
    with (folder.parent / "output.txt").open("ab") as out:
        return subprocess.Popen([*command, "resume=auto", *more], cwd=ROOT, stdout=out, stderr=out)


def result(folder: Path) -> tuple[list[dict[str, float]], dict[str, bytes]]:
    """(the loss log without what depends on the clock, the exported adapter as bytes)."""
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    log = [{key: value for key, value in line.items() if key not in ("time", *RATES)} for line in lines]
    return log, {
        name: tensor.numpy().tobytes()
        for name, tensor in load_file(folder / "model/adapter_model.safetensors").items()
    }


def steps(folder: Path) -> int:
    """Steps in the log."""
    path = folder / "metrics.jsonl"
    return path.read_text().count("train/loss") if path.is_file() else 0


def saving(folder: Path) -> bool:
    """Whether a checkpoint is being written."""
    return any((folder / "checkpoints").glob("*.partial"))


def validating(folder: Path) -> bool:
    """Whether the steps have come to a validation that is not in the log yet."""
    lines = (
        (folder / "metrics.jsonl").read_text().splitlines() if (folder / "metrics.jsonl").is_file() else []
    )
    done = steps(folder)
    return done > 0 and done % 7 == 0 and "validation/loss" not in lines[-1]


def moment(kind: str, folder: Path, rng: random.Random, at: list[int]) -> Callable[[], bool]:
    """Tells when to strike: in a save, in validation, or some time after the first step that is new since
    it struck last.
    """
    delay, begun = rng.uniform(0.1, 2.5), list[float]()

    def now() -> bool:
        if kind.endswith("save"):  # another one each time
            saved = [
                int(path.stem.removeprefix("step-")) for path in (folder / "checkpoints").glob("step-*.ckpt")
            ]
            return saving(folder) and max(saved, default=0) >= 8 * len(at) and rng.random() < 0.3
        if kind.endswith("validation"):
            return steps(folder) > (at[-1] if at else 0) and validating(folder) and rng.random() < 0.02
        if not begun and steps(folder) > (at[-1] if at else 0):
            begun.append(time.monotonic())
        return bool(begun) and time.monotonic() - begun[0] > delay

    return now


def stop(
    process: subprocess.Popen[bytes], number: int, when: Callable[[], bool], patience: float = 90
) -> bool:
    """Send a signal once ``when`` holds; whether the run was still there."""
    until = time.monotonic() + patience
    while process.poll() is None and time.monotonic() < until and not when():
        time.sleep(0.001)
    if process.poll() is not None:
        return False
    process.send_signal(number)
    process.wait(60)
    return True


def uninterrupted(outputs: Path, more: tuple[str, ...]) -> tuple[list[dict[str, float]], dict[str, bytes]]:
    """The result of a run that nobody touches."""
    (outputs / "run").mkdir(parents=True)
    assert start(outputs / "run", *more).wait() == 0, (outputs / "output.txt").read_text()[-3000:]
    return result(outputs / "run")


def main(target: Path, seed: int) -> None:
    """All faults; one table."""
    rng = random.Random(seed)
    rows = []
    kinds: dict[str, tuple[int, int, tuple[str, ...]]] = {
        "kill -9 at a random moment": (signal.SIGKILL, 20, ()),
        "kill -9 inside a save": (signal.SIGKILL, 3, ()),
        "kill -9 inside validation": (signal.SIGKILL, 3, ()),
        "SIGTERM": (signal.SIGTERM, 3, ()),
        "SIGUSR1": (signal.SIGUSR1, 3, ()),
        "kill -9, two processes (ddp)": (signal.SIGKILL, 3, ("trainer=ddp", "trainer.devices=2")),
        "SIGTERM, two processes (fsdp)": (signal.SIGTERM, 3, ("trainer=fsdp", "trainer.devices=2")),
    }
    with tempfile.TemporaryDirectory() as temporary:
        expected = {
            more: uninterrupted(
                Path(temporary) / "-".join(["whole", *(one.replace("=", "-") for one in more)]), more
            )
            for more in {more for _, _, more in kinds.values()}
        }
        for kind, (number, tries, more) in kinds.items():
            folder = Path(temporary) / "".join(c if c.isalnum() else "-" for c in kind) / "run"
            folder.mkdir(parents=True)
            at: list[int] = []
            statuses = set()
            while len(at) < tries:
                process = start(folder, *more)
                if not stop(process, number, moment(kind, folder, rng, at)):
                    break
                at.append(steps(folder))
                statuses.add(process.returncode)
            last = start(folder, *more)
            assert last.wait() == 0, (folder.parent / "output.txt").read_text()[-3000:]
            same = "log and adapter equal to the bit" if result(folder) == expected[more] else "DIFFERENT"
            rows.append(
                f"| {kind} | {len(at)} | {', '.join(map(str, sorted(statuses)))} |"
                f" {', '.join(map(str, at))} | {same} |"
            )
            print(rows[-1], flush=True)
    head = (
        "| fault | tries | exit status | steps in the log when it struck, of 60 | after resuming"
        " |\n|---|--:|---|---|---|\n"
    )
    target.write_text(
        f"# Faults\n\n`python -m tests.benchmarks.faults {target.name} {seed}`\n\n{head}"
        + "\n".join(rows)
        + "\n"
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 0)
