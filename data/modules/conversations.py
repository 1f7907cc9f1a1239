"""Turns of any form -> conversations, lists of messages with role and content; unsound ones are set aside.

Pure functions from frame to frame; `data.modules.message_forms` reads the forms.
"""

from dataclasses import dataclass

import polars as pl

from data.modules.message_forms import UNREADABLE_CONTENT, read_turns, unused_columns

MESSAGES = pl.List(pl.Struct({"role": pl.String, "content": pl.String}))

ROLES = {
    "human": "user",
    "user": "user",
    "gpt": "assistant",
    "assistant": "assistant",
    "model": "assistant",
    "bot": "assistant",
    "chatgpt": "assistant",
    "system": "system",
    "developer": "system",  # OpenAI's name for it
}

# what other tools left at the end of answers
ENDS = r"\s*(?:<\|endoftext\|>|<\|im_end\|>|<\|eot_id\|>|</s>|<eos>|<end_of_turn>)\s*$"

# Hashes of 64 bits each; conversations that share both are taken for one.
KEYS = ["first_key", "second_key"]

MOST_ROWS = 0.5  # share of the rows that one opening may have; above it, whole conversations are compared


@dataclass(frozen=True)
class Conversations:
    """What was read of one table.

    ``good``: sound conversations, each once, as ``messages``, with the numbers of the answers that are not
    trained in ``untrained``. ``bad``: those set aside, with ``reason``. ``ended``: answers that an end token
    was taken off. ``used``: columns that were read; ``unused``: the others, with their rows of content.
    """

    good: pl.DataFrame
    bad: pl.DataFrame
    ended: int
    used: list[str]
    unused: dict[str, int]


def clean_messages(frame: pl.DataFrame) -> pl.DataFrame:
    """``turns`` -> ``messages``: roles under one name, white space at the ends removed, empty system turns
    and end tokens of other tools removed.

    Adds ``stripped``: answers that such a token was taken off; ``untrained``: numbers of the answers of
    weight 0.
    """
    field = pl.element().struct.field
    role = field("role").str.strip_chars().str.to_lowercase().replace_strict(ROLES, default=pl.lit("unknown"))
    content = field("content").fill_null("").str.strip_chars()
    bare = pl.when(role == "assistant").then(content.str.replace(ENDS, "")).otherwise(content)
    kept = pl.element().filter((field("role") != "system") | (field("content") != ""))
    ended = pl.col("turns").list.eval((role == "assistant") & content.str.contains(ENDS)).list.sum()
    weights = pl.col("turns").list.eval(field("weight").filter(role == "assistant"))
    number = pl.int_range(pl.len(), dtype=pl.Int64)
    return frame.select(
        stripped=ended.fill_null(0),
        untrained=weights.list.eval(number.filter(pl.element() == 0)),
        messages=pl.col("turns").list.eval(pl.struct(role=role, content=bare)).list.eval(kept),
    )


def reason() -> pl.Expr:
    """Why a conversation cannot be learnt from, or null: what is checked first is told."""
    roles = pl.col("messages").list.eval(pl.element().struct.field("role"))
    spoken = roles.list.eval(pl.element().filter(pl.element() != "system"))
    turns = roles.list.len()
    said = pl.col("messages").list.eval(pl.element().struct.field("content"))
    systems = roles.list.eval(pl.element() == "system").list.sum()
    answers = roles.list.count_matches("assistant")
    alternate = spoken.list.eval(
        pl.element()
        == pl.when(pl.int_range(pl.len()) % 2 == 0).then(pl.lit("user")).otherwise(pl.lit("assistant"))
    )
    return (
        pl.when(pl.col("messages").is_null() | (turns == 0))
        .then(pl.lit("no messages could be read"))
        .when(roles.list.contains("unknown"))
        .then(pl.lit("a role that is none of system, user, assistant"))
        .when(said.list.contains(UNREADABLE_CONTENT))
        .then(pl.lit("a part that is no text, such as a picture"))
        .when(said.list.contains(""))
        .then(pl.lit("an empty turn"))
        .when((systems > 1) | ((systems == 1) & (roles.list.first() != "system")))
        .then(pl.lit("a system turn that is not the first"))
        .when(~spoken.list.contains("assistant"))
        .then(pl.lit("no answer"))
        .when(~alternate.list.all())
        .then(pl.lit("turns that do not alternate, the user's first"))
        .when(pl.col("untrained").list.len() >= answers)
        .then(pl.lit("every answer has the weight 0"))
        .otherwise(None)
    )


