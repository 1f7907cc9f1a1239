"""Fine-tuning by this project, TRL and transformers' Trainer on the same rows: python -m
tests.benchmarks.speed PEERS_PYTHON [TABLE.csv]

`make benchmark` calls it. Every tool does the same job in a process of its own (tests/benchmarks/peers.py):
the same base and starting adapter, the same rows in each step, AdamW at a constant rate; tools take turns,
round after round. Writes results/speed.md and the table in docs/performance.md.
"""

import json
import os
import platform
import random
import shutil
import subprocess
import sys
import time
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any

import torch
from hydra import compose, initialize_config_dir

from architectures.models import building, lora
from config import command_line, schema
from config.schema.trainer import TrainerConfig
from data.modules.retail import RetailData
from data.tokens.batches import TrainingBatches
from data.tokens.batching import Batching
from data.tokens.example import Example
from data.tokens.rows import TokenRows

ROOT = Path(__file__).parents[2]
WORK = ROOT / "outputs" / "benchmarks"
BATCH, WARM_UP, THREADS = 8, 2, 2
STEPS = {"pocket": 30, "medium": 7}
ROUNDS = {"as they are": 3, "long-tailed": 2}
LONGEST, MOST_JOINED = 1024, 12
MARK = "<!-- speed -->"  # the table stands between two of these in docs/performance.md
PUBLISHED, TUNED = "trl-published", ("trl-fp32", "trl-bf16-base")
TOOLS = {
    PUBLISHED: "TRL as published: batch 1, checkpointing",
    "trl-fp32": "TRL tuned: batch 8, no checkpointing",
    "trl-bf16-base": "TRL tuned, bf16 autocast and base",
    "hf-bf16": "transformers' Trainer + PEFT, bf16 as above",
    "strata-fp32": "Strata, fp32",
    "strata-bf16": "Strata, bf16 as above",
}
MEDIUM = {
    "hidden_size": 512,
    "num_hidden_layers": 8,
    "num_attention_heads": 8,
    "num_key_value_heads": 4,
    "head_dim": 64,
}
MEDIUM |= {
    "intermediate_size": 2048,
    "vocab_size": 32000,
    "layer_types": ["sliding_attention", "full_attention"] * 4,
}


def rows_of(table: str, longest: int) -> TokenRows:
    """Training rows of a catalogue, as token ids."""
    overrides = command_line.with_experiment(["data=flipkart", f"data.path={table}"] if table else [])
    with initialize_config_dir(str(ROOT / "config"), version_base="1.3"):
        config = schema.typed(compose("train", overrides=overrides))
    module = RetailData(
        asdict(config.data) | {"max_seq_length": longest}, str(ROOT / config.model.base), WORK / "cache", 0
    )
    module.prepare_data()
    module.setup()
    return module.rows["train"]


def long_tailed(rows: TokenRows) -> TokenRows:
    """Rows whose answers go on with those of the rows after them; how many is drawn from a distribution
    with a long tail.
    """
    draw, examples = random.Random(0), []
    prompts = (rows.lengths - rows.sizes).tolist()
    for row in range(len(rows)):
        more = [(row + i) % len(rows) for i in range(min(MOST_JOINED, int(1 / (1 - draw.random()))))]
        start, prompt = int(rows.starts[row]), prompts[row]
        answers = [int(i) for r in more for i in rows.ids[rows.starts[r] + prompts[r] : rows.starts[r + 1]]]
        examples.append(Example.turn([*rows.ids[start : start + prompt].tolist(), *answers], prompt))
    return TokenRows.of(examples, LONGEST)


