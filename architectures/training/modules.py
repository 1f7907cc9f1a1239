"""Build the LightningModule of a run: seeded, with the threads that its process may use."""

import torch
from lightning import seed_everything

from architectures.models.distilled_lm import DistilledLM
from architectures.models.fine_tuned import FineTuned
from architectures.models.preference_lm import PreferenceLM
from architectures.runtime.machine import usable_cpus
from architectures.training.checkpoints import model_class
from architectures.values import Settings


def build_module(
    model: Settings, optimization: Settings, origin: Settings, seed: int, threads: int, sharded: bool
) -> FineTuned:
    """The module, with its net, unless that will be sharded over processes.

    Args:
        model, optimization, origin: as `FineTuned` takes them. threads: 0: all CPUs of this process.
    """
    seed_everything(seed, verbose=False)
    torch.set_num_threads(threads or usable_cpus())
    kind = model_class(model)
    if optimization.get("objective") == "dpo":
        kind = PreferenceLM
    elif optimization.get("teacher"):
        kind = DistilledLM
    module = kind(model, optimization, origin)
    if not sharded:
        module.configure_model()
    return module
