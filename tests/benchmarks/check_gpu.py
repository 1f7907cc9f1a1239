"""Whether this project works on a GPU box, on one page: python -m tests.benchmarks.check_gpu

`make check-gpu` calls it. It needs what a bare GPU image has (torch, transformers, peft, lightning,
torchmetrics) and bitsandbytes for NF4; weights are random, and nothing is downloaded. With `--device cpu` the
script itself is tried, with tiny shapes. The exit status is 1 if a line fails.
"""

import argparse
import logging
import platform
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers.utils import logging as transformers_logging

from architectures.inference.backend import Decoding
from architectures.inference.transformers_backend import generate_batch
from architectures.models import building, lora
from tests.benchmarks.gpu_nets import (
    SETTINGS,
    SHAPES,
    documents,
    eager_loss,
    gradients,
    module_of,
    net_of,
    shape_of,
    step_batch,
)
from tests.families import ON_END, write_family

TOLERANCE = 2e-2  # of gradients on a GPU, over the largest of them
STEPS, WARM_UP = 20, 3


@dataclass
class Box:
    """The device that is checked, and what the lines before found: its product rate, in FLOP/s."""

    device: str
    rate: float = 0.0

    @property
    def is_gpu(self) -> bool:
        """Whether it is a GPU, with full shapes."""
        return self.device == "cuda"


class NotRun(Exception):
    """A check that this box cannot make, with the reason."""


def machine(box: Box) -> str:
    """What there is."""
    facts = [f"Python {platform.python_version()}, torch {torch.__version__}"]
    if box.is_gpu:
        for number in range(torch.cuda.device_count()):
            properties = torch.cuda.get_device_properties(number)
            facts.append(f"{properties.name} with {properties.total_memory / 2**30:.0f} GiB")
        query = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
        driver = subprocess.run(query, capture_output=True, text=True, check=True).stdout.splitlines()[0]
        facts.append(f"CUDA {torch.version.cuda}, driver {driver}")
    return "; ".join(facts)


