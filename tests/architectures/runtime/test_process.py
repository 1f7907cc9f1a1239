"""Freed memory stays in the process, so that a training step finds it again; threads that wait do not spin
for long; a process takes no more threads than it has CPUs.
"""

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


@pytest.mark.slow
@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another allocator than glibc's")
def test_freed_memory_is_allocated_again_without_page_faults() -> None:
    assert page_faults() < 16_384 < 10 * 16_384 <= page_faults(MALLOC_TRIM_THRESHOLD_="131072")


@pytest.mark.parametrize("script", ["train", "evaluate", "app"])
def test_how_threads_wait_is_set_before_torch_is_loaded(script: str) -> None:
    program = (
        f"import sys, os, {script}; print(*sys.modules); import torch; print(os.environ['GOMP_SPINCOUNT'])"
    )
    unset = ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")
    environment = {name: value for name, value in os.environ.items() if name not in unset}
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
    modules, count = done.stdout.splitlines()
    before_torch = modules.partition(" torch ")[0].split()
    assert "architectures" in before_torch and count == "1000"


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="CPUs cannot be assigned here")
def test_a_process_uses_the_cpus_that_it_is_given() -> None:
    program = "import os; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})\n"
    program += "from architectures.runtime.machine import usable_cpus; print(usable_cpus())"
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "1\n"
