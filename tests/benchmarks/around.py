"""What stands around the training step: python -m tests.benchmarks.around TABLE.csv

From typing to the first step, by part; cleaning the table, and fifty times the table with fresh ids; its rows
as token ids; generation against a loop over prompts; a sweep against the sum of its jobs' training. Writes
results/around.md.
"""

import json
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

ROOT = Path(__file__).parents[2]
TIMES = 50  # as often is the table repeated
RUNS = 3
PROMPTS = 150
TRAIN = [sys.executable, "train.py", "tracking.system_metrics=false"]
ENVIRONMENT = {**os.environ, "HF_HUB_OFFLINE": "1"}


def measured(command: list[str]) -> tuple[str, float, float]:
    """Run it -> (what it printed, seconds, peak memory in MiB)."""
    with tempfile.TemporaryFile("w+") as out:
        begun = time.time()
        process = subprocess.Popen(command, cwd=ROOT, env=ENVIRONMENT, stdout=out, stderr=subprocess.STDOUT)
        _, status, used = os.wait4(process.pid, 0)
        seconds = time.time() - begun
        out.seek(0)
        text = out.read()
    if status:
        raise RuntimeError(f"{' '.join(command)} failed:\n{text[-2000:]}")
    return text, seconds, used.ru_maxrss / 1024


def first_step(outputs: Path) -> list[str]:
    """Seconds from typing to the end of the first step of the default job, caches warm."""
    seconds, parts = [], ""
    for run in range(RUNS + 1):
        begun = time.time()
        command = [
            *TRAIN,
            f"outputs={outputs}",
            "stage=fit",
            "resume=never",
            "trainer.max_steps=1",
            "trainer.log_every=1",
        ]
        text, _, _ = measured(command)
        folder = max((outputs / "runs").iterdir(), key=lambda path: path.stat().st_mtime)
        record = json.loads((folder / "metrics.jsonl").read_text().splitlines()[0])
        if run:  # the first one fills the caches
            seconds.append(record["time"] - begun)
            parts = re.findall(r"started in .*", text)[-1]
    spread = f"{median(seconds):.1f} s ({min(seconds):.1f}-{max(seconds):.1f})"
    return [f"default job, from typing to the end of the first step: {spread}; {parts}"]


CLEAN = """
import resource, sys, time
from pathlib import Path
import polars as pl
from hydra import compose, initialize_config_dir
from config import command_line, schema
from data import catalogue
with initialize_config_dir(str(Path("config").resolve()), version_base="1.3"):
    d = schema.typed(compose("train", overrides=["data=flipkart", "data.path=x"])).data
there = set(pl.scan_csv(sys.argv[1], infer_schema=False).collect_schema().names())
columns = {name: column for name, column in d.columns.items() if column in there}
rule = catalogue.Filter(d.root, tuple(d.departments), d.min_rows, d.drop_missing_levels)
before = time.perf_counter()
made = catalogue.clean(Path(sys.argv[1]), columns, [], rule)
print("RESULT", time.perf_counter() - before, made.counts[0][1], made.products.height)
"""


def cleaning(table: Path, work: Path) -> list[str]:
    """Seconds and memory of cleaning a table, and of cleaning it many times over."""
    import polars as pl

    many = work / "many.csv"
    frame = pl.read_csv(table, infer_schema=False)
    ids = [pl.format("{}-{}", "uniq_id", pl.lit(number)).alias("uniq_id") for number in range(TIMES)]
    pl.concat([frame.with_columns(each) for each in ids]).write_csv(many)
    lines, rates = [], []
    for path in (table, many):
        text, _, memory = measured([sys.executable, "-c", CLEAN, str(path)])
        seconds, rows, kept = re.findall(r"RESULT (\S+) (\d+) (\d+)", text)[0]
        rates.append(int(rows) / float(seconds))
        rate = f"{float(seconds):.2f} s, {rates[-1]:,.0f} rows/s, peak memory {memory:,.0f} MiB"
        lines.append(f"{int(rows):,} rows cleaned to {int(kept):,}: {rate}")
    return [*lines, f"rate of the large table over that of the small one: {rates[1] / rates[0]:.2f}"]


