"""Convert a GGUF file into a folder that transformers loads: weights dequantised once, the tokenizer checked.

The tokenizer that transformers builds from a GGUF file can differ from the model's own: it may split text
by another
rule, or leave out BOS. What the file's metadata state is restored here, and what cannot be restored is
logged.

GGUF: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
"""

import hashlib
import json
import logging
import shutil
from collections import Counter
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import torch

from architectures.compatibility.transformers import gguf_fields_read
from architectures.models.types import Net, Settings, Tokenizer

log = logging.getLogger(__name__)

SUFFIX = ".gguf"
VERSION = 1  # of the conversion; a new one converts every file again
CONTROL = 3  # what `tokenizer.ggml.token_type` calls a control token
TOKENIZER = "tokenizer.ggml."
TOKENIZER_FILE = "tokenizer.json"
CHAT_TEMPLATE = "tokenizer.chat_template"
SPECIAL_TOKENS = {
    "bos_token": "bos_token_id",
    "eos_token": "eos_token_id",
    "unk_token": "unknown_token_id",
    "pad_token": "padding_token_id",
}
# How llama.cpp splits a text before the merges of a byte-level tokenizer, by `tokenizer.ggml.pre`.
WORDS = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
WORDS_ANY_CASE = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}DIGITS"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
ONE_DIGIT = r"\p{N}"
THREE_DIGITS, ANY_DIGIT = WORDS_ANY_CASE.replace("DIGITS", "{1,3}"), WORDS_ANY_CASE.replace("DIGITS", "")
SPLITS: dict[tuple[str, ...], list[str]] = {
    ("gpt-2", "gpt2", "olmo", "phi-2"): [WORDS],
    ("smollm", "starcoder", "refact", "command-r", "codeshell", "exaone"): [ONE_DIGIT, WORDS],
    ("llama-bpe", "llama3", "llama-v3"): [THREE_DIGITS],
    ("qwen2", "stablelm2", "qwen35"): [ANY_DIGIT],
}


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
    restore_tokenizer(tokenizer, fields)
    kinds = Counter(tensor.tensor_type.name for tensor in reader.tensors)
    dtype = stored_dtype(kinds)
    log_losses(fields, kinds, dtype, [tensor.name for tensor in reader.tensors])
    net.config.name_or_path = str(fields.get("general.name", path.stem))
    net.to(dtype).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    drop_other_tokens(folder / TOKENIZER_FILE, len(fields[f"{TOKENIZER}tokens"]))


def drop_other_tokens(path: Path, count: int) -> None:
    """Remove tokens that transformers has added beyond the file's: the embedding has no rows for them."""
    content = json.loads(path.read_text(encoding="utf-8"))
    added = content["added_tokens"]
    content["added_tokens"] = [token for token in added if token["id"] < count]
    path.write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")


def stored_dtype(kinds: Counter[str]) -> torch.dtype:
    """The dtype of the converted weights: as most are stored, and bfloat16 for those in fewer bits."""
    most = kinds.most_common(1)[0][0]
    return {"F32": torch.float32, "F16": torch.float16}.get(most, torch.bfloat16)


def log_losses(fields: Settings, kinds: Counter[str], dtype: torch.dtype, tensors: list[str]) -> None:
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


def restore_tokenizer(tokenizer: Tokenizer, fields: Settings) -> None:
    """Make the tokenizer do what the file's metadata state. Raises ValueError if its vocabulary is another
    one.
    """
    tokens = fields[f"{TOKENIZER}tokens"]
    found = tokenizer.convert_ids_to_tokens(range(len(tokens)))
    wrong = [place for place, (ours, theirs) in enumerate(zip(found, tokens, strict=True)) if ours != theirs]
    if wrong:
        first = wrong[0]
        raise ValueError(
            f"{len(wrong)} tokens differ from the file's, the first is {first}: {found[first]!r},"
            f" not {tokens[first]!r}"
        )
    for name, key in SPECIAL_TOKENS.items():
        if (token_id := fields.get(TOKENIZER + key)) is not None:
            setattr(tokenizer, name, tokens[token_id])
    add_control_tokens(tokenizer, tokens, fields.get(f"{TOKENIZER}token_type", []))
    if CHAT_TEMPLATE in fields:
        tokenizer.chat_template = fields[CHAT_TEMPLATE]
    if fields.get(f"{TOKENIZER}model") == "gpt2":
        set_splitting(tokenizer, str(fields.get(f"{TOKENIZER}pre", "gpt-2")))
    adds_bos = fields.get(f"{TOKENIZER}add_bos_token", fields.get(f"{TOKENIZER}model") == "llama")
    if adds_bos and tokenizer("a").input_ids[:1] != [tokenizer.bos_token_id]:
        add_bos(tokenizer)


def add_control_tokens(tokenizer: Tokenizer, tokens: list[str], types: list[int]) -> None:
    """Control tokens of the file that the tokenizer would take apart become single tokens."""
    from transformers import AddedToken

    control = [token for token, kind in zip(tokens, types, strict=False) if kind == CONTROL]
    encoded = tokenizer(control, add_special_tokens=False).input_ids if control else []
    apart = [token for token, ids in zip(control, encoded, strict=True) if len(ids) != 1]
    if apart:
        tokenizer.add_tokens([AddedToken(token, special=True, normalized=False) for token in apart])


def set_splitting(tokenizer: Tokenizer, rule: str) -> None:
    """Split text as the model's own tokenizer does; an unknown rule is logged, and transformers' one
    stays.
    """
    from tokenizers import Regex, pre_tokenizers

    patterns = next((found for names, found in SPLITS.items() if rule in names), None)
    if patterns is None:
        log.warning("the splitting rule %r of the file is unknown: numbers may be split in another way", rule)
        return
    steps: list[pre_tokenizers.PreTokenizer] = [
        pre_tokenizers.Split(Regex(pattern), "isolated") for pattern in patterns
    ]
    steps.append(pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False))
    tokenizer.backend_tokenizer.pre_tokenizer = pre_tokenizers.Sequence(steps)


def add_bos(tokenizer: Tokenizer) -> None:
    """Begin every text with BOS, as the file states."""
    from tokenizers.processors import TemplateProcessing

    bos = tokenizer.bos_token
    tokenizer.backend_tokenizer.post_processor = TemplateProcessing(
        single=f"{bos} $A", pair=f"{bos} $A $B", special_tokens=[(bos, tokenizer.bos_token_id)]
    )
