"""The tokenizer of a GGUF file, as its metadata state it.

The tokenizer that transformers builds from a GGUF file can differ from the model's own. It may split text
by another rule, leave out BOS, take control tokens apart, or add tokens that the model has no embedding for.
"""

import json
import logging
from pathlib import Path

from architectures.values import Settings, Tokenizer

log = logging.getLogger(__name__)

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


def restore(tokenizer: Tokenizer, fields: Settings) -> None:
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
    _add_control_tokens(tokenizer, tokens, fields.get(f"{TOKENIZER}token_type", []))
    if CHAT_TEMPLATE in fields:
        tokenizer.chat_template = fields[CHAT_TEMPLATE]
    if fields.get(f"{TOKENIZER}model") == "gpt2":
        _set_splitting(tokenizer, str(fields.get(f"{TOKENIZER}pre", "gpt-2")))
    adds_bos = fields.get(f"{TOKENIZER}add_bos_token", fields.get(f"{TOKENIZER}model") == "llama")
    if adds_bos and tokenizer("a").input_ids[:1] != [tokenizer.bos_token_id]:
        add_bos(tokenizer)


def _add_control_tokens(tokenizer: Tokenizer, tokens: list[str], types: list[int]) -> None:
    """Control tokens of the file that the tokenizer would take apart become single tokens."""
    from transformers import AddedToken

    control = [token for token, kind in zip(tokens, types, strict=False) if kind == CONTROL]
    encoded = tokenizer(control, add_special_tokens=False).input_ids if control else []
    apart = [token for token, ids in zip(control, encoded, strict=True) if len(ids) != 1]
    if apart:
        tokenizer.add_tokens([AddedToken(token, special=True, normalized=False) for token in apart])


def _set_splitting(tokenizer: Tokenizer, rule: str) -> None:
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


def save(tokenizer: Tokenizer, folder: Path, fields: Settings) -> None:
    """Write a restored tokenizer without the tokens that transformers has added beyond the file's.

    Args:
        fields: the metadata of the file.
    """
    tokenizer.save_pretrained(folder)
    path, count = folder / TOKENIZER_FILE, len(fields[f"{TOKENIZER}tokens"])
    content = json.loads(path.read_text(encoding="utf-8"))
    content["added_tokens"] = [token for token in content["added_tokens"] if token["id"] < count]
    path.write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")
