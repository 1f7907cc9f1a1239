"""Fine-tuning by this project, TRL and transformers' Trainer on the same rows: python -m
tests.benchmarks.speed PEERS_PYTHON [TABLE.csv]

`make benchmark` calls it. Every tool does the same job in a process of its own (tests/benchmarks/peers.py):
the same base and starting adapter, the same rows in each step, AdamW at a constant rate; tools take turns,
round after round. Writes results/speed.md and the table in docs/performance.md.
"""

import json
import os
import platform
import shutil
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any

import torch

from architectures.models import building, lora
from architectures.models.bases import resolve_base
from config import command_line, schema
from config.schema.run import TrainConfig
from config.schema.trainer import TrainerConfig
from data.modules.retail import RetailData
from data.tokens.batches import TrainingBatches
from data.tokens.batching import Batching
from data.tokens.example import Example
from data.tokens.rows import TokenRows
from tests.benchmarks import arithmetic

ROOT = Path(__file__).parents[2]
WORK = ROOT / "outputs" / "benchmarks"
BATCH, WARM_UP, THREADS = 8, 2, 2
ROUNDS = 2


@dataclass(frozen=True)
class Case:
    """What the tools are compared on: what the command line of train.py sets, how many steps, and the
    attention that serves the peers best (Gemma 2, which caps its logits, has eager alone).
    """

    overrides: tuple[str, ...]
    steps: int
    attention: str


MODEL: dict[str, Any] = {
    "init": "pretrained",
    "adapter": "lora",
    "lora_r": 8,
    "lora_alpha": 16,
    "lora_dropout": 0.0,
    "quantization": "none",
    "gradient_checkpointing": False,
    "base_dropout": None,
}
JOB: dict[str, Any] = {
    "batch_size": BATCH,
    "learning_rate": 1e-3,
    "device": "cpu",
    "threads": THREADS,
    "trainer": asdict(TrainerConfig()) | {"batch_size": BATCH, "max_grad_norm": 1.0},
}
CASES = [
    Case(("+experiment=quickstart",), 30, "eager"),
    Case(("model=smollm2-135m", "+experiment=job-1"), 6, "sdpa"),
    Case(("+experiment=smollm2",), 4, "sdpa"),
]
MARK = "<!-- speed -->"  # the table stands between two of these in docs/performance.md
PUBLISHED, TUNED = "trl-published", ("trl-fp32", "trl-bf16-base")
PEERS = (PUBLISHED, *TUNED, "hf-bf16")
TOOLS = {
    PUBLISHED: "TRL as published: batch 1, checkpointing",
    "trl-fp32": "TRL tuned: batch 8, no checkpointing",
    "trl-bf16-base": "TRL tuned, bf16 autocast and base",
    "hf-bf16": "transformers' Trainer + PEFT, bf16 as above",
    "strata-fp32": "Strata, fp32",
    "strata-bf16": "Strata, bf16 as above",
}


def configured(case: Case, table: str) -> TrainConfig:
    """The configuration of a case, checked."""
    overrides = [*case.overrides, *(["data=flipkart", f"data.path={table}"] if table else [])]
    _, (config,) = command_line.check(overrides)
    return config


def rows_of(config: TrainConfig, base: str) -> TokenRows:
    """Training rows of a catalogue, as token ids."""
    module = RetailData(asdict(config.data), base, WORK / "cache", 0)
    module.prepare_data()
    module.setup()
    rows = module.rows["train"]
    assert isinstance(rows, TokenRows)
    return rows


