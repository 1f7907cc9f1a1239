"""What every baseline classifier is: fit and predict on plain texts, a state of tensors and plain types,
saved without a pickle.

A fine-tuned classifier must beat these. scikit-learn is imported where it is used.
"""

from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional

from architectures.models.run_file import write_record
from architectures.models.thresholds import decide
from architectures.values import Settings

STATE_FILE = "baseline.pt"
Progress = Callable[[int], object]  # is called with the number of texts that are done


def no_progress(count: int) -> None:
    """Show nothing."""


class Baseline:
    """A classifier that is not fine-tuned.

    Args:
        settings: method; monitor, the metric that chooses hyper-parameters; base, of an encoder or a language
        model;
            seed; and what the method needs beside these.
        labels: names, in the order of the targets. multi_label: whether a text can have several.
        origin: what the run was made of, as plain types.
    """

    def __init__(self, settings: Settings, labels: list[str], multi_label: bool, origin: Settings) -> None:
        self.settings, self.labels, self.multi_label, self.origin = settings, labels, multi_label, origin
        self.state: Settings = {}

    def fit(self, texts: list[str], targets: Tensor) -> None:
        """Learn. targets: int64 (rows,) places of labels, or float32 (rows, labels) of 0 and 1"""
        raise NotImplementedError

    def predict_proba(self, texts: list[str], progress: Progress = no_progress) -> Tensor:
        """(rows, labels): the probability of one label against the others, or of each label by itself."""
        raise NotImplementedError

    def predict(self, texts: list[str]) -> Tensor:
        """0 and 1 for each label. int64 (rows, labels)"""
        return self.choose(self.predict_proba(texts))

    def choose(self, probabilities: Tensor) -> Tensor:
        """Decide by the probabilities. (rows, labels) -> int64 (rows, labels) of 0 and 1"""
        return decide(probabilities, self.multi_label)

    def explain(self) -> str:
        """What was learnt, for a reader; empty if there is nothing to show."""
        return ""

    def one_hot(self, targets: Tensor) -> Tensor:
        """Targets of either kind as float32 (rows, labels) of 0 and 1."""
        return targets if self.multi_label else functional.one_hot(targets, len(self.labels)).float()

    def normalise(self, scores: Tensor) -> Tensor:
        """Log odds of each label -> probabilities. (rows, labels)"""
        return scores.sigmoid() if self.multi_label else scores.softmax(1)

    def save(self, folder: Path) -> None:
        """Write the state and what it takes to use it."""
        folder.mkdir(parents=True, exist_ok=True)
        torch.save(self.state, folder / STATE_FILE)
        names = {"labels": self.labels, "multi_label": self.multi_label}
        write_record(folder, {"model": self.settings, **names, "origin": self.origin})
