"""Probabilities and decisions of any classifier, fine-tuned or a baseline, for texts."""

from collections.abc import Callable, Iterable

import torch
from torch import Tensor

from architectures.baselines.base import Baseline
from architectures.models.fine_tuned import FineTuned
from architectures.models.sequence_classifier import SequenceClassifier
from architectures.models.thresholds import decide
from architectures.values import Batch

Classifier = SequenceClassifier | Baseline


def labels_of(model: FineTuned | Baseline) -> list[str]:
    """The names of a classifier's labels, in order; [] of a model that answers."""
    if isinstance(model, Baseline):
        return model.labels
    return model.head.labels if isinstance(model, SequenceClassifier) else []


def tokenizer_base(model: FineTuned | Baseline) -> str:
    """The base whose tokenizer a model needs; '' for a baseline, which reads texts."""
    return "" if isinstance(model, Baseline) else str(model.model_settings["base"])


def explanation_of(model: Classifier) -> str:
    """What a baseline has learnt, in words."""
    return model.explain() if isinstance(model, Baseline) else ""


def classify(
    model: Classifier, batches_of: Callable[[list[str]], Iterable[Batch]], texts: list[str]
) -> tuple[Tensor, Tensor]:
    """(probabilities, decisions of 0 and 1) for texts, with a progress bar. (texts, labels) each

    Args:
        batches_of: texts as token ids, for a fine-tuned classifier; each batch says which texts it holds.
    """
    from tqdm import tqdm

    with tqdm(total=len(texts), desc=model.origin["name"], unit="text", leave=False) as bar:
        if isinstance(model, Baseline):
            probabilities = model.predict_proba(texts, bar.update)
            return probabilities, model.choose(probabilities)
        probabilities = torch.zeros(len(texts), len(model.head.labels))
        for batch in batches_of(texts):
            probabilities[batch["rows"]] = model.predict_proba(batch)
            bar.update(len(batch["rows"]))
    return probabilities, decide(probabilities, model.head.multi_label, model.head.thresholds)