def wait() -> None:
    """Wait for what a GPU was given to do."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def seconds(function: Callable[[], object], repeats: int) -> float:
    """Of one call, after some that do not count."""
    for _ in range(WARM_UP):
        function()
    wait()
    begun = time.perf_counter()
    for _ in range(repeats):
        function()
    wait()
    return (time.perf_counter() - begun) / repeats


def product_rate(box: Box) -> str:
    """The rate of bfloat16 products of square matrices."""
    size = 8192 if box.is_gpu else 512
    a, b = (torch.randn(size, size, device=box.device, dtype=torch.bfloat16) for _ in range(2))
    box.rate = 2 * size**3 / seconds(lambda: a @ b, 20)
    return f"{box.rate / 1e12:.1f} TFLOP/s in bfloat16, {size} x {size}"


def families(box: Box) -> str:
    """Loss and gradients of each family, beside eager attention with one document at a time."""
    worst, place = 0.0, ""
    for kind in ON_END:
        with tempfile.TemporaryDirectory() as folder:
            base = write_family(kind, Path(folder))
            ours, theirs = (
                net_of(base, box.device, init="pretrained", attention=a) for a in ("auto", "eager")
            )
        for layer in theirs.modules():
            layer.__dict__.pop("forward", None)  # as PEFT and transformers compute it
        loss, *_ = module_of(ours).sums(*documents(box.device))
        loss.backward()
        wanted = eager_loss(theirs, box.device)
        wanted.backward()
        expected = gradients(theirs)
        found = [abs(float((loss - wanted).detach())) / abs(float(wanted.detach()))]
        for name, gradient in gradients(ours).items():
            largest = float(expected[name].abs().max()) or 1.0
            found.append(float((gradient - expected[name]).abs().max()) / largest)
        if max(found) >= worst:
            worst, place = max(found), kind
        if max(found) > TOLERANCE:
            raise AssertionError(f"{kind}: differs by {max(found):.1e} of the largest gradient")
    return f"{len(ON_END)} families; largest difference {worst:.1e} of the largest gradient ({place})"


def four_bits(box: Box) -> str:
    """Whether an adapter on a base in 4 bits gets its gradients."""
    try:
        import bitsandbytes
    except ImportError:
        raise NotRun("bitsandbytes is not installed") from None
    with tempfile.TemporaryDirectory() as folder:
        base = write_family("llama", Path(folder))
        nets = [net_of(base, box.device, init="pretrained", quantization=kind) for kind in ("nf4", "none")]
    losses = []
    for net in nets:
        loss, *_ = module_of(net).sums(*documents(box.device))
        loss.backward()
        losses.append(float(loss.detach()))
    if not all(bool(gradient.abs().max() > 0) for gradient in gradients(nets[0]).values()):
        raise AssertionError("some matrices of the adapter get no gradient")
    return f"bitsandbytes {bitsandbytes.__version__}; loss {losses[0]:.2f}, {losses[1]:.2f} without"


def train_steps(net: Any, device: str, steps: int) -> list[float]:
    """The losses of some steps."""
    module = module_of(net)
    trained = [parameter for parameter in net.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(trained, 1e-2)
    losses = []
    for _ in range(steps):
        loss, *_ = module.sums(*documents(device))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    return losses


def repeatable(box: Box) -> str:
    """Whether the same steps from the same seed have the same losses to the bit, which resuming needs."""
    with tempfile.TemporaryDirectory() as folder:
        base = write_family("gemma2", Path(folder))
        first, second = (
            train_steps(net_of(base, box.device, init="pretrained"), box.device, 10) for _ in range(2)
        )
    if first != second:
        raise AssertionError(f"losses differ: {first[-1]!r} and {second[-1]!r} in the last step")
    return f"10 steps, loss {first[0]:.2f} to {first[-1]:.2f}, twice the same bits"


def training(name: str, box: Box) -> str:
    """Some steps of a published model's shape in bfloat16: rate, share of the product rate, memory."""
    torch.manual_seed(0)
    with tempfile.TemporaryDirectory() as folder, torch.device(box.device):
        settings = SETTINGS | {
            "base": shape_of(name, Path(folder), not box.is_gpu),
            "init": "random",
            "dtype": "bfloat16",
        }
        net = building.build_net(**settings | {"gradient_checkpointing": True}).train()
    module, batch = module_of(net), step_batch(box.device)
    trained = [parameter for parameter in net.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(trained, 2e-4, fused=box.is_gpu)

    def step() -> None:
        loss, _, size = module.sums(*batch)
        (loss / size).backward()
        optimizer.step()
        optimizer.zero_grad()

    if box.is_gpu:
        torch.cuda.reset_peak_memory_stats()
    rate = len(batch[0]) / seconds(step, STEPS)
    _, total = lora.count_parameters(net)
    multiplied = total - net.get_input_embeddings().weight.numel()
    flops = 4 * multiplied * rate
    peak = f"{torch.cuda.max_memory_allocated() / 2**30:.1f} GiB" if box.is_gpu else "not measured"
    share = f"{flops / box.rate:.0%} of the product rate" if box.rate else "no product rate"
    return f"{rate:,.0f} tokens/s, {flops / 1e12:.1f} TFLOP/s (4N), {share}, peak {peak}"


def generation(box: Box) -> str:
    """Answers of the smallest shape."""
    torch.manual_seed(0)
    with tempfile.TemporaryDirectory() as folder, torch.device(box.device):
        base = shape_of("Gemma-2-2B", Path(folder), not box.is_gpu)
        net = building.build_net(**SETTINGS | {"base": base, "init": "random", "dtype": "bfloat16"}).eval()
    prompts = torch.randint(3, 500, (32, 128 if box.is_gpu else 8)).tolist()
    longest = 64 if box.is_gpu else 4
    begun = time.perf_counter()
    answers = generate_batch(net, prompts, Decoding([1], longest))
    wait()
    return f"{sum(map(len, answers)) / (time.perf_counter() - begun):,.0f} tokens/s for 32 prompts at once"


def processes(box: Box) -> str:
    """A short run of the whole project on all GPUs, sharded."""
    count = torch.cuda.device_count()
    if count < 2:
        raise NotRun(f"there is {count} GPU; with several, a sharded run is tried")
    command = [sys.executable, "train.py", "trainer=fsdp", "trainer.max_steps=4", "stage=fit"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    if done.returncode:
        raise AssertionError(done.stderr.splitlines()[-1] if done.stderr else f"status {done.returncode}")
    return f"{count} GPUs: four steps with fsdp"


CHECKS: dict[str, Callable[[Box], str]] = {
    "machine": machine,
    "product rate": product_rate,
    "attention and gradients": families,
    "4 bits": four_bits,
    "repeatable": repeatable,
    **{f"20 steps of {name}": lambda box, name=name: training(name, box) for name in SHAPES},  # type: ignore[misc]
    "generation": generation,
    "several GPUs": processes,
}


def check(name: str, box: Box) -> tuple[str, str]:
    """(ok, failed or not run; what was found)"""
    try:
        return "ok", CHECKS[name](box)
    except NotRun as reason:
        return "not run", str(reason)
    except Exception as error:  # noqa: BLE001 a line that fails is what is looked for
        logging.debug(traceback.format_exc())
        return "FAILED", f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
    finally:
        if box.is_gpu:
            torch.cuda.empty_cache()


def main() -> None:
    """Print a line for each check as it ends; write the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument(
        "--device", choices=["cuda", "cpu"], default="cuda", help="cpu: try the script itself"
    )
    parser.add_argument("--page", type=Path, default=Path("outputs/check-gpu.md"), help="where the page goes")
    given = parser.parse_args()
    if given.device == "cuda" and not torch.cuda.is_available():
        sys.exit("error: torch finds no GPU here; --device cpu tries the script itself")
    transformers_logging.disable_progress_bar()
    transformers_logging.set_verbosity_error()
    box, lines, failed = (
        Box(given.device),
        ["| check | outcome | found | seconds |", "|---|---|---|---:|"],
        False,
    )
    for name in CHECKS:
        begun = time.perf_counter()
        outcome, found = check(name, box)
        failed |= outcome == "FAILED"
        lines.append(f"| {name} | {outcome} | {found} | {time.perf_counter() - begun:.0f} |")
        print(lines[-1], flush=True)
    given.page.parent.mkdir(parents=True, exist_ok=True)
    given.page.write_text("# GPU check\n\n" + "\n".join(lines) + "\n", encoding="utf-8")
    print(f"written to {given.page}")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
