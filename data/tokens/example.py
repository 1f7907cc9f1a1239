"""A rendered example: token ids, and which of them are trained."""

from dataclasses import dataclass
from typing import Self


@dataclass(frozen=True)
class Example:
    """Token ids of prompts with their answers; ``spans``: where each answer that is trained begins and
    ends. None: a prompt alone.
    """

    ids: list[int]
    spans: tuple[tuple[int, int], ...]

    @classmethod
    def turn(cls, ids: list[int], prompt_length: int) -> Self:
        """A prompt of so many ids and its answer."""
        return cls(ids, ((prompt_length, len(ids)),) if prompt_length < len(ids) else ())

    @property
    def prompt_length(self) -> int:
        """Ids before the first answer."""
        return self.spans[0][0] if self.spans else len(self.ids)

    @property
    def mask(self) -> list[int]:
        """1 for each id that is trained, else 0; as long as ``ids``."""
        mask = [0] * len(self.ids)
        for begin, end in self.spans:
            mask[begin:end] = [1] * (end - begin)
        return mask