def generation(outputs: Path) -> list[str]:
    """Answers a second, in batches and one prompt after the other, which must be the same answers."""
    import torch
    from hydra import compose, initialize_config_dir

    import train
    from architectures.inference.backend import Decoding
    from architectures.inference.transformers_backend import generate_batch
    from architectures.training import checkpoints
    from config import schema

    with initialize_config_dir(str(ROOT / "config"), version_base="1.3"):
        config = schema.typed(compose("train", overrides=["+experiment=quickstart", f"outputs={outputs}"]))
    data = train.prepare(config)
    measured([*TRAIN, f"outputs={outputs}", "stage=fit", "resume=never", "trainer.max_steps=200"])
    folder = max((outputs / "runs").iterdir(), key=lambda path: path.stat().st_mtime)
    net = checkpoints.load_model(folder / "model").net.eval()
    prompts, stop = data.prompts(data.questions("test").head(PROMPTS)), data.renderer.stop_ids
    begun = time.perf_counter()
    together = generate_batch(net, prompts, Decoding(stop, data.max_new_tokens))
    between = time.perf_counter()
    alone: list[Any] = []
    with torch.inference_mode():
        for prompt in prompts:
            made = net.generate(
                input_ids=torch.tensor([prompt]),
                max_new_tokens=data.max_new_tokens,
                do_sample=False,
                eos_token_id=stop,
            )
            answer = made[0, len(prompt) :].tolist()
            alone.append(answer[: next((i for i, token in enumerate(answer) if token in stop), len(answer))])
    ended = time.perf_counter()
    same = sum(a == b for a, b in zip(together, alone, strict=True))
    rate = PROMPTS / (between - begun), PROMPTS / (ended - between)
    times = f"{rate[0]:.1f} answers/s, one by one {rate[1]:.1f}: {rate[0] / rate[1]:.1f} times"
    return [f"generation, {PROMPTS} questions: {times}; {same} answers are the same"]


def sweep(outputs: Path) -> list[str]:
    """A sweep of four jobs against the training alone of its jobs."""
    rates = "trainer.learning_rate=1e-3,2e-3,3e-3,5e-3"
    _, seconds, _ = measured(
        [
            *TRAIN[:2],
            "-m",
            *TRAIN[2:],
            f"outputs={outputs}",
            "stage=fit",
            "resume=never",
            "trainer.max_steps=200",
            rates,
        ]
    )
    newest = max((outputs / "sweeps").iterdir(), key=lambda path: path.stat().st_mtime)
    ledger = json.loads((newest / "ledger.json").read_text())
    pure = sum(json.loads((Path(row["folder"]) / "results.json").read_text())["seconds"] for row in ledger)
    return [
        (
            f"sweep of {len(ledger)} jobs of 200 steps: {seconds:.0f} s, training alone {pure:.0f} s:"
            f" {seconds / pure:.2f} times"
        )
    ]


def main(table: str) -> None:
    """Measure, and write."""
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        lines: list[str] = []
        parts = (
            (first_step, work / "outputs"),
            (cleaning, Path(table), work),
            (generation, work / "outputs"),
            (sweep, work / "outputs"),
        )
        for measure, *arguments in parts:
            lines += measure(*arguments)  # type: ignore[operator]
            print("\n".join(lines), flush=True)
    when = f"{os.cpu_count()} cores, {time.strftime('%Y-%m-%d')}"
    text = f"    python -m tests.benchmarks.around {Path(table).name}    # {when}\n\n" + "".join(
        f"- {line}\n" for line in lines
    )
    (ROOT / "tests" / "benchmarks" / "results" / "around.md").write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main(sys.argv[1])
