"""A GGUF file becomes a base: its weights, its tokenizer as the metadata state it, once, from three kinds
of address.
"""

import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from architectures.models import bases, gguf_file
from tests.gguf_files import TEMPLATE, tiny_llama, vocabulary, write_gguf

pytest.importorskip("gguf")


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of its own."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HOME", str(tmp_path / "cache"))
    gguf_file.convert.cache_clear()
    return tmp_path / "cache" / "converted"


@pytest.mark.parametrize(
    ("kind", "dtype", "tolerance"), [("F32", "float32", 1e-5), ("Q8_0", "bfloat16", 0.02)]
)
def test_the_base_is_the_model_of_the_file(tmp_path: Path, kind: str, dtype: str, tolerance: float) -> None:
    net, path = tiny_llama(), tmp_path / "tiny.gguf"
    write_gguf(net, path, kind)
    loaded: Any = AutoModelForCausalLM.from_pretrained(bases.resolve_base(str(path)))
    assert loaded.dtype == getattr(torch, dtype)
    ids = torch.arange(3, 40)[None]
    with torch.no_grad():
        found, wanted = loaded.float()(ids).logits, net(ids).logits
    torch.testing.assert_close(found, wanted, rtol=tolerance, atol=tolerance)


def test_a_file_is_converted_once_by_its_content(
    tmp_path: Path, cache: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_gguf(tiny_llama(), tmp_path / "tiny.gguf", "Q8_0")
    with caplog.at_level("INFO"):
        first = bases.resolve_base(str(tmp_path / "tiny.gguf"))
    assert "converting tiny.gguf (0 MB), once" in caplog.text
    assert "the weights were quantised in the file (16 as Q8_0) and are torch.bfloat16 now" in caplog.text
    caplog.clear()
    gguf_file.convert.cache_clear()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "tiny.gguf").rename(tmp_path / "elsewhere" / "tiny.gguf")
    assert bases.resolve_base(str(tmp_path / "elsewhere" / "tiny.gguf")) == first
    assert "converting" not in caplog.text
    assert sorted(path.suffix for path in cache.iterdir() if not path.is_dir()) == [".lock"]


@pytest.mark.parametrize(
    ("rule", "pieces"),
    [
        ("smollm", ["x", "ĠĠ", "1", "2", "2", "he"]),  # every digit by itself, the spaces before it together
        ("gpt-2", ["x", "Ġ", "Ġ", "12", "2", "he"]),
        ("llama-bpe", ["x", "Ġ", "Ġ", "12", "2", "he"]),
        ("qwen2", ["x", "Ġ", "Ġ", "1", "2", "2", "he"]),
    ],
)
def test_text_is_split_by_the_rule_of_the_file(tmp_path: Path, rule: str, pieces: list[str]) -> None:
    write_gguf(tiny_llama(), tmp_path / "tiny.gguf", pre=rule)
    tokenizer = AutoTokenizer.from_pretrained(bases.resolve_base(str(tmp_path / "tiny.gguf")))
    assert tokenizer.tokenize("x  122he") == pieces
    assert tokenizer.decode(tokenizer("x  122he").input_ids) == "x  122he"


def test_an_unknown_rule_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write_gguf(tiny_llama(), tmp_path / "tiny.gguf", pre="of-next-year")
    bases.resolve_base(str(tmp_path / "tiny.gguf"))
    assert "the splitting rule 'of-next-year' of the file is unknown" in caplog.text


@pytest.mark.parametrize("adds", [True, False])
def test_special_tokens_and_template_are_those_of_the_file(tmp_path: Path, adds: bool) -> None:
    write_gguf(tiny_llama(), tmp_path / "tiny.gguf", add_bos=adds)
    tokenizer = AutoTokenizer.from_pretrained(bases.resolve_base(str(tmp_path / "tiny.gguf")))
    assert [tokenizer.pad_token_id, tokenizer.bos_token_id, tokenizer.eos_token_id] == [0, 1, 2]
    assert tokenizer.chat_template == TEMPLATE
    assert len(tokenizer) == len(
        vocabulary()[0]
    )  # transformers adds <|endoftext|>, for which there is no row
    assert tokenizer("he").input_ids == [1] * adds + [tokenizer.convert_tokens_to_ids("he")]
    assert tokenizer("<|s|>he<|e|>", add_special_tokens=False).input_ids[::2] == [1, 2]


def test_a_file_of_a_package_is_found_without_importing_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "tiny_package"
    folder.mkdir()
    (folder / "__init__.py").write_text("raise ImportError('must not be imported')\n")
    write_gguf(tiny_llama(), folder / "tiny.gguf")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert Path(bases.resolve_base("package:tiny_package/tiny.gguf"), "model.safetensors").is_file()
    assert "tiny_package" not in sys.modules


@pytest.mark.parametrize(
    ("base", "message"),
    [
        ("nowhere.gguf", "there is no file nowhere.gguf; on the Hub: model.base=OWNER/NAME:FILE.gguf"),
        (
            "nobody/nothing:model.gguf",
            "model.gguf of nobody/nothing is neither in the Hub's cache nor can it be fetched",
        ),
        ("package:transformers/model.gguf", "there is no file .*transformers/model.gguf"),
        (
            "package:llm_no_such/model.gguf",
            "the package llm_no_such is not installed: pip install llm-no-such",
        ),
    ],
)
def test_a_file_that_is_not_there_is_named(base: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        bases.resolve_base(base)


def test_a_damaged_file_is_named_and_leaves_nothing(tmp_path: Path, cache: Path) -> None:
    path = tmp_path / "cut.gguf"
    write_gguf(tiny_llama(), path)
    path.write_bytes(path.read_bytes()[:3000])
    with pytest.raises(ValueError, match=r"cut.gguf cannot be read"):
        bases.resolve_base(str(path))
    assert [
        found for found in cache.iterdir() if found.is_dir() and not found.name.endswith(".partial")
    ] == []


def test_a_missing_reader_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gguf_file, "find_spec", lambda name: None)
    (tmp_path / "x.gguf").write_bytes(b"GGUF")
    with pytest.raises(ValueError, match="reading a GGUF file needs the package gguf: pip install gguf"):
        bases.resolve_base(str(tmp_path / "x.gguf"))
