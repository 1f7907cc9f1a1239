"""Instruction rows mixed into the training of a model that answers questions about a catalogue, so that it
does not forget how to answer others.
"""

import logging
from pathlib import Path

import polars as pl

from data.catalogue.reading import read_table
from data.catalogue.sources import find_files
from data.modules.conversations import read_conversations, weight_rows
from data.tokens.prompts import Renderer
from data.tokens.rows import TokenRows
from data.values import Settings

log = logging.getLogger(__name__)


def with_mixture(rows: TokenRows, settings: Settings, renderer: Renderer, seed: int) -> TokenRows:
    """Training rows, followed by those of ``settings['mixture']`` (path -> how often its rows are seen in an
    epoch).

    Raises ValueError for a path that is not there, or without conversations.
    """
    longest = int(settings["max_seq_length"])
    parts = [rows]
    for path, weight in settings["mixture"].items():
        good = mixed_conversations(path)
        drawn = weight_rows(good.with_columns(split=pl.lit("train")), weight, seed)
        examples = renderer.render_conversations(drawn["messages"].to_list(), drawn["untrained"].to_list())
        parts.append(TokenRows.of(examples, longest))
        cut_off = sum(len(example.ids) > longest for example in examples)
        log.info("%7d  rows of %s are mixed into training (weight %g)", len(examples), path, weight)
        if cut_off:
            log.warning("%7d  of them are longer than data.max_seq_length and cut off", cut_off)
    return TokenRows.joined(parts)


def mixed_conversations(path: str) -> pl.DataFrame:
    """The different conversations of a file or folder.

    Raises ValueError for a path that is not there, or without conversations.
    """
    if not path.startswith("hub:") and "*" not in path and not Path(path).exists():
        raise ValueError(f"data.mixture: there is no file or folder {path}")
    found = pl.concat([_conversations(str(file)) for file in find_files(path, [])])
    return found.unique("messages", maintain_order=True)


def _conversations(path: str) -> pl.DataFrame:
    """The conversations of a file. Raises ValueError if it holds none."""
    frame, unread = read_table(Path(path))
    try:
        found = read_conversations(frame)
    except ValueError as error:
        raise ValueError(f"data.mixture: {path}: {error}") from None
    aside = found.bad.height + unread.height
    if aside:
        log.warning("%7d  rows of %s are damaged or no conversation: left out", aside, path)
    if not found.good.height:
        raise ValueError(f"data.mixture: {path} holds no conversation")
    return found.good.select("messages", "untrained")
