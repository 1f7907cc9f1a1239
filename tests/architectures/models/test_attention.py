"""Attention within documents equals attention in each of them alone; under a mask it equals transformers'
own.
"""

from typing import Any

import pytest
import torch
from torch import Tensor

from architectures.inference.backend import Decoding
from architectures.inference.transformers_backend import generate_batch
from architectures.models import attention, building, loading
from architectures.models.attention import GroupedAttention, flex_document_attention
from architectures.models.documents import Documents

LENGTHS = [5, 5, 6, 6, 40, 3, 17, 17, 1]


def plain(q: Tensor, k: Tensor, v: Tensor, scale: float, cap: float, window: int | None) -> Tensor:
    """Causal attention among the tokens of one document, as it is defined. (tokens, heads, size)"""
    k, v = (x.repeat_interleave(q.shape[1] // x.shape[1], 1) for x in (k, v))
    scores = torch.einsum("qhd,khd->hqk", q, k) * scale
    scores = cap * torch.tanh(scores / cap) if cap else scores
    distance = torch.arange(len(q))[:, None] - torch.arange(len(q))
    scores = scores.masked_fill((distance < 0) | (distance >= (window or len(q))), -torch.inf)
    return torch.einsum("hqk,khd->qhd", scores.softmax(-1), v)


def draws() -> tuple[Tensor, Tensor, Tensor, Tensor]:
    draw = torch.Generator().manual_seed(0)
    return tuple(torch.randn(sum(LENGTHS), heads, 16, generator=draw) for heads in (4, 2, 2, 4))  # type: ignore[return-value]


@pytest.mark.parametrize(("cap", "window"), [(0.0, None), (1.5, None), (0.0, 4), (1.5, 4)])
def test_grouped_attention_is_that_of_each_document(cap: float, window: int | None) -> None:
    *inputs, weights = draws()

    def run(own: bool) -> list[Tensor]:
        q, k, v = (x.clone().requires_grad_() for x in inputs)
        if own:
            out = GroupedAttention.apply(q, k, v, Documents(LENGTHS, q.device), 0.3, cap, window)
        else:
            parts = zip(q.split(LENGTHS), k.split(LENGTHS), v.split(LENGTHS), strict=True)
            out = torch.cat([plain(*part, 0.3, cap, window) for part in parts])
        (out * weights).sum().backward()
        return [out, *(x.grad for x in (q, k, v) if x.grad is not None)]

    for mine, wanted in zip(run(True), run(False), strict=True):
        torch.testing.assert_close(mine, wanted, rtol=1e-4, atol=1e-5)


def test_documents_of_like_length_are_computed_together() -> None:
    groups = Documents(LENGTHS, torch.device("cpu")).groups
    assert [(group.start, group.end, group.width) for group in groups] == [
        (0, 22, 6),
        (22, 62, 40),
        (62, 65, 3),
        (65, 99, 17),
        (99, 100, 1),
    ]
    assert groups[-2].gather is None


@pytest.mark.parametrize(("cap", "window"), [(0.0, None), (1.5, 4)])
def test_flex_attention_is_grouped_attention(
    monkeypatch: pytest.MonkeyPatch, cap: float, window: int | None
) -> None:
    """Uncompiled and forward alone, since that is what a CPU can do."""
    from torch.nn.attention import flex_attention

    monkeypatch.setattr(attention, "flex_attention", lambda: flex_attention.flex_attention)
    q, k, v, _ = draws()
    documents = Documents(LENGTHS, q.device)
    found = flex_document_attention(q, k, v, documents, 0.3, cap, window)
    torch.testing.assert_close(
        found, GroupedAttention.apply(q, k, v, documents, 0.3, cap, window), rtol=1e-4, atol=1e-5
    )


@pytest.mark.gpu
@pytest.mark.parametrize(("cap", "window"), [(0.0, None), (1.5, 4)])
def test_flex_attention_has_the_gradients_of_grouped_attention(cap: float, window: int | None) -> None:
    *inputs, weights = draws()
    found = []
    for device in ("cpu", "cuda"):
        q, k, v = (x.to(device).requires_grad_() for x in inputs)
        function: Any = GroupedAttention.apply if device == "cpu" else flex_document_attention
        out = function(q, k, v, Documents(LENGTHS, q.device), 0.3, cap, window)
        (out * weights.to(device)).sum().backward()
        found.append([x.cpu() for x in (out, q.grad, k.grad, v.grad) if x is not None])
    for mine, wanted in zip(*found, strict=True):
        torch.testing.assert_close(mine, wanted, rtol=1e-2, atol=1e-2)


@pytest.mark.parametrize("kind", ["gemma2", "llama", "qwen3", "mistral"])
def test_generation_from_padded_prompts_is_that_of_transformers(model_settings: Any, kind: str) -> None:
    prompts = [[2, 9, 8, 7], [2, 30, 31, 32, 33, 34, 35, 36, 37], [2, 11]]
    ours, theirs = (building.build_net(**model_settings(kind, attention=name)) for name in ("auto", "eager"))
    theirs.load_state_dict(ours.state_dict())
    found = generate_batch(ours, prompts, Decoding([1], 6))
    assert found == [generate_batch(theirs, [prompt], Decoding([1], 6))[0] for prompt in prompts]


@pytest.mark.parametrize(
    ("kind", "changes", "message"),
    [
        ("llama", {"base_dropout": 0.1}, r"set model\.base_dropout=0, or model\.attention=eager"),
        ("gemma2", {"attention": "sdpa"}, "sdpa ignores the cap"),
    ],
)
def test_what_would_go_wrong_without_a_word_is_refused(
    model_settings: Any, kind: str, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        building.build_net(**model_settings(kind, **changes))


def test_a_classifier_has_attention_that_knows_its_cap(model_settings: Any) -> None:
    from transformers import AutoConfig

    gemma, llama = (AutoConfig.from_pretrained(model_settings(kind)["base"]) for kind in ("gemma2", "llama"))
    assert loading.attention_implementation(gemma, "auto", classifies=True) == "eager"
    assert loading.attention_implementation(llama, "auto", classifies=True) == "sdpa"


def test_masks_go_with_their_batch() -> None:
    import gc
    import weakref

    documents = Documents([3, 3], torch.device("cpu"))
    gone = weakref.ref(documents.hidden(3, None))
    documents.hidden(3, None)
    assert gone() is not None
    del documents
    gc.collect()
    assert gone() is None
