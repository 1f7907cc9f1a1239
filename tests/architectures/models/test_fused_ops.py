"""The arithmetic written out for training equals what PEFT, transformers and torch compute, gradients and
all.
"""

import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from architectures.models import building, fused_ops, lora
from tests.architectures.models.test_causal_lm import stirred


class SameDropout(nn.Dropout):
    """Dropout as torch defines it, by the masks that the fused layer draws."""

    def forward(self, x: Tensor) -> Tensor:
        return x * fused_ops.dropout_mask(x, self.p) / (1 - self.p) if self.training else x


def unlightened(net: Any) -> Any:
    """A copy that computes as its makers wrote it."""
    net = copy.deepcopy(net)
    for module in net.modules():
        module.__dict__.pop("forward", None)
        if type(module) is nn.Dropout:
            module.__class__ = SameDropout
    return net


@pytest.mark.parametrize("dropout", [0.05, 0.2, 0.5])
def test_dropout_masks_are_independent_bernoulli_draws(dropout: float) -> None:
    torch.manual_seed(0)
    mask = fused_ops.dropout_mask(torch.empty(400, 1001), dropout)  # no multiple of four
    assert mask.dtype == torch.bool and mask.shape == (400, 1001)
    kept = mask.float()
    near = 5 * (dropout * (1 - dropout) / kept.numel()) ** 0.5
    assert abs(float(kept.mean()) - (1 - dropout)) < near
    lanes = torch.stack([kept.flatten()[lane::4].mean() for lane in range(4)])  # of one random number
    assert float((lanes - (1 - dropout)).abs().max()) < 2 * near
    centred = kept - kept.mean()
    for shift in (1, 2, 3, 4):
        product = (centred[:, shift:] * centred[:, :-shift]).mean()
        assert abs(float(product)) < 5 * dropout * (1 - dropout) / kept.numel() ** 0.5
    torch.manual_seed(0)
    assert torch.equal(mask, fused_ops.dropout_mask(torch.empty(400, 1001), dropout))


@pytest.mark.parametrize("kind", ["gemma2", "llama", "qwen2", "qwen3", "mistral", "gemma3_text"])
def test_every_lora_layer_and_every_norm_is_lightened(model_settings: Any, kind: str) -> None:
    net = building.build_net(**model_settings(kind))
    light = [module for module in net.modules() if "forward" in module.__dict__]
    lora = [module for module in net.modules() if hasattr(module, "lora_A")]
    norms = [module for module in net.modules() if type(module).__name__.endswith("RMSNorm")]
    assert lora and norms and set(light) == {*lora, *norms}
    assert {module.forward.keywords["shift"] for module in norms} == (
        {1.0} if kind.startswith("gemma") else {0.0}
    )


def test_the_head_reads_without_gaps_and_its_weight_is_not_copied(model_settings: Any) -> None:
    net = building.build_net(**model_settings("llama")).eval()
    seen: list[bool] = []
    net.get_output_embeddings().register_forward_pre_hook(
        lambda layer, inputs: seen.append(inputs[0].is_contiguous())
    )
    ids = torch.randint(5, 90, (3, 7), generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        whole = net(input_ids=ids).logits
        last = net(input_ids=ids, logits_to_keep=1).logits
        with torch.profiler.profile() as profile:
            net.get_output_embeddings()(torch.randn(3, 7, net.config.hidden_size)[:, -1:])
    assert seen == [True, True, True]
    torch.testing.assert_close(last, whole[:, -1:])
    assert "aten::bmm" not in {event.key for event in profile.key_averages()}


def test_a_norm_of_another_kind_is_left_alone() -> None:
    class StrangeRMSNorm(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight, self.eps = nn.Parameter(torch.ones(8)), 1e-6

        def forward(self, x: Tensor) -> Tensor:
            return 2 * functional.rms_norm(x, (8,), self.weight, self.eps)

    net = nn.Sequential(StrangeRMSNorm(), nn.RMSNorm(8))
    fused_ops.fuse(net)
    assert "forward" not in net[0].__dict__
    assert "forward" in net[1].__dict__ or net[1].eps is None


@pytest.mark.parametrize("dropout", [0.0, 0.3])
@pytest.mark.parametrize("precision", ["float32", "bfloat16 base", "autocast"])
@pytest.mark.parametrize("kind", ["qwen2", "gemma2"])
def test_outputs_and_gradients_are_those_of_peft(
    model_settings: Any, kind: str, precision: str, dropout: float
) -> None:
    dtype = "bfloat16" if precision == "bfloat16 base" else "float32"
    net = building.build_net(**model_settings(kind, lora_dropout=dropout, dtype=dtype)).train()
    stirred(net)
    slow = unlightened(net)
    x = torch.randn(2, 5, 32, generator=torch.Generator().manual_seed(0)).to(getattr(torch, dtype))

    def run(model: Any) -> tuple[Tensor, dict[str, Tensor]]:
        core = lora.base_model(model).base_model
        layer = core.layers[0]
        torch.manual_seed(5)
        leaf = x.clone().requires_grad_()
        with torch.autocast("cpu", torch.bfloat16, enabled=precision != "float32"):
            turned = core.rotary_emb(leaf, torch.arange(5)[None])
            out = layer.mlp(layer.input_layernorm(leaf)) + layer.self_attn(leaf, turned, None)[0]
        out.float().square().sum().backward()
        found = {name: p.grad for name, p in layer.named_parameters() if p.grad is not None}
        return out, found | {"x": leaf.grad}

    (out, gradients), (expected, wanted) = run(net), run(slow)
    assert out.dtype == expected.dtype
    assert set(gradients) == set(wanted)
    near = 1e-5 if precision == "float32" else 0.03
    for name in wanted:
        assert gradients[name].dtype == wanted[name].dtype
        assert float((gradients[name] - wanted[name]).norm()) <= near * float(wanted[name].norm()), name
    assert float((out - expected).norm()) <= near * float(expected.norm())


def test_an_adapter_that_is_switched_off_is_off(model_settings: Any) -> None:
    net = building.build_net(**model_settings("llama")).eval()
    stirred(net)
    ids = torch.arange(6, 16)[None]
    base = unlightened(net)
    with torch.no_grad(), lora.adapter_disabled(net), lora.adapter_disabled(base):
        torch.testing.assert_close(net(ids).logits, base(ids).logits)
    with torch.no_grad(), lora.adapter_disabled(base):
        assert not torch.allclose(net(ids).logits, base(ids).logits)
