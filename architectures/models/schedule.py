"""The learning rate schedule, and the peak arithmetic rate of known GPUs."""

import math

import torch

PEAK_FLOPS = {
    "H200": 989e12,
    "H100": 989e12,
    "A100": 312e12,
    "L40S": 362e12,
    "A10G": 70e12,
    "4090": 165e12,
}  # dense bf16, vendor


def learning_rate_factor(step: int, total_steps: int, warmup_ratio: float, kind: str) -> float:
    """Share of the peak learning rate: a linear rise over the warm-up, then cosine or linear down to
    nothing, or constant.
    """
    warmup = math.ceil(total_steps * warmup_ratio)
    if step < warmup:
        return (step + 1) / (warmup + 1)
    done = min(1.0, (step - warmup) / max(1, total_steps - warmup))
    return {"cosine": 0.5 * (1 + math.cos(math.pi * done)), "linear": 1 - done, "constant": 1.0}[kind]


def peak_flops() -> float | None:
    """FLOP/s of the device's matrix units in bfloat16, where known."""
    name = torch.cuda.get_device_name() if torch.cuda.is_available() else ""
    return next((peak for chip, peak in PEAK_FLOPS.items() if chip in name), None)
