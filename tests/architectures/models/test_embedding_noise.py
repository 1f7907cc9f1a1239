"""NEFTune: noise of the published size on each document's embeddings, in training alone."""

from typing import Any

import pytest
import torch

from architectures.models.batch_layout import hidden_states
from architectures.models.embedding_noise import embedding_noise, noise_scale
from tests.architectures.models.test_causal_lm import OPTIMIZATION, ORIGIN, CausalLM, module_of


def noise_of(net: Any, lengths: list[int], on_end: bool) -> list[torch.Tensor]:
    """What is added to the embeddings of each document of ones."""
    seen: list[torch.Tensor] = []
    embedding = net.get_input_embeddings()
    ids = torch.full((sum(lengths),), 7)
    with embedding_noise(net, lengths, 5.0):
        hook = embedding.register_forward_hook(lambda *given: seen.append(given[2].detach()))
        hidden_states(net, ids, lengths, on_end)
        hook.remove()
    added = seen[0] - embedding(torch.tensor(7))
    if on_end:
        return list(added[0, : sum(lengths)].split(lengths))
    return [row[:length] for row, length in zip(added, lengths, strict=True)]


@pytest.mark.parametrize("on_end", [True, False])
def test_noise_goes_by_the_length_of_the_document(model_settings: Any, on_end: bool) -> None:
    net = module_of(model_settings()).net
    width = net.get_input_embeddings().weight.shape[1]
    torch.manual_seed(0)
    for noise, length in zip(noise_of(net, [30, 4], on_end), (30, 4), strict=True):
        most = 5.0 / (length * width) ** 0.5
        assert 0.9 * most < noise.abs().max() <= most * 1.0001


def test_filler_and_no_noise(model_settings: Any) -> None:
    assert noise_scale([4, 2], 16, 5.0, 9).shape == (9, 1)
    net = module_of(model_settings()).net
    ids = torch.arange(8, 16)
    plain = hidden_states(net, ids, [8], True)
    with embedding_noise(net, [8], 0.0):
        assert torch.equal(hidden_states(net, ids, [8], True), plain)


def test_only_training_steps_are_noisy(model_settings: Any) -> None:
    module = CausalLM(model_settings(), OPTIMIZATION | {"neftune_alpha": 5.0}, ORIGIN)
    module.configure_model()
    batch = {"input_ids": torch.arange(8, 16), "lengths": [8], "places": torch.tensor([6])}
    batch |= {"targets": torch.tensor([9])}
    module.step_loss = lambda counts, _: counts.loss  # type: ignore[method-assign,assignment]
    noisy = [float(module.train().training_step(batch, 0)) for _ in range(2)]
    plain = float(module.eval().count(batch).loss)
    assert len({plain, *noisy}) == 3
    assert float(module.count(batch).loss) == plain
