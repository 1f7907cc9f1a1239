"""Every family of causal LMs trains, answers, and is saved as transformers and PEFT would do it, row by
row.
"""

from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from architectures.inference.backend import Decoding
from architectures.inference.transformers_backend import generate_batch
from architectures.models import batch_layout, building, lora
from architectures.training.planning import memory_by_kind, model_shapes
from tests.architectures.models.test_causal_lm import module_of, plain, stirred
from tests.conftest import ROOT
from tests.families import FAMILIES, ON_END, SIDE_BY_SIDE, write_family

LENGTHS, ANSWERS = [9, 6, 12], [4, 3, 5]
DECODING = Decoding([2], 6)


@pytest.fixture(scope="session")
def folder_of(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """folder_of(kind) -> the folder of a tiny random model of the family."""
    return cache(lambda kind: write_family(kind, tmp_path_factory.mktemp(kind)))


@pytest.fixture
def family(folder_of: Any, model_settings: Any) -> Any:
    """family(kind) -> arguments of `build_net` for a tiny random model."""
    return lambda kind: model_settings(base=folder_of(kind), lora_targets=["auto"])


def documents() -> list[Tensor]:
    draw = torch.Generator().manual_seed(2)
    return [torch.randint(3, 128, (length,), generator=draw) for length in LENGTHS]


def gradients(net: Any) -> dict[str, Tensor]:
    return {name: p.grad for name, p in net.named_parameters() if p.requires_grad}


@pytest.mark.parametrize("kind", FAMILIES)
def test_loss_and_gradients_are_those_of_one_row_at_a_time(family: Any, kind: str) -> None:
    settings = family(kind)
    module, net = module_of(settings), plain(settings)
    stirred(module.net)
    stirred(net)
    losses, places, targets, before = [], [], [], 0
    for ids, answer in zip(documents(), ANSWERS, strict=True):
        logits = net(input_ids=ids[None], use_cache=False).logits[0, -answer - 1 : -1].float()
        losses.append(functional.cross_entropy(logits, ids[-answer:], reduction="sum"))
        before += len(ids)
        places += range(before - answer - 1, before - 1)
        targets.append(ids[-answer:])
    torch.stack(losses).sum().backward()
    loss, *_ = module.sums(torch.cat(documents()), LENGTHS, torch.tensor(places), torch.cat(targets))
    loss.backward()
    assert module.on_end == (kind in ON_END)
    torch.testing.assert_close(loss, torch.stack(losses).sum(), rtol=1e-5, atol=1e-4)
    ours, theirs = gradients(module.net), gradients(net)
    assert ours.keys() == theirs.keys()
    for name, gradient in ours.items():
        torch.testing.assert_close(
            gradient, theirs[name], rtol=1e-3, atol=1e-4 * float(theirs[name].abs().max())
        )


@pytest.mark.parametrize("kind", FAMILIES)
def test_answers_to_padded_prompts_are_those_of_each_alone_before_and_after_a_save(
    family: Any, kind: str, tmp_path: Path
) -> None:
    settings = family(kind)
    net = module_of(settings).net.eval()
    stirred(net)
    prompts = [ids[:-answer].tolist() for ids, answer in zip(documents(), ANSWERS, strict=True)]
    alone = [generate_batch(net, [prompt], DECODING)[0] for prompt in prompts]
    assert generate_batch(net, prompts, DECODING) == alone
    lora.save_net(net, tmp_path, torch.float32)
    loaded: Any = building.build_net(**settings).eval()
    lora.load_adapter_weights(loaded, tmp_path)
    assert generate_batch(loaded, prompts, DECODING) == alone
    merged = lora.merge_adapter(settings["base"], tmp_path, torch.float32).eval()
    ids = torch.tensor([prompts[0]])
    with torch.no_grad():
        wanted = net(input_ids=ids, use_cache=False).logits
        torch.testing.assert_close(
            merged(input_ids=ids, use_cache=False).logits, wanted, rtol=1e-3, atol=1e-4
        )


@pytest.mark.parametrize("kind", FAMILIES)
def test_memory_is_planned(family: Any, kind: str) -> None:
    shapes = model_shapes(family(kind), "32-true")
    assert all(size >= 0 for size in memory_by_kind(shapes, LENGTHS, False, "cpu").values())


@pytest.mark.parametrize("kind", SIDE_BY_SIDE)
def test_layers_that_see_across_documents_are_found_and_named(
    family: Any, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    net = building.build_net(**family(kind)).train()
    with caplog.at_level("WARNING"):
        assert not batch_layout.keeps_documents_apart(net)
    kinds = ", ".join(batch_layout.layer_types(net)) or type(lora.base_model(net)).__name__
    assert f"the layers of this model ({kinds}) see across documents on end" in caplog.text
    assert net.training


def test_a_leak_between_documents_would_be_seen(family: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """With attention that ignores where documents end, a Llama's change with one another."""
    net = building.build_net(**family("llama"))
    assert batch_layout.keeps_documents_apart(net)
    real = batch_layout.Documents
    monkeypatch.setattr(batch_layout, "Documents", lambda lengths, device: real([sum(lengths)], device))
    assert not batch_layout.keeps_documents_apart(net)


def test_the_documentation_lists_the_families() -> None:
    text = (ROOT / "docs/training.md").read_text(encoding="utf-8")
    for layout, families in (("on end", ON_END), ("side by side", SIDE_BY_SIDE)):
        assert f"| {layout} | {', '.join(families)} |" in text


def test_pictures_are_left_alone(family: Any) -> None:
    for kind in ("gemma3", "mistral3"):
        net = building.build_net(**family(kind))
        assert [name for name, p in net.named_parameters() if p.requires_grad and "vision" in name] == []
        assert [name for name, p in net.named_parameters() if p.requires_grad]


def test_frozen_experts_are_said(family: Any, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO"):
        net = building.build_net(**family("qwen3_moe"))
    assert "the experts (24,576 weights) stay frozen" in caplog.text
    assert all("self_attn" in name for name, p in net.named_parameters() if p.requires_grad)
