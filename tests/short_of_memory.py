"""train.py in which one process runs out of memory with more rows than it may have: SHORT_RANK,
SHORT_ROWS. For test_resume.py.
"""

import os
import sys
from pathlib import Path
from typing import Any

import torch

sys.path[0] = str(Path(__file__).resolve().parents[1])

import train  # noqa: E402
from architectures.models.causal_lm import CausalLM  # noqa: E402

real = CausalLM.sums


def sums(self: Any, input_ids: Any, lengths: Any, *rest: Any) -> Any:
    """As ever, or out of memory."""
    mine = os.environ.get("LOCAL_RANK", "0") == os.environ["SHORT_RANK"]
    if (
        mine
        and torch.is_grad_enabled()
        and self.trainer.global_step >= 2
        and len(lengths) > int(os.environ["SHORT_ROWS"])
    ):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
    return real(self, input_ids, lengths, *rest)


CausalLM.sums = sums  # type: ignore[method-assign]

if __name__ == "__main__":
    train.main()
