"""Rows of a user's files, whose loss shows what a tuned model has forgotten: conversations, or a column
``text``.
"""

import logging
from pathlib import Path

import polars as pl

from data.catalogue.reading import read_table
from data.modules.conversations import read_conversations
from data.scoring.lookups import spread
from data.tokens.example import Example
from data.tokens.prompts import Renderer

log = logging.getLogger(__name__)

TEXT = "text"


def general_examples(path: str, renderer: Renderer, count: int, longest: int) -> list[Example]:
    """``count`` rows of a file, spread evenly over it: of a conversation its answers are predicted, of a text
    all tokens. Rows of more than ``longest`` tokens are left out.

    Raises ValueError if there is no such file, or nothing to predict in it.
    """
    if not Path(path).is_file():
        raise ValueError(f"evaluation.general: there is no file {path}")
    frame, unread = read_table(Path(path))
    if TEXT in frame.columns:
        texts = frame[TEXT].cast(pl.String).drop_nulls()
        good = texts.filter(texts.str.len_chars() > 0).to_frame()
        examples = _running_text(spread(good, count)[TEXT].to_list(), renderer)
    else:
        try:
            good = read_conversations(frame).good
        except ValueError as error:
            raise ValueError(f"evaluation.general: {path}: {error}, and no column {TEXT!r}") from None
        drawn = spread(good, count)
        examples = renderer.render_conversations(drawn["messages"].to_list(), drawn["untrained"].to_list())
    aside = frame.height + unread.height - good.height
    if aside:
        log.warning("%s: %d rows are damaged, empty, repeated or no conversation: left out", path, aside)
    fitting = [example for example in examples if len(example.ids) <= longest and example.spans]
    if len(fitting) < len(examples):
        log.warning("%s: %d rows of over %d tokens are left out", path, len(examples) - len(fitting), longest)
    if not fitting:
        raise ValueError(f"evaluation.general: {path} has no row of at most {longest} tokens")
    return fitting


def _running_text(texts: list[str], renderer: Renderer) -> list[Example]:
    """Texts as a model reads them in pretraining: every token but the first is predicted."""
    harmless = [renderer.harmless(text) for text in texts]
    start = renderer.tokenizer.bos_token_id
    first = [] if start is None else [start]
    rows = [[*first, *ids] for ids in renderer.encode(harmless)]
    return [Example.turn(ids, 1) for ids in rows]
