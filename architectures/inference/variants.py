"""Answers of what a model becomes when it is merged, quantised or pruned; by transformers."""

import tempfile
from collections.abc import Callable
from pathlib import Path

from architectures.inference import gguf_export
from architectures.inference.backend import Decoding
from architectures.inference.export import write_merged
from architectures.inference.options import GGUF_TYPES
from architectures.inference.transformers_backend import TransformersBackend
from architectures.models import gguf_file
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
    save_tokenizer: Callable[[Path], None],
) -> dict[str, Texts]:
    """Variant -> its answers.

    Args:
        names: as `load_variant` takes them. answer: answers the questions with a back end, under a name.
        save_tokenizer: writes it into a folder, for a GGUF file.
    """
    answers = {}
    with tempfile.TemporaryDirectory() as place:
        merged = Path(place) / "merged"
        if names:
            write_merged(module, exported, merged)
            save_tokenizer(merged)
        for name in names:
            folder = merged
            if name in GGUF_TYPES:
                file, folder = Path(place) / f"{name}.gguf", Path(place) / name
                gguf_export.write_gguf(merged, file, name, module.model_settings["base"])
                gguf_file.write_converted(file, folder)
            identity = [model_digest(exported), "merged", name]
            backend = TransformersBackend(load_variant(folder, name), identity, False, decoding, batch_size)
            answers[name] = answer(backend, name)
    return answers
