"""Facts about the machine and the code, for the record: hardware, versions, peak memory, the git commit."""

import os
import platform
import resource
import shutil
import subprocess
from importlib.metadata import version
from pathlib import Path

import torch

VERSIONS = ("torch", "transformers", "peft", "lightning", "polars")


def machine_facts() -> dict[str, str]:
    """Hardware and versions."""
    gpus = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    facts = {"CPU": f"{_cpu_name()}, {os.cpu_count()} threads", "GPU": ", ".join(gpus) or "none"}
    facts["Python"] = platform.python_version()
    return facts | {name: version(name) for name in VERSIONS}


def usable_cpus() -> int:
    """CPUs that this process may use: as many as a scheduler or a container leaves it."""
    from joblib import cpu_count

    return int(cpu_count())


def _cpu_name() -> str:
    """The processor's name."""
    path = Path("/proc/cpuinfo")
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


def peak_gib() -> float:
    """Most memory that this process held, in GiB: of the GPU where there is one, else of the machine."""
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated() / 2**30
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def git_commit(root: Path) -> str:
    """Commit of the code, with '+changes' if the tree differs from it; 'unknown' outside a git checkout."""
    if not shutil.which("git") or not (root / ".git").exists():
        return "unknown"
    changes = git(root, "status", "--porcelain", "--untracked-files=no")
    return git(root, "rev-parse", "HEAD") + ("+changes" if changes else "")


def git(root: Path, *arguments: str) -> str:
    """The output of a git command."""
    done = subprocess.run(["git", *arguments], cwd=root, capture_output=True, text=True, check=False)
    return done.stdout.strip()
