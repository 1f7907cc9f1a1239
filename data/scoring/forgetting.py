"""What a tuned model has forgotten: its loss beside its base's on the same rows of general text."""

from typing import Any

import torch

from data.scoring import statistics


def compare_losses(name: str, tuned: list[float], base: list[float], seed: int) -> dict[str, Any]:
    """name, rows, mean losses of both (nats a token), and by how much the tuned model's is higher, with its
    95% interval (bootstrap over rows) and the p of no difference.
    """
    rises = torch.tensor(tuned, dtype=torch.float64) - torch.tensor(base, dtype=torch.float64)
    low, high = statistics.resampled(rises, torch.ones_like(rises), seed)
    means = {"tuned": sum(tuned) / len(tuned), "base": sum(base) / len(base)}
    rise = {"rise": float(rises.mean()), "rise_low": low, "rise_high": high}
    return {"name": name, "rows": len(tuned), **means, **rise, "p": statistics.permutation(rises, seed)}
