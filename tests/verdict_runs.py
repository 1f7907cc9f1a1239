"""Evaluations as a user would start them."""

from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

import evaluate
from tests.conftest import EVALUATE_KEYS

LIMITS = {
    "accuracy": 0.2,
    "unseen_accuracy": 0.0,
    "score": 0.0,
    "calibration": 0.1,
    "general": 0.0,
    "invented": 0.6,
    "failed": 0.0,
    "margin": 0.0,
}  # six questions leave wide intervals


NOTHING = dict.fromkeys(EVALUATE_KEYS) | {
    "limits": LIMITS,
    "registered_name": "shop",
    "alias": "champion",
    "incumbent": "auto",
}


def run(**given: Any) -> None:
    config = OmegaConf.create(
        NOTHING | {key: str(value) if isinstance(value, Path) else value for key, value in given.items()}
    )
    assert evaluate.problems_of(config) == []
    evaluate.run(config)