def make_job(case: Case, base: str, rows: TokenRows, folder: Path) -> dict[str, Any]:
    """Write what the tools are to do into ``folder``, and measure this machine's product rates."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    shutil.rmtree(folder, ignore_errors=True)
    torch.manual_seed(0)
    net = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    net.save_pretrained(folder / "base")
    AutoTokenizer.from_pretrained(base).save_pretrained(folder / "base")
    model = MODEL | {"lora_targets": schema.PROJECTIONS}
    fresh: Any = building.build_net(**model, base=str(folder / "base"), dtype="float32", attention="auto")
    lora.save_net(fresh, folder / "adapter", torch.float32)
    plan = TrainingBatches(rows, Batching(BATCH), 0).plan(0)[: case.steps]
    _write_rows(rows, [row for step in plan for row in step], folder)
    steps = [([int(length) for length in rows.lengths[step]], int(rows.sizes[step].sum())) for step in plan]
    tokens = sum(sum(lengths) for lengths, _ in steps) // len(steps)
    job = JOB | {"steps": case.steps, "model": model, "attention": case.attention}
    job["supervised"] = [supervised for _, supervised in steps]
    job["all"] = [sum(lengths) for lengths, _ in steps]
    job["flops"] = [arithmetic.step_flops(net, lengths, supervised) for lengths, supervised in steps]
    job["rates"] = {
        str(dtype).removeprefix("torch."): arithmetic.product_rate(net, tokens, dtype)
        for dtype in (torch.float32, torch.bfloat16)
    }
    job["weights"] = sum(p.numel() for p in net.parameters())
    (folder / "job.json").write_text(json.dumps(job))
    return job


def _write_rows(rows: TokenRows, order: list[int], folder: Path) -> None:
    """The table of all rows for this project, and the rows in the order of the steps for the others."""
    prompts = (rows.lengths - rows.sizes).tolist()
    in_order = [
        Example.turn(rows.ids[rows.starts[row] : rows.starts[row + 1]].tolist(), prompts[row])
        for row in order
    ]
    longest = int(rows.lengths.max())
    rows.save(folder / "table.pt")
    TokenRows.of(in_order, longest).save(folder / "rows.pt")
    TokenRows.of(in_order[:BATCH], longest).save(folder / "few.pt")


def run(tool: str, folder: Path, job: dict[str, Any], peers: str) -> dict[str, Any]:
    """Do the job once; its figures."""
    shutil.rmtree(folder / "out", ignore_errors=True)
    python = sys.executable if tool.startswith("strata") else peers
    command = [
        python,
        str(ROOT / "tests" / "benchmarks" / "peers.py"),
        tool,
        str(folder),
        str(folder / "result.json"),
    ]
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": str(THREADS)}
    with (folder / f"{tool}.log").open("w") as log:
        begun = time.time()
        process = subprocess.Popen(command, stdout=log, stderr=log, env=environment, cwd=ROOT)
        _, status, used = os.wait4(process.pid, 0)
        ended = time.time()
    if status:
        raise RuntimeError(f"{tool} failed: see {folder / tool}.log")
    steps = json.loads((folder / "result.json").read_text())["log"]
    seconds = steps[-1][0] - steps[WARM_UP - 1][0]
    return {
        "supervised": sum(job["supervised"][WARM_UP:]) / seconds,
        "all": sum(job["all"][WARM_UP:]) / seconds,
        "flops": sum(job["flops"][WARM_UP:]) / seconds,
        "first": steps[0][0] - begun,
        "whole": ended - begun,
        "memory": used.ru_maxrss / 1024,
        "losses": [loss for _, loss in steps],
    }


def table_of(results: dict[str, list[dict[str, Any]]], job: dict[str, Any]) -> str:
    """Medians over rounds, and ratios round by round. `of products` is the share of the rate at which this
    machine multiplies these shapes, in the dtype of the tool.
    """
    best = max(TUNED, key=lambda tool: median(r["supervised"] for r in results[tool]))
    peer = max(PEERS, key=lambda tool: median(r["supervised"] for r in results[tool]))
    curve = results[PUBLISHED][0]["losses"]
    heads = [
        "tool",
        "supervised tokens/s",
        "to published",
        "to TRL's best",
        "to the strongest peer",
        "all tokens/s",
    ]
    heads += ["of products", "first step", "job", "peak memory", "last loss", "off"]
    lines = [f"| {' | '.join(heads)} |", f"|---|{'--:|' * (len(heads) - 1)}"]
    for tool, runs in results.items():
        middle = {
            name: median(r[name] for r in runs)
            for name in ("supervised", "all", "flops", "first", "whole", "memory")
        }
        dtype = "bfloat16" if "bf16" in tool else "float32"
        off = max(abs(a - b) for a, b in zip(curve, runs[0]["losses"], strict=True))
        cells = [TOOLS[tool], f"{middle['supervised']:,.0f}"]
        cells += [_ratio(runs, results[other]) for other in (PUBLISHED, best, peer)]
        cells += [f"{middle['all']:,.0f}", f"{middle['flops'] / job['rates'][dtype]:.0%}"]
        cells += [f"{middle['first']:.1f} s", f"{middle['whole']:.0f} s", f"{middle['memory']:,.0f} MiB"]
        cells += [f"{runs[0]['losses'][-1]:.4f}", f"{off:.4f}"]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _ratio(runs: list[dict[str, Any]], others: list[dict[str, Any]]) -> str:
    """The median ratio of two tools' rates in one round, with its least and greatest."""
    found = [a["supervised"] / b["supervised"] for a, b in zip(runs, others, strict=True)]
    return f"{median(found):.2f} ({min(found):.2f}-{max(found):.2f})"