def _without_last_question(messages: pl.Expr) -> pl.Expr:
    """A conversation up to its last answer."""
    last = messages.list.last().struct.field("role")
    return pl.when(last == "user").then(messages.list.head(messages.list.len() - 1)).otherwise(messages)


def read_conversations(frame: pl.DataFrame) -> Conversations:
    """The conversations of a table. Raises ValueError if no column holds any."""
    turns, used = read_turns(frame)
    rows = clean_messages(turns.to_frame()).with_columns(reason=reason()).with_row_index("row")
    bad = rows.filter(pl.col("reason").is_not_null()).select(
        "row",
        "reason",
        raw=pl.col("messages")
        .list.eval(pl.element().struct.field("content"))
        .list.join(" / ")
        .str.slice(0, 500),
    )
    good = rows.filter(pl.col("reason").is_null()).with_columns(
        messages=_without_last_question(pl.col("messages"))
    )
    good = good.select("messages", "untrained").unique(maintain_order=True)
    return Conversations(good, bad, int(rows["stripped"].sum()), used, unused_columns(frame, used))


def conversation_keys(rows: pl.DataFrame, seed: int) -> pl.DataFrame:
    """Hashes of conversations: of two equal conversations, both `KEYS` are the same.

    ``opening`` and ``whole`` are what conversations are kept together by: their first question, case and
    spacing apart; all that is said, where one first question opens most of them.
    """
    field = pl.element().struct.field
    message = pl.concat_str(field("role"), field("content"), separator="\x1f")
    text = pl.col("messages").list.eval(message).list.join("\x1e")
    asked = pl.col("messages").list.eval(field("content").filter(field("role") == "user"))
    opening = asked.list.first().str.to_lowercase().str.replace_all(r"\s+", " ")
    whole = pl.col("messages").list.eval(field("content")).list.join("\n")
    first, second = (text.hash(number).alias(key) for number, key in enumerate(KEYS))
    return rows.select(first, second, opening=opening.hash(seed), whole=whole.hash(seed))


def split_conversations(rows: pl.DataFrame, validation: float, test: float, most: int = 0) -> pl.DataFrame:
    """Add ``split`` to rows with `conversation_keys`; conversations that begin with the same words stay
    together, so that no twin of a test row is trained on.

    Args:
        most: openings of validation, and of test, at most; 0: as many as their shares say.
    """
    shared = rows.select(pl.len().over("opening").max()).item() or 0
    is_shared = rows.height > 4 and shared > MOST_ROWS * rows.height
    key = "whole" if is_shared else "opening"
    order = rows.select(key).unique().sort(key)
    shares = [round(order.height * validation), round(order.height * (validation + test))]
    counts = [shares[0], shares[1] - shares[0]]
    if most:
        counts = [min(count, most) for count in counts]
    place = pl.int_range(pl.len())
    name = (
        pl.when(place < counts[0])
        .then(pl.lit("validation"))
        .when(place < sum(counts))
        .then(pl.lit("test"))
        .otherwise(pl.lit("train"))
    )
    return rows.join(order.select(key, split=name), on=key, maintain_order="left")


def named_splits(rows: pl.DataFrame, validation: float, test: float, most: int = 0) -> pl.DataFrame:
    """Add ``split`` as ``named``, the split in each file's name, says; what no name says is drawn."""
    named = rows["named"].drop_nulls().unique().to_list()
    if not named:
        return split_conversations(rows.drop("named"), validation, test, most)
    rows = rows.with_columns(split=pl.col("named").fill_null("train")).drop("named")
    if "validation" in named:
        return rows
    train = rows.filter(pl.col("split") == "train").drop("split")
    others = rows.filter(pl.col("split") != "train")
    drawn = split_conversations(train, validation, 0, most)
    return pl.concat([drawn, others.select(drawn.columns)])


def weight_rows(rows: pl.DataFrame, weight: float, seed: int) -> pl.DataFrame:
    """Training rows as often as the weight says (0.5: every other one, 2: each twice); other splits as
    they are.
    """
    train, others = rows.filter(pl.col("split") == "train"), rows.filter(pl.col("split") != "train")
    whole, part = int(weight), weight - int(weight)
    more = train.sample(round(train.height * part), seed=seed) if part else train.head(0)
    return pl.concat([*[train] * whole, more, others])
