"""What a tuned model has forgotten: its loss, or its errors, beside its base's on the same rows."""

from data.scoring.statistics import mean_difference
from data.values import JsonObject

LOSS = "loss"  # in nats a token


def compare_losses(
    name: str, tuned: list[float], base: list[float], seed: int, figure: str = LOSS
) -> JsonObject:
    """name, figure, rows, means of both, and by how much the tuned model's is higher: rise, with its 95%
    interval (bootstrap over rows) and the p of no difference.

    Args:
        figure: what the numbers are: losses, or another figure that is the better the lower.
    """
    import torch

    losses, others = (torch.tensor(values, dtype=torch.float64) for values in (tuned, base))
    d = mean_difference(losses - others, seed)
    means = {"tuned": float(losses.mean()), "base": float(others.mean())}
    rise = {"rise": d.value, "rise_low": d.low, "rise_high": d.high, "p": d.p}
    return {"name": name, "figure": figure, "rows": d.n, **means, **rise}
