"""Prompts as token ids -> answers as token ids, greedily, in batches, through transformers and its cache."""

from collections.abc import Callable
from typing import Any

import torch


@torch.inference_mode()
def generate(
    net: Any,
    prompts: list[list[int]],
    stop_ids: list[int],
    max_new_tokens: int,
    batch_size: int,
    advance: Callable[[int], object],
) -> list[list[int]]:
    """One answer for each prompt, in the prompts' order.

    Args:
        stop_ids: any of these ends an answer; it is not part of it.
        advance: told the number of prompts that a batch has finished, for a progress bar.
    """
    device, was_training = next(net.parameters()).device, net.training
    net.eval()
    answers: list[list[int]] = [[] for _ in prompts]
    order = sorted(range(len(prompts)), key=lambda i: len(prompts[i]))
    for start in range(0, len(order), batch_size):
        rows = order[start : start + batch_size]
        width = max(len(prompts[i]) for i in rows)
        ids = torch.full((len(rows), width), stop_ids[0])
        mask = torch.zeros_like(ids)
        for place, i in enumerate(rows):  # padded on the left, so that every answer begins in the same column
            ids[place, width - len(prompts[i]) :] = torch.tensor(prompts[i])
            mask[place, width - len(prompts[i]) :] = 1
        made = net.generate(
            input_ids=ids.to(device),
            attention_mask=mask.to(device),
            max_new_tokens=max_new_tokens,
            do_sample=False,
            eos_token_id=stop_ids,
            pad_token_id=stop_ids[0],
        )[:, width:].tolist()
        for i, answer in zip(rows, made, strict=True):
            end = next((place for place, token in enumerate(answer) if token in stop_ids), len(answer))
            answers[i] = answer[:end]
        advance(len(rows))
    net.train(was_training)
    return answers
