"""Greedy answers in batches are those of one prompt at a time, and end where they should."""

from typing import Any

import torch

from architectures import adapters
from architectures.generation import generate

PROMPTS = [[2, 10, 11, 12], [2, 20], [2, 30, 31, 32, 33, 34, 35], [2, 40, 41]]


def test_batched_equals_one_by_one(model_settings: Any) -> None:
    for kind in ("gemma2", "llama"):
        net = adapters.build(**model_settings(kind))
        done: list[int] = []
        together = generate(net, PROMPTS, [1], 12, 3, done.append)
        alone = [generate(net, [prompt], [1], 12, 1, lambda _: None)[0] for prompt in PROMPTS]
        assert together == alone
        assert sum(done) == len(PROMPTS)


def test_cached_equals_uncached(model_settings: Any) -> None:
    net: Any = adapters.build(**model_settings()).eval()
    ids = list(PROMPTS[0])
    with torch.no_grad():
        for _ in range(8):
            ids.append(int(net(input_ids=torch.tensor([ids]), use_cache=False).logits[0, -1].argmax()))
    assert generate(net, [PROMPTS[0]], [1], 8, 1, lambda _: None)[0] == ids[4:]


def test_any_stop_id_ends_an_answer_and_is_not_part_of_it(model_settings: Any) -> None:
    net = adapters.build(**model_settings())
    free = generate(net, [PROMPTS[0]], [1], 12, 1, lambda _: None)[0]
    stopped = generate(net, [PROMPTS[0]], [1, free[5]], 12, 1, lambda _: None)[0]
    assert stopped == free[: free.index(free[5])]


def test_training_mode_is_left_as_it_was(model_settings: Any) -> None:
    net = adapters.build(**model_settings()).train()
    generate(net, PROMPTS[:1], [1], 2, 1, lambda _: None)
    assert net.training
