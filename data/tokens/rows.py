"""Token sequences in flat tensors, on disk and in memory, and the batches that a model takes at once."""

from array import array
from collections.abc import Iterable
from dataclasses import dataclass, fields
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import Self

import torch

from data.tokens.example import Example
from data.values import Batch

COUNTED_AT_ONCE = 50_000  # rows


def _mapped(file: Path, size: int, dtype: torch.dtype) -> torch.Tensor:
    """The numbers in a file, which stay on disk until they are looked at."""
    return torch.from_file(str(file), size=size, dtype=dtype) if size else torch.empty(0, dtype=dtype)


@dataclass(frozen=True)
class Rows:
    """Many token sequences in flat tensors: ``ids`` of all rows on end, and where each row ``starts``.

    ids: int32 (all tokens,); starts: int64 (rows + 1,)
    """

    ids: torch.Tensor
    starts: torch.Tensor

    @staticmethod
    def flatten(sequences: list[list[int]]) -> tuple[torch.Tensor, torch.Tensor]:
        """Sequences -> (ids, starts)."""
        starts = torch.tensor([0] + [len(ids) for ids in sequences]).cumsum(0)
        ids = array("i", chain.from_iterable(sequences))  # four bytes an id, where a list takes thirty
        return torch.frombuffer(ids, dtype=torch.int32) if ids else torch.empty(0, dtype=torch.int32), starts

    def save(self, path: Path) -> None:
        """Write as plain tensors."""
        torch.save({field.name: getattr(self, field.name) for field in fields(self)}, path)

    @classmethod
    def load(cls, path: Path) -> Self:
        """Open what `save` wrote; what is not looked at stays on disk."""
        return cls(**torch.load(path, weights_only=True, mmap=True))

    def __len__(self) -> int:
        return len(self.starts) - 1

    @property
    def lengths(self) -> torch.Tensor:
        """Ids in each row. (rows,)"""
        return self.starts.diff()

    @property
    def sizes(self) -> torch.Tensor:
        """What each row adds to the number that the loss of its optimiser step is divided by. (rows,)"""
        raise NotImplementedError

    def trainable(self) -> torch.Tensor:
        """Indices of the rows that add something to the loss."""
        return (self.sizes > 0).nonzero().flatten()

    def batch(self, rows: list[int]) -> Batch:
        """What a model takes at once. rows: int64 (rows,), which rows these are; tokens: how many; the
        rest is the kind's own.
        """
        return {"rows": torch.tensor(rows), "tokens": int(self.lengths[rows].sum())}

    def blank(self, batch: Batch) -> Batch:
        """The batch, made so that it adds nothing to any loss or count."""
        raise NotImplementedError


