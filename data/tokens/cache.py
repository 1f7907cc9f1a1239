"""Token rows on disk, named by the content that they depend on: rendered once, for each split, with the
counts of what was lost.
"""

import json
import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from data.files import Cache, digest_of, write_json
from data.tokens.chat_templates import check_embedded
from data.tokens.example import Example
from data.tokens.prompts import Renderer
from data.tokens.rows import TokenRows

log = logging.getLogger(__name__)

SPLITS = ("train", "validation", "test")
Counts = dict[str, dict[str, int]]  # split -> what was counted


def cached_tokens(
    root: Path, content: Sequence[object], make: Callable[[Path], Counts]
) -> tuple[Path, Counts]:
    """(folder of the token rows, their counts), made if they are not there yet.

    Args:
        content: all that the token rows depend on, as `digest_of` takes it. make: writes them into a folder.
    """
    cache = Cache(root, "tokens", digest_of(*content))
    if not cache.ready:
        folder = cache.begin()
        write_json(folder / "report.json", make(folder))
        cache.commit()
    return cache.path, json.loads((cache.path / "report.json").read_text(encoding="utf-8"))


def write_examples(
    batches: Iterable[list[Example]], path: Path, longest: int, renderer: Renderer
) -> dict[str, int]:
    """Write examples, which come some at a time, as token rows; what was counted.

    Args:
        longest: ids of a row; further ones are cut off. renderer: made the examples.

    Raises ValueError for a token that the model has no embedding for.
    """
    counts = _Counts()
    parts = (counts.rows_of(examples, longest) for examples in batches)
    rows = TokenRows.write(chain([TokenRows.of([], longest)], parts), path)
    check_embedded(renderer.tokenizer, renderer.base, counts.largest_id)
    return {
        "rows": len(rows),
        "tokens": int(rows.lengths.sum()),
        "answer_tokens": int(rows.sizes.sum()),
        "longest_answer": counts.longest_answer,
        "shortest_prompt": counts.shortest_prompt or 0,
        "cut_off": counts.cut_off,
        "fully_masked": len(rows) - len(rows.trainable()),
    }


@dataclass
class _Counts:
    """What is counted while examples become token rows: tokens, and examples that are cut off."""

    longest_answer: int = 0
    shortest_prompt: int | None = None
    cut_off: int = 0
    largest_id: int = 0

    def rows_of(self, examples: list[Example], longest: int) -> TokenRows:
        """The token rows of some examples, which take a thirtieth of their memory."""
        rows = TokenRows.of(examples, longest)
        for example in examples:
            length, prompt = len(example.ids), example.prompt_length
            self.longest_answer = max(self.longest_answer, length - prompt)
            self.shortest_prompt = (
                prompt if self.shortest_prompt is None else min(self.shortest_prompt, prompt)
            )
            self.cut_off += length > longest
        self.largest_id = max(self.largest_id, int(rows.ids.max()) if len(rows.ids) else 0)
        return rows


def log_truncated(counts: Counts) -> None:
    """Warn of rows that were too long."""
    message = (
        "%s: %d of %d rows are longer than data.max_seq_length and cut off; %d of them leave no"
        " answer and are not used"
    )
    for split, count in counts.items():
        if count["cut_off"]:
            log.warning(message, split, count["cut_off"], count["rows"], count["fully_masked"])
