"""Token rows with labels, padded in a batch: what a classifier is trained on."""

from dataclasses import dataclass

import torch

from data.tokens.rows import Rows
from data.values import Batch


@dataclass(frozen=True)
class LabelledRows(Rows):
    """Rows with their labels. ``targets``: int64 (rows,) places in the list of labels, or float32 (rows,
    labels) of 0 and 1.
    """

    targets: torch.Tensor
    pad_id: int

    @property
    def sizes(self) -> torch.Tensor:
        """Every row counts once. (rows,)"""
        return torch.ones(len(self), dtype=torch.int64)

    def batch(self, rows: list[int]) -> Batch:
        """Rows padded on the right to the longest of them.

        input_ids: int64 (rows, time). attention_mask: int64 (rows, time), 1 where there is a token, so that
        padding is never recognised by its id. targets: as the rows have them. counted: bool (rows,), which
        rows add to the loss.
        """
        lengths = self.lengths[rows]
        mask = torch.arange(int(lengths.max())) < lengths[:, None]
        ids = torch.cat([self.ids[self.starts[row] : self.starts[row + 1]] for row in rows]).long()
        input_ids = torch.full(mask.shape, self.pad_id).masked_scatter(mask, ids)
        padded = {"input_ids": input_ids, "attention_mask": mask.long(), "targets": self.targets[rows]}
        return {**super().batch(rows), **padded, "counted": torch.ones(len(rows), dtype=torch.bool)}

    def blank(self, batch: Batch) -> Batch:
        """No row is counted."""
        return {**batch, "counted": torch.zeros_like(batch["counted"])}
