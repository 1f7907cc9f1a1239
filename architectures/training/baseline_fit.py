"""Fit a baseline classifier and save it."""

import logging
import time
from pathlib import Path

from torch import Tensor

from architectures.baselines.base import Baseline
from architectures.tracking.mlflow_logger import RunLogger
from architectures.values import Settings

log = logging.getLogger(__name__)


def fit_baseline(
    model: Baseline, folder: Path, logger: RunLogger, texts: list[str], targets: Tensor
) -> tuple[Baseline, Settings]:
    """Fit on texts, and write the model into ``folder``, for the tracking server too; (the model,
    results).
    """
    log.info("%s: fitting on %d texts", model.origin["name"], len(texts))
    begun = time.perf_counter()
    model.fit(texts, targets)
    seconds = time.perf_counter() - begun
    model.save(folder)
    logger.log_artifact(folder, "model")
    log.info("fitted in %.1f s; saved to %s", seconds, folder)
    return model, {"seconds": seconds}