def machine() -> str:
    """Hardware, versions and commit."""
    names = [
        line.split(":", 1)[1].strip()
        for line in Path("/proc/cpuinfo").read_text().splitlines()
        if line.startswith("model name")
    ]
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=False
    ).stdout.strip()
    packages = ", ".join(f"{name} {version(name)}" for name in ("torch", "transformers", "peft", "lightning"))
    trl = next(
        line.split("==")[1]
        for line in (ROOT / "requirements/peers.txt").read_text().splitlines()
        if line.startswith("trl==")
    )
    chip = names[0] if names else platform.processor()
    return f"{chip}, {THREADS} threads; {packages}, trl {trl}; commit {commit}; {time.strftime('%Y-%m-%d')}"


def measured(case: Case, table: str, peers: str) -> str:
    """One case: a title and the table of all tools, which take turns."""
    config = configured(case, table)
    folder = WORK / f"{config.model.name}-{config.experiment}"
    base = resolve_base(config.model.base)
    rows = rows_of(config, base)
    job = make_job(case, base, rows, folder)
    results: dict[str, list[dict[str, Any]]] = {tool: [] for tool in TOOLS}
    for number in range(ROUNDS):
        for tool in TOOLS if number % 2 == 0 else reversed(TOOLS):
            results[tool].append(run(tool, folder, job, peers))
            rate = results[tool][-1]["supervised"]
            print(f"{folder.name}, round {number + 1}: {tool} {rate:,.0f} supervised tokens/s", flush=True)
    lengths = rows.lengths.double()
    share = sum(job["supervised"]) / sum(job["all"])
    rates = ", ".join(f"{rate / 1e9:,.0f} GFLOP/s in {dtype}" for dtype, rate in job["rates"].items())
    weights = f"{config.model.name}, {job['weights'] / 1e6:.1f}M weights"
    about = (
        f"{lengths.mean():.0f} tokens a row (longest {int(lengths.max())}), {share:.0%} supervised;"
        f" {case.steps} steps of {BATCH} rows; medians of {ROUNDS} rounds; products of these shapes: {rates}"
    )
    return f"**{weights}, prompts of +experiment={config.experiment}**: {about}\n\n{table_of(results, job)}"


def main(peers: str, table: str = "") -> None:
    """Measure, and write."""
    parts = [measured(case, table, peers) for case in CASES]
    text = f"    make benchmark    # {machine()}\n\n" + "\n\n".join(parts) + "\n"
    (ROOT / "tests" / "benchmarks" / "results" / "speed.md").write_text(text, encoding="utf-8")
    page = ROOT / "docs" / "performance.md"
    before, _, rest = page.read_text(encoding="utf-8").partition(MARK)
    after = rest.partition(MARK)[2]
    page.write_text(f"{before}{MARK}\n\n{text}\n{MARK}{after}", encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main(*sys.argv[1:])
