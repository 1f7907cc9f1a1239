"""What each entry script does first: messages as plain lines, and freed memory kept for the next step."""

import ctypes
import os
import sys
from pathlib import Path

from architectures.runtime.console import configure_logging

NVIDIA_DRIVER = Path("/dev/nvidiactl")
TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3  # of mallopt(3)
MOST = 2**31 - 1  # bytes; what mallopt takes
TUNABLES = ("GLIBC_TUNABLES", "MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_", "LD_PRELOAD")


def configure_process() -> None:
    """Configure logging and the allocator. It comes before the first tensor."""
    configure_logging()
    if not NVIDIA_DRIVER.exists() and not any(name in os.environ for name in TUNABLES):
        _keep_freed_memory()


def _keep_freed_memory() -> None:
    """Keep freed memory in the process, and take huge pages for tensors, where glibc is the allocator.

    A training step on a CPU frees and allocates the same large tensors again. By default glibc returns each
    to the kernel, which hands out pages of 4 KiB and clears them. The resident memory stays at its peak.
    """
    os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")  # read by torch at its first allocation
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt:  # musl has none
        mallopt(MMAP_THRESHOLD, MOST)
        mallopt(TRIM_THRESHOLD, MOST)
