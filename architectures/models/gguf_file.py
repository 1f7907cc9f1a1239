"""Convert a GGUF file into a folder that transformers loads: weights dequantised once, the tokenizer checked.

GGUF: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
"""

import hashlib
import logging
import shutil
from collections import Counter
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import torch

from architectures.compatibility.transformers import gguf_fields_read
from architectures.models import gguf_tokenizer
from architectures.values import Net, Settings

log = logging.getLogger(__name__)

SUFFIX = ".gguf"
VERSION = 1  # of the conversion; a new one converts every file again


@cache
def convert(path: Path) -> Path:
    """The folder of the converted file, in the cache of Hugging Face; it is named by the file's content.

    Raises ValueError if the package `gguf` is missing, the file is damaged, or transformers does not know its
    architecture.
    """
    from filelock import FileLock
    from huggingface_hub.constants import HF_HOME

    if find_spec("gguf") is None:
        raise ValueError("reading a GGUF file needs the package gguf: pip install gguf")
    if not path.is_file():
        raise ValueError(f"there is no file {path}")
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()[:16]
    folder = Path(HF_HOME) / "converted" / f"{path.stem}-{digest}-{VERSION}"
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{folder}.lock"):  # several processes of one run start at once
        if not folder.is_dir():
            partial = folder.with_name(f"{folder.name}.partial")
            shutil.rmtree(partial, ignore_errors=True)
            size = path.stat().st_size / 1e6
            log.info("converting %s (%.0f MB), once; the result is kept in %s", path.name, size, folder)
            write_converted(path, partial)
            partial.rename(folder)
    return folder


def write_converted(path: Path, folder: Path) -> None:
    """Write the file's model and tokenizer in transformers' format. Raises ValueError if they cannot be
    read.
    """
    from gguf import GGUFReader
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

    try:
        reader = GGUFReader(path)
        fields = {name: field.contents() for name, field in reader.fields.items()}
        tokenizer = AutoTokenizer.from_pretrained(path.parent, gguf_file=path.name)
        packed = GgufConfig(dequantize=True)  # without it the weights stay packed and cannot be trained
        net: Net = AutoModelForCausalLM.from_pretrained(
            path.parent, gguf_file=path.name, quantization_config=packed
        )
    except (OSError, ValueError, KeyError, NotImplementedError, IndexError) as error:
        raise ValueError(f"{path} cannot be read: {str(error).splitlines()[0]}") from None
    gguf_tokenizer.restore(tokenizer, fields)
    kinds = Counter(tensor.tensor_type.name for tensor in reader.tensors)
    dtype = _stored_dtype(kinds)
    _log_losses(fields, kinds, dtype, [tensor.name for tensor in reader.tensors])
    net.config.name_or_path = str(fields.get("general.name", path.stem))
    net.to(dtype).save_pretrained(folder)
    gguf_tokenizer.save(tokenizer, folder, fields)


def _stored_dtype(kinds: Counter[str]) -> torch.dtype:
    """The dtype of the converted weights: as most are stored, and bfloat16 for those in fewer bits."""
    most = kinds.most_common(1)[0][0]
    return {"F32": torch.float32, "F16": torch.float16}.get(most, torch.bfloat16)


def _log_losses(fields: Settings, kinds: Counter[str], dtype: torch.dtype, tensors: list[str]) -> None:
    """Log what the converted model lacks of the model that the file was made from."""
    quantised = {kind: count for kind, count in kinds.items() if kind not in ("F32", "F16", "BF16")}
    if quantised:
        counts = ", ".join(f"{count} as {kind}" for kind, count in quantised.items())
        log.info(
            "the weights were quantised in the file (%s) and are %s now: the loss remains", counts, dtype
        )
    architecture = str(fields["general.architecture"])
    read = gguf_fields_read(architecture)
    others = [name for name in fields if name.startswith(f"{architecture}.")]
    unread = [
        f"{name}={fields[name]}" for name in others if name.removeprefix(f"{architecture}.") not in read
    ]
    if unread:
        log.warning("transformers does not read these settings of the file: %s", ", ".join(unread))
    if "rope_freqs.weight" in tensors:
        log.warning(
            "transformers does not read rope_freqs.weight: set rope_parameters in the converted config.json"
        )