@dataclass(frozen=True)
class TokenRows(Rows):
    """Rows of prompts and answers; ``trained``: bool (all tokens,), which ids are answers."""

    trained: torch.Tensor

    @classmethod
    def of(cls, examples: list[Example], longest: int) -> Self:
        """Pack examples; ids past ``longest`` are cut off at the end, so a prompt stays whole as long as it
        fits.

        The first id of a row is never trained: nothing stands before it.
        """
        ids, starts = cls.flatten([example.ids[:longest] for example in examples])
        trained = bytearray(len(ids))
        for example, start in zip(examples, starts.tolist(), strict=False):  # the last start is the end
            for begin, end in example.spans:
                begin, end = max(1, min(begin, longest)), min(end, longest)
                trained[start + begin : start + end] = b"\1" * (end - begin)
        mask = torch.frombuffer(trained, dtype=torch.bool) if trained else torch.empty(0, dtype=torch.bool)
        return cls(ids, starts, mask)

    @classmethod
    def joined(cls, parts: list[Self]) -> Self:
        """The rows of all parts, one after the other."""
        before = torch.tensor([0] + [len(part.ids) for part in parts]).cumsum(0)
        starts = [part.starts[:-1] + offset for part, offset in zip(parts, before[:-1], strict=True)]
        ids = torch.cat([part.ids for part in parts])
        trained = torch.cat([part.trained for part in parts])
        return cls(ids, torch.cat([*starts, before[-1:]]), trained)

    @classmethod
    def write(cls, parts: Iterable[Self], path: Path) -> Self:
        """Save the rows of all parts, one after the other, of which memory holds one at a time; the rows as
        `load` opens them.
        """
        files = [path.with_suffix(suffix) for suffix in (".ids", ".trained")]
        starts, before = [torch.zeros(1, dtype=torch.int64)], 0
        with files[0].open("wb") as ids, files[1].open("wb") as trained:
            for part in parts:
                part.ids.numpy().tofile(ids)
                part.trained.numpy().tofile(trained)
                starts.append(part.starts[1:] + before)
                before += len(part.ids)
        mapped = [
            _mapped(file, before, dtype) for file, dtype in zip(files, (torch.int32, torch.bool), strict=True)
        ]
        cls(mapped[0], torch.cat(starts), mapped[1]).save(path)
        for file in files:
            file.unlink()
        return cls.load(path)

    @cached_property
    def sizes(self) -> torch.Tensor:
        """Trained ids in each row. (rows,)"""
        counts = [torch.empty(0, dtype=torch.int64)]
        for first in range(0, len(self), COUNTED_AT_ONCE):
            starts = self.starts[first : first + COUNTED_AT_ONCE + 1]
            trained = self.trained[starts[0] : starts[-1]].cumsum(0)
            until = torch.cat([torch.zeros(1, dtype=torch.int64), trained])
            counts.append(until[starts - starts[0]].diff())
        return torch.cat(counts)

    def batch(self, rows: list[int]) -> Batch:
        """Rows on end, without padding.

        input_ids: int64 (tokens,). lengths: of the rows, a list. places: int64 (answer tokens,), where the
        tokens stand that predict one; targets: int64 (answer tokens,), what they are to predict.
        """
        lengths = self.lengths[rows]
        slices = [slice(self.starts[row], self.starts[row + 1]) for row in rows]
        input_ids = torch.cat([self.ids[places] for places in slices]).long()
        answer = torch.cat([self.trained[places] for places in slices]).nonzero().flatten()
        packed = {"input_ids": input_ids, "lengths": lengths.tolist()}
        return {**super().batch(rows), **packed, "places": answer - 1, "targets": input_ids[answer]}

    def blank(self, batch: Batch) -> Batch:
        """No token is trained."""
        return {**batch, "places": batch["places"][:0], "targets": batch["targets"][:0]}


@dataclass(frozen=True)
class PreferenceRows(TokenRows):
    """Pairs of answers to one prompt each, the preferred one first: a row is prompt and answer, then the
    prompt again and the other answer. ``middles``: int64 (rows,), where the second begins.
    """

    middles: torch.Tensor

    @classmethod
    def of_pairs(cls, pairs: list[tuple[Example, Example]], longest: int) -> Self:
        """Pack pairs; ids of either half past ``longest`` are cut off at the end."""
        halves = TokenRows.of(list(chain.from_iterable(pairs)), longest)
        return cls(halves.ids, halves.starts[::2], halves.trained, halves.starts[1::2])

    @property
    def _half_sizes(self) -> torch.Tensor:
        """Trained ids in both halves of each row. (rows, 2)"""
        until = torch.cat([torch.zeros(1, dtype=torch.int64), self.trained.cumsum(0)])
        at_middle = until[self.middles]
        return torch.stack([at_middle - until[self.starts[:-1]], until[self.starts[1:]] - at_middle], 1)

    @cached_property
    def sizes(self) -> torch.Tensor:
        """1 for each row with two answers: the loss is a mean over pairs. (rows,)"""
        return (self._half_sizes > 0).all(1).long()

    def batch(self, rows: list[int]) -> Batch:
        """Pairs on end, without padding: as `TokenRows.batch`, with two lengths for each row, and
        ``sequences``: int64 (answer tokens,), which half each is of, 2i or 2i + 1 for the i-th row.
        """
        starts, ends, middles = self.starts[rows], self.starts[1:][rows], self.middles[rows]
        lengths = torch.stack([middles - starts, ends - middles], 1).flatten()
        packed = super().batch(rows)
        halves = torch.arange(len(lengths)).repeat_interleave(lengths)
        return {**packed, "lengths": lengths.tolist(), "sequences": halves[packed["places"] + 1]}

    def blank(self, batch: Batch) -> Batch:
        """No pair counts."""
        kept = {name: batch[name][:0] for name in ("places", "targets", "sequences", "rows")}
        return {**batch, **kept}
