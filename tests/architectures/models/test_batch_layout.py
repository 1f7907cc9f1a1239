"""Batches of a CPU have few sizes, and what fills them up changes nothing."""

import pytest
import torch
from torch import Tensor

from architectures.models import batch_layout
from architectures.models.attention import ATTENTION
from architectures.models.batch_layout import FEWEST_FILLED, SIZES_AN_OCTAVE, filler_length
from architectures.values import Net


@pytest.mark.parametrize("tokens", [1, 64, 1_000, FEWEST_FILLED - 1])
def test_small_batches_are_left_as_they_are(tokens: int) -> None:
    assert filler_length(tokens) == 0


def test_large_batches_have_few_sizes() -> None:
    octave = range(2_048, 4_096)
    sizes = {tokens + filler_length(tokens) for tokens in octave}
    assert len(sizes) == SIZES_AN_OCTAVE + 1
    assert max(filler_length(tokens) / tokens for tokens in octave) < 1 / SIZES_AN_OCTAVE


@pytest.fixture
def net() -> Net:
    from transformers import LlamaConfig, LlamaForCausalLM

    from architectures.models.attention import register_attention

    register_attention()
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=50,
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        attn_implementation=ATTENTION,
    )
    return LlamaForCausalLM(config)


def test_a_filled_batch_has_the_states_and_gradients_of_its_documents(
    net: Net, monkeypatch: pytest.MonkeyPatch
) -> None:
    lengths = [FEWEST_FILLED // 2 + 3, FEWEST_FILLED // 2 + 10]
    ids = torch.randint(0, 50, (sum(lengths),))
    factors = torch.randn(sum(lengths), 16)

    def run() -> tuple[Tensor, list[Tensor]]:
        net.zero_grad()
        states = batch_layout.states_on_end(net, ids, lengths)
        (states * factors).sum().backward()
        gradients = [weight.grad for weight in net.parameters() if weight.grad is not None]
        return states.detach(), [gradient.clone() for gradient in gradients]

    assert filler_length(sum(lengths)) > 0
    states, gradients = run()
    monkeypatch.setattr(batch_layout, "filler_length", lambda tokens: 0)
    expected_states, expected_gradients = run()
    assert states.shape == (sum(lengths), 16)
    torch.testing.assert_close(states, expected_states, rtol=1e-4, atol=1e-5)
    for gradient, expected in zip(gradients, expected_gradients, strict=True):
        torch.testing.assert_close(gradient, expected, rtol=1e-3, atol=1e-3)
