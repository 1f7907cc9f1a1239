"""Preference data: pairs of a better and a worse answer to one prompt, in the forms that TRL reads.

    {"prompt": [{"role": "user", "content": "..."}], "chosen": [{"role": ...}], "rejected": [...]}

Prompt and answers may be texts, too, and without a prompt ``chosen`` and ``rejected`` are whole conversations
that differ in their last answer.
"""

import logging
from pathlib import Path

import polars as pl

from data.catalogue.reading import read_table
from data.modules.conversations import clean_messages, reason
from data.modules.message_forms import read_turns
from data.tokens.example import Example
from data.tokens.prompts import Renderer
from data.tokens.rows import PreferenceRows
from data.values import Settings

log = logging.getLogger(__name__)

ANSWERS = ("chosen", "rejected")
PROMPT = ("prompt", "system")


def read_pairs(path: Path) -> tuple[pl.DataFrame, pl.DataFrame]:
    """(pairs: ``chosen`` and ``rejected`` as whole conversations; rows set aside: ``row``, ``reason``)

    Raises ValueError if the file lacks a column, or holds no pair.
    """
    frame, unread = read_table(path)
    missing = [name for name in ANSWERS if name not in frame.columns]
    if missing:
        raise ValueError(
            f"data.preferences={path}: there is no column {' and no column '.join(missing)} (there are"
            f" {', '.join(frame.columns)}): name the better answer chosen and the other one rejected"
        )
    both = [_conversations(frame, name) for name in ANSWERS]
    rows = pl.concat(both, how="horizontal").with_row_index("row")
    prompts = [pl.col(name).list.head(pl.col(name).list.len() - 1) for name in ANSWERS]
    last = [pl.col(name).list.last().struct.field("role") for name in ANSWERS]
    unlike = (
        pl.when((last[0] != "assistant") | (last[1] != "assistant"))
        .then(pl.lit("a conversation that ends without an answer"))
        .when(prompts[0] != prompts[1])
        .then(pl.lit("two answers to different prompts"))
        .when(pl.col("chosen") == pl.col("rejected"))
        .then(pl.lit("two answers that are the same"))
    )
    rows = rows.with_columns(reason=pl.coalesce("chosen reason", "rejected reason", unlike))
    good, bad = rows.filter(pl.col("reason").is_null()), rows.filter(pl.col("reason").is_not_null())
    aside = pl.concat([bad.select(pl.col("row").cast(pl.Int64), "reason"), unread.select("row", "reason")])
    if not good.height:
        example = f", for example: {aside['reason'][0]}" if aside.height else ""
        raise ValueError(f"data.preferences={path}: holds no pair of answers{example}")
    return good.select(ANSWERS), aside


def _conversations(frame: pl.DataFrame, name: str) -> pl.DataFrame:
    """One answer of each row with its prompt: the column ``name``, and "``name`` reason", null where it is
    sound.
    """
    prompt = [column for column in PROMPT if column in frame.columns]
    if "prompt" in prompt:
        turns, _ = read_turns(frame.select(*prompt, completion=name))
    else:
        turns, _ = read_turns(frame.select(messages=name))
    found = clean_messages(turns.to_frame()).with_columns(reason=reason())
    return found.select(pl.col("messages").alias(name), pl.col("reason").alias(f"{name} reason"))


def preference_rows(settings: Settings, renderer: Renderer) -> PreferenceRows:
    """The pairs of ``settings['preferences']`` as training rows; both answers of a pair fit into
    ``max_seq_length``, or the pair is left out.
    """
    path, longest = Path(settings["preferences"]), int(settings["max_seq_length"])
    good, aside = read_pairs(path)
    for why, count in aside["reason"].value_counts(sort=True).rows():
        log.warning("%7d  pairs of %s are set aside: %s", count, path, why)
    rendered = [_render_last_answers(good[name].to_list(), renderer) for name in ANSWERS]
    pairs = list(zip(*rendered, strict=True))
    fitting = [(one, two) for one, two in pairs if max(len(one.ids), len(two.ids)) <= longest]
    if len(fitting) < len(pairs):
        message = "%7d  pairs are longer than data.max_seq_length=%d and left out"
        log.warning(message, len(pairs) - len(fitting), longest)
    if not fitting:
        raise ValueError(
            f"data.preferences={path}: no pair fits into data.max_seq_length={longest}; raise it"
        )
    log.info("%7d  pairs of %s to train on", len(fitting), path)
    return PreferenceRows.of_pairs(fitting, longest)


def _render_last_answers(conversations: list[list[dict[str, str]]], renderer: Renderer) -> list[Example]:
    """Conversations -> examples of which the last answer alone is trained."""
    earlier = []
    for messages in conversations:
        answers = sum(message["role"] == "assistant" for message in messages)
        earlier.append(list(range(answers - 1)))
    return renderer.render_conversations(conversations, earlier)