def make_job(size: str, rows: TokenRows, folder: Path) -> dict[str, Any]:
    """Write what the tools are to do into ``folder``."""
    from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

    shutil.rmtree(folder, ignore_errors=True)
    pocket, steps = ROOT / "architectures" / "pocket", STEPS[size]
    torch.manual_seed(0)
    if size == "pocket":
        net = AutoModelForCausalLM.from_pretrained(pocket)
    else:
        config = AutoConfig.from_pretrained(pocket)
        for name, value in MEDIUM.items():
            setattr(config, name, value)
        net = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    net.save_pretrained(folder / "base")
    AutoTokenizer.from_pretrained(pocket).save_pretrained(folder / "base")
    model = {
        "init": "pretrained",
        "adapter": "lora",
        "lora_r": 8,
        "lora_alpha": 16,
        "lora_dropout": 0.0,
        "quantization": "none",
    }
    model |= {"lora_targets": schema.PROJECTIONS, "gradient_checkpointing": False, "base_dropout": None}
    fresh: Any = building.build_net(**model, base=str(folder / "base"), dtype="float32", attention="auto")
    lora.save_net(fresh, folder / "adapter", torch.float32)
    plan = TrainingBatches(rows, Batching(BATCH), 0).plan(0)[:steps]
    order = [row for step in plan for row in step]
    prompts = (rows.lengths - rows.sizes).tolist()
    in_order = [
        Example.turn(rows.ids[rows.starts[row] : rows.starts[row + 1]].tolist(), prompts[row])
        for row in order
    ]
    rows.save(folder / "table.pt")
    TokenRows.of(in_order, LONGEST).save(folder / "rows.pt")
    TokenRows.of(in_order[:BATCH], LONGEST).save(folder / "few.pt")
    job = {
        "steps": steps,
        "batch_size": BATCH,
        "learning_rate": 1e-3,
        "device": "cpu",
        "threads": THREADS,
        "model": model,
    }
    job |= {
        "attention": "eager",
        "trainer": asdict(TrainerConfig()) | {"batch_size": BATCH, "max_grad_norm": 1.0},
    }
    job["supervised"] = [int(rows.sizes[step].sum()) for step in plan]
    job["all"] = [int(rows.lengths[step].sum()) for step in plan]
    job["weights"] = sum(p.numel() for p in net.parameters())
    (folder / "job.json").write_text(json.dumps(job))
    return job


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
        "first": steps[0][0] - begun,
        "whole": ended - begun,
        "memory": used.ru_maxrss / 1024,
        "losses": [loss for _, loss in steps],
    }


def table_of(results: dict[str, list[dict[str, Any]]]) -> str:
    """Medians over rounds, and ratios round by round."""
    best = max(TUNED, key=lambda tool: median(r["supervised"] for r in results[tool]))
    curve = results[PUBLISHED][0]["losses"]
    lines = [
        (
            "| tool | supervised tokens/s | to published | to TRL's best | all tokens/s | first step |"
            " job | peak memory | last loss | off |"
        )
    ]
    lines += ["|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|"]
    for tool, runs in results.items():

        def ratio(other: str, tool: str = tool) -> str:
            found = [
                a["supervised"] / b["supervised"] for a, b in zip(results[tool], results[other], strict=True)
            ]
            return f"{median(found):.2f} ({min(found):.2f}-{max(found):.2f})"

        middle = {
            name: median(r[name] for r in runs) for name in ("supervised", "all", "first", "whole", "memory")
        }
        off = max(abs(a - b) for a, b in zip(curve, runs[0]["losses"], strict=True))
        lines.append(
            f"| {TOOLS[tool]} | {middle['supervised']:,.0f} | {ratio(PUBLISHED)} | {ratio(best)} |"
            f" {middle['all']:,.0f} | "
            f"{middle['first']:.1f} s | {middle['whole']:.0f} s | {middle['memory']:,.0f} MiB |"
            f" {runs[0]['losses'][-1]:.4f} | {off:.4f} |"
        )
    return "\n".join(lines)


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


def main(peers: str, table: str = "") -> None:
    """Measure, and write."""
    parts: list[str] = []
    plain = rows_of(table, LONGEST)
    for prompts, rows in (("as they are", plain), ("long-tailed", long_tailed(plain))):
        for size in STEPS:
            folder = WORK / f"{size}-{prompts.replace(' ', '-')}"
            job = make_job(size, rows, folder)
            results: dict[str, list[dict[str, Any]]] = {tool: [] for tool in TOOLS}
            for number in range(ROUNDS[prompts]):
                for tool in TOOLS if number % 2 == 0 else reversed(TOOLS):
                    results[tool].append(run(tool, folder, job, peers))
                    last = results[tool][-1]
                    print(
                        (
                            f"{size}, {prompts}, round {number + 1}: {tool} {last['supervised']:,.0f}"
                            f" supervised tokens/s"
                        ),
                        flush=True,
                    )
            lengths = rows.lengths.double()
            share = sum(job["supervised"]) / sum(job["all"])
            about = (
                f"{lengths.mean():.0f} tokens a row (longest {int(lengths.max())}), {share:.0%} supervised"
            )
            title = (
                f"{size}, {job['weights'] / 1e6:.1f}M weights, prompts {prompts}: {about};"
                f" {job['steps']} steps of {BATCH} rows"
            )
            parts.append(f"**{title}; medians of {ROUNDS[prompts]} rounds**\n\n{table_of(results)}")
    text = f"    make benchmark    # {machine()}\n\n" + "\n\n".join(parts) + "\n"
    (ROOT / "tests" / "benchmarks" / "results" / "speed.md").write_text(text, encoding="utf-8")
    page = ROOT / "docs" / "performance.md"
    before, _, rest = page.read_text(encoding="utf-8").partition(MARK)
    after = rest.partition(MARK)[2]
    page.write_text(f"{before}{MARK}\n\n{text}\n{MARK}{after}", encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main(*sys.argv[1:])
