"""Answers of what a model becomes when it is merged, quantised or pruned; by transformers."""

import tempfile
from collections.abc import Callable
from pathlib import Path

from architectures.inference.backend import Decoding
from architectures.inference.export import write_merged
from architectures.inference.transformers_backend import TransformersBackend
from architectures.models.compression import load_variant
from architectures.models.fine_tuned import FineTuned
from architectures.models.run_file import model_digest

Texts = list[str | None]


def variant_answers(
    module: FineTuned,
    exported: Path,
    names: list[str],
    decoding: Decoding,
    batch_size: int,
    answer: Callable[[TransformersBackend, str], Texts],
) -> dict[str, Texts]:
    """Variant -> its answers.

    Args:
        names: as `load_variant` takes them. answer: answers the questions with a back end, under a name.
    """
    answers = {}
    with tempfile.TemporaryDirectory() as place:
        merged = Path(place)
        if names:
            write_merged(module, exported, merged)
        for name in names:
            identity = [model_digest(exported), "merged", name]
            backend = TransformersBackend(load_variant(merged, name), identity, False, decoding, batch_size)
            answers[name] = answer(backend, name)
    return answers
