"""What is computed from the training rows once, before the first step: what an adapter begins with, a
classifier's first head, the log-probabilities of a reference, a teacher's token probabilities.
"""

from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path

import torch

from architectures.models.adapter_start import begin_with_inputs
from architectures.models.bases import resolve_base
from architectures.models.causal_lm import CausalLM
from architectures.models.distilled_lm import DistilledLM
from architectures.models.fine_tuned import FineTuned
from architectures.models.preference_lm import PreferenceLM
from architectures.models.sequence_classifier import SequenceClassifier
from architectures.training.checkpoints import load_model
from architectures.values import Batch

PROBE_ROWS = 64  # texts in a forward pass of the probe
TEACHER_FILE = "teacher.pt"  # in the run's folder


def first_pass(
    module: FineTuned,
    device: torch.device,
    training_rows: Callable[[int], Iterable[Batch]],
    size: int,
    probe: bool,
) -> None:
    """The first pass of a run that is not resumed.

    Args:
        training_rows: all rows, for so many in a forward pass. size: such a number, without gradients. probe:
        whether a classifier starts from a head that is fitted to its features.
    """
    if module.model_settings.get("lora_init") == "eva":
        begin_with_inputs(module.to(device).net, training_rows(size), partial(_forward, module))
    if isinstance(module, SequenceClassifier) and probe:
        module.to(device).probe(training_rows(PROBE_ROWS))
    if isinstance(module, PreferenceLM):
        module.to(device).remember_reference(training_rows(size))


def _forward(module: FineTuned, batch: Batch) -> None:
    """Pass a batch through the net."""
    here = module.transfer_batch_to_device(batch, module.device, 0)
    rest = "attention_mask" if isinstance(module, SequenceClassifier) else "lengths"
    module(here["input_ids"], here[rest])


def ask_teacher(
    module: DistilledLM, device: torch.device, rows: Callable[[], Iterable[Batch]], folder: Path
) -> None:
    """Give a student its teacher's token probabilities. They are computed once; a resumed run reads them.

    Args:
        folder: of the run.

    Raises ValueError if the teacher is no language model, or has another vocabulary.
    """
    path, name = folder / TEACHER_FILE, module.optimization["teacher"]
    teacher: CausalLM | None = None
    if not path.is_file():
        loaded = load_model(Path(name))
        if not isinstance(loaded, CausalLM):
            raise ValueError(f"trainer.teacher={name}: is no language model")
        _check_vocabulary(name, module.model_settings["base"])
        teacher = loaded.to(device)
    module.learn_from(teacher, rows, path)


def _check_vocabulary(teacher: str, base: str) -> None:
    """Raise ValueError if two models' tokens differ."""
    from transformers import AutoTokenizer

    one, two = (AutoTokenizer.from_pretrained(name).get_vocab() for name in (teacher, resolve_base(base)))
    if one != two:
        raise ValueError(
            f"trainer.teacher={teacher}: its vocabulary is not that of model.base={base} ({len(one)} and"
            f" {len(two)} tokens): choose a teacher of the same family"
        )
