"""Every baseline by its method name, and how a saved one is loaded."""

from pathlib import Path

import torch

from architectures.baselines.base import STATE_FILE, Baseline
from architectures.baselines.embedding import Embedding
from architectures.baselines.linear import Tfidf
from architectures.baselines.prompted import Prompted
from architectures.baselines.simple import Keywords, Majority, Random
from architectures.values import Settings

BASELINE_CLASSES: dict[str, type[Baseline]] = {
    "random": Random,
    "majority": Majority,
    "keywords": Keywords,
    "tfidf": Tfidf,
    "embedding": Embedding,
    "prompted": Prompted,
}


def load_baseline(folder: Path, record: Settings) -> Baseline:
    """Load what `Baseline.save` wrote. Raises ValueError if it is damaged."""
    try:
        settings = record["model"]
        method = BASELINE_CLASSES[settings["method"]]
        baseline = method(settings, record["labels"], record["multi_label"], record["origin"])
        baseline.state = torch.load(folder / STATE_FILE, weights_only=True)
    except Exception as error:  # noqa: BLE001 - a damaged file fails in many ways
        raise ValueError(
            f"{folder} is not a baseline of this project, or is damaged: {error!r:.200}"
        ) from None
    return baseline
