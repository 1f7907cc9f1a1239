"""Freed memory stays in the process, so that a training step finds it again."""

import os
import platform
import subprocess
import sys

import pytest

from architectures.runtime.process import TUNABLES
from tests.conftest import ROOT

PROGRAM = """
import resource
from architectures.runtime.process import configure_process
configure_process()
import torch
torch.ones(1 << 24)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(10):
    torch.ones(1 << 24)  # 64 MiB: 16,384 pages of 4 KiB
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def page_faults(**environment: str) -> int:
    """How many page faults ten allocations of 64 MiB take in a new process."""
    inherited = {name: value for name, value in os.environ.items() if name not in TUNABLES}
    command = [sys.executable, "-c", PROGRAM]
    done = subprocess.run(
        command, cwd=ROOT, env=inherited | environment, capture_output=True, text=True, check=True
    )
    return int(done.stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another allocator than glibc's")
def test_freed_memory_is_allocated_again_without_page_faults() -> None:
    assert page_faults() < 16_384 < 10 * 16_384 <= page_faults(MALLOC_TRIM_THRESHOLD_="131072")
