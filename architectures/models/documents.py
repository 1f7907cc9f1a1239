"""The documents of a batch that stand on end in one row: numbers, masks, groups of similar length."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

# Score entries computed, over those that are needed, in documents that are computed together.
MAX_PADDING_RATIO = 1.3


@dataclass(frozen=True)
class Group:
    """Documents that stand side by side and are computed together: tokens ``start`` to ``end``, padded to
    ``width``.
    """

    start: int
    end: int
    width: int
    gather: Tensor | None  # (documents * width,) the token of each padded place; None: nothing is padded
    scatter: Tensor | None  # (tokens,) where each token stands among the padded places

    def pad(self, x: Tensor) -> Tensor:
        """(all tokens, heads, size) -> (documents, heads, width, size)"""
        own = x[self.start : self.end]
        own = own if self.gather is None else own[self.gather]
        return own.view(-1, self.width, *x.shape[1:]).transpose(1, 2)

    def unpad(self, x: Tensor, out: Tensor) -> None:
        """(documents, heads, width, size) -> its part of out (all tokens, heads, size)"""
        flat = x.transpose(1, 2).reshape(-1, *out.shape[1:])
        out[self.start : self.end] = flat if self.scatter is None else flat[self.scatter]


class Documents:
    """The documents of a batch, by their lengths, in the order in which they stand."""

    def __init__(self, lengths: list[int], device: torch.device) -> None:
        self.lengths, self.device = lengths, device
        self.masks: dict[tuple[str, int, int | None], Any] = {}  # that its layers share

    @cached_property
    def numbers(self) -> Tensor:
        """Which document each token is of. (tokens,)"""
        return torch.repeat_interleave(
            torch.tensor(self.lengths, device=self.device), output_size=sum(self.lengths)
        )

    @cached_property
    def groups(self) -> list[Group]:
        """Runs of documents whose lengths are so alike that padding them wastes little."""
        groups: list[Group] = []
        run: list[int] = []
        place = 0
        for length in [*self.lengths, 0]:
            wanted = sum(n * n for n in [*run, length])
            if run and (
                not length or len([*run, length]) * max(*run, length) ** 2 > MAX_PADDING_RATIO * wanted
            ):
                groups.append(self.group(run, place))
                place += sum(run)
                run = []
            run.append(length)
        return groups

    def group(self, lengths: list[int], start: int) -> Group:
        """The group of these documents, which begin at ``start``."""
        width, count = max(lengths), torch.tensor(lengths)
        if min(lengths) == width:
            return Group(start, start + sum(lengths), width, None, None)
        begins = count.cumsum(0) - count
        places = torch.arange(width)
        gather = (begins[:, None] + torch.minimum(places, count[:, None] - 1)).flatten()
        scatter = (places < count[:, None]).flatten().nonzero().flatten()
        return Group(start, start + sum(lengths), width, gather.to(self.device), scatter.to(self.device))

    def hidden(self, width: int, window: int | None) -> Tensor:
        """(width, width), true where a query (row) may not see a key of the same document."""
        if ("hidden", width, window) not in self.masks:
            places = torch.arange(width, device=self.device)
            distance = places[:, None] - places
            within = (distance < 0) | (distance >= window) if window and window < width else distance < 0
            self.masks["hidden", width, window] = within
        found: Tensor = self.masks["hidden", width, window]
        return found

    def block_mask(self, window: int | None) -> Any:
        """Which blocks of scores flex attention has to compute, and what is hidden within them."""
        from torch.nn.attention.flex_attention import create_block_mask

        numbers, size = self.numbers, len(self.numbers)

        def seen(batch: Tensor, head: Tensor, query: Tensor, key: Tensor) -> Tensor:
            same = (numbers[query] == numbers[key]) & (query >= key)
            return same & (query - key < window) if window else same

        if ("blocks", size, window) not in self.masks:
            self.masks["blocks", size, window] = create_block_mask(
                seen, None, None, size, size, device=self.device.type
            )
        return self.masks["blocks", size, window]
