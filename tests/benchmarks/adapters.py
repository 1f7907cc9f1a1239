"""Adapters of several ranks and kinds on the sample: python -m tests.benchmarks.adapters

Each is trained by `python train.py` with a part of the quickstart's products and steps, one after another,
and judged on the same questions. The learning rate is the quickstart's, but for the model that is trained
whole. Writes results/adapters.md.
"""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
JOB = [
    "+experiment=quickstart",
    "data.limit=200",
    "trainer.max_steps=150",
    "evaluation.questions=100",
    "evaluation.baselines=[]",
    "tracking.system_metrics=false",
]
RANKS = {f"LoRA, rank {r}": [f"model.lora_r={r}", f"model.lora_alpha={2 * r}"] for r in (4, 8, 16, 32, 64)}
KINDS = {
    "rsLoRA, rank 32": ["model.lora_variant=rslora", "model.lora_alpha=11"],  # 11 / sqrt(32) = 64 / 32
    "DoRA, rank 32": ["model.lora_variant=dora"],
    "PiSSA, rank 32": ["model.lora_init=pissa"],
    "OLoRA, rank 32": ["model.lora_init=olora"],
    "EVA, rank 32": ["model.lora_init=eva"],
    "LoRA+ (ratio 4), rank 32": ["trainer.lora_plus=4"],
    "all weights, a fifth of the rate": ["model.adapter=none", "trainer.learning_rate=6e-4"],
}
COLUMNS = ("accuracy", "unseen_accuracy", "unseen_wordings_accuracy")


def result(chosen: list[str], outputs: Path) -> dict[str, Any]:
    """What a run recorded of itself."""
    command = [sys.executable, "train.py", *JOB, *chosen, f"outputs={outputs}", "resume=never"]
    environment = {**os.environ, "HF_HUB_OFFLINE": "1"}
    subprocess.run(command, cwd=ROOT, env=environment, check=True, capture_output=True)
    folder = max((outputs / "runs").iterdir(), key=lambda path: path.stat().st_mtime)
    found: dict[str, Any] = json.loads((folder / "results.json").read_text())
    return found


def table(results: dict[str, dict[str, Any]]) -> list[str]:
    """Markdown: validation loss, accuracies, and time as a share of that of LoRA of rank 32."""
    whole = results["LoRA, rank 32"]["seconds"]
    lines = ["| adapter | validation loss | known products | unseen products | unseen wordings | time |"]
    lines.append("|---|---:|---:|---:|---:|---:|")
    for name, found in results.items():
        shares = " | ".join(f"{found[column]:.1%}" for column in COLUMNS)
        lines.append(f"| {name} | {found['validation']:.4f} | {shares} | {found['seconds'] / whole:.2f} |")
    return lines


def main() -> None:
    """Train and judge all of them."""
    results = {}
    with tempfile.TemporaryDirectory() as outputs:
        for name, chosen in (RANKS | KINDS).items():
            results[name] = result(chosen, Path(outputs))
            print(name, results[name]["validation"], round(results[name]["seconds"]), "s", flush=True)
    lines = [f"Made by `python -m tests.benchmarks.adapters`: {' '.join(JOB)}, one seed.", ""]
    lines += [*table(results), ""]
    lines += [
        "Time is that of training with validation, of one run each, as a share of LoRA's of rank 32. Each"
    ]
    lines += [
        "accuracy is of 100 questions: less than about ten points may be chance. rsLoRA has LoRA's scale"
    ]
    lines += ["here, so the two differ by chance alone.", ""]
    (ROOT / "tests/benchmarks/results/adapters.md").write_text("\n".join(lines))


if __name__ == "__main__":
    main()
