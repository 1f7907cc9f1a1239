"""Instruction data of every usual form -> conversations: lists of messages with a role and a content; what is
unsound is set aside.

Forms, told by their columns: Alpaca (instruction, input, output), pairs (prompt, completion; question,
answer; ...), and lists of messages, as OpenAI (role, content) or ShareGPT (from, value) have them, also as
JSON text. Pure functions from frame to frame.
"""

import json

import polars as pl

MESSAGES = pl.List(pl.Struct({"role": pl.String, "content": pl.String}))

PAIRS = [
    ("instruction", "output"),
    ("instruction", "response"),
    ("prompt", "completion"),
    ("prompt", "response"),
    ("question", "answer"),
]

LISTS = ("messages", "conversations", "conversation")

ROLES = {
    "human": "user",
    "user": "user",
    "gpt": "assistant",
    "assistant": "assistant",
    "model": "assistant",
    "system": "system",
}

# what other tools left at the end of answers
ENDS = r"\s*(?:<\|endoftext\|>|<\|im_end\|>|<\|eot_id\|>|</s>|<eos>|<end_of_turn>)\s*$"


def detect_form(columns: list[str]) -> str:
    """Which columns hold the conversation: the name of one with messages, or 'prompt>answer'. Raises
    ValueError if none does.
    """
    for name in LISTS:
        if name in columns:
            return name
    for prompt, answer in PAIRS:
        if prompt in columns and answer in columns:
            return f"{prompt}>{answer}"
    known = "; ".join([*LISTS, *(f"{prompt} and {answer}" for prompt, answer in PAIRS)])
    raise ValueError(
        f"no instructions in the columns {', '.join(columns)}: there must be one of {known}. Rename yours"
    )


def to_messages(frame: pl.DataFrame) -> pl.DataFrame:
    """Rows in any form -> ``messages``; null where they cannot be read. Raises ValueError if no column
    holds instructions.
    """
    form = detect_form(frame.columns)
    if ">" in form:
        prompt, answer = form.split(">")
        asked = pl.col(prompt).cast(pl.String)
        if "input" in frame.columns:
            given = pl.col("input").cast(pl.String).str.strip_chars().replace("", None)
            asked = pl.coalesce(pl.format("{}\n\n{}", asked, given), asked)
        turns = [
            pl.struct(role=pl.lit("user"), content=asked),
            pl.struct(role=pl.lit("assistant"), content=pl.col(answer).cast(pl.String)),
        ]
        if "system" in frame.columns:
            turns.insert(0, pl.struct(role=pl.lit("system"), content=pl.col("system").cast(pl.String)))
        return frame.select(messages=pl.concat_list(turns).cast(MESSAGES))
    values = frame[form]
    if values.dtype == pl.String:
        return pl.DataFrame(
            {"messages": pl.Series([parse_messages(text) for text in values], dtype=MESSAGES)}
        )
    if not isinstance(values.dtype, pl.List) or not isinstance(values.dtype.inner, pl.Struct):
        raise ValueError(f"the column {form} holds {values.dtype}, not a list of messages")
    names = [field.name for field in values.dtype.inner.fields]
    role, content = ("from", "value") if {"from", "value"} <= set(names) else ("role", "content")
    if not {role, content} <= set(names):
        raise ValueError(
            f"the messages in the column {form} have {', '.join(names)}; there must be role and"
            f" content, or from and value"
        )
    field = pl.element().struct.field
    return frame.select(
        messages=pl.col(form)
        .list.eval(pl.struct(role=field(role), content=field(content).cast(pl.String)))
        .cast(MESSAGES)
    )


def parse_messages(text: str | None) -> list[dict[str, str | None]] | None:
    """Messages written as JSON; None if they are not."""
    try:
        found = json.loads(text or "")
        return [
            {"role": m.get("role", m.get("from")), "content": m.get("content", m.get("value"))} for m in found
        ]
    except (ValueError, AttributeError, TypeError):
        return None


def clean_messages(frame: pl.DataFrame) -> pl.DataFrame:
    """Roles under one name, white space at the ends taken off, empty system turns and end tokens of other
    tools taken out.

    Adds ``stripped``: answers that such a token was taken off.
    """
    field = pl.element().struct.field
    role = field("role").str.to_lowercase().replace_strict(ROLES, default=pl.lit("unknown"))
    content = field("content").fill_null("").str.strip_chars()
    bare = pl.when(role == "assistant").then(content.str.replace(ENDS, "")).otherwise(content)
    kept = pl.element().filter((field("role") != "system") | (field("content") != ""))
    ended = pl.col("messages").list.eval((role == "assistant") & content.str.contains(ENDS)).list.sum()
    return frame.with_columns(
        stripped=ended.fill_null(0),
        messages=pl.col("messages").list.eval(pl.struct(role=role, content=bare)).list.eval(kept),
    )


def reason() -> pl.Expr:
    """Why a conversation cannot be learnt from, or null: what is checked first is told."""
    roles = pl.col("messages").list.eval(pl.element().struct.field("role"))
    spoken = roles.list.eval(pl.element().filter(pl.element() != "system"))
    turns = roles.list.len()
    said = pl.col("messages").list.eval(pl.element().struct.field("content"))
    systems = roles.list.eval(pl.element() == "system").list.sum()
    alternate = spoken.list.eval(
        pl.element()
        == pl.when(pl.int_range(pl.len()) % 2 == 0).then(pl.lit("user")).otherwise(pl.lit("assistant"))
    )
    return (
        pl.when(pl.col("messages").is_null() | (turns == 0))
        .then(pl.lit("no messages could be read"))
        .when(roles.list.contains("unknown"))
        .then(pl.lit("a role that is none of system, user, assistant"))
        .when(said.list.contains(""))
        .then(pl.lit("an empty turn"))
        .when((systems > 1) | ((systems == 1) & (roles.list.first() != "system")))
        .then(pl.lit("a system turn that is not the first"))
        .when(~spoken.list.contains("assistant"))
        .then(pl.lit("no answer"))
        .when(~alternate.list.all())
        .then(pl.lit("turns that do not alternate, the user's first"))
        .otherwise(None)
    )


def without_last_question(messages: pl.Expr) -> pl.Expr:
    """A conversation up to its last answer."""
    last = messages.list.last().struct.field("role")
    return pl.when(last == "user").then(messages.list.head(messages.list.len() - 1)).otherwise(messages)


def read_conversations(frame: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame, int]:
    """(sound conversations, each once; those set aside, with ``reason``; answers that an end token was
    taken off)
    """
    rows = clean_messages(to_messages(frame)).with_columns(reason=reason()).with_row_index("row")
    bad = rows.filter(pl.col("reason").is_not_null()).select(
        "row",
        "reason",
        raw=pl.col("messages")
        .list.eval(pl.element().struct.field("content"))
        .list.join(" / ")
        .str.slice(0, 500),
    )
    good = rows.filter(pl.col("reason").is_null()).with_columns(
        messages=without_last_question(pl.col("messages"))
    )
    return good.select("messages").unique(maintain_order=True), bad, int(rows["stripped"].sum())


def split_conversations(rows: pl.DataFrame, validation: float, test: float, seed: int) -> pl.DataFrame:
    """Add ``split``; conversations that begin with the same words stay together, so that no twin of a test
    row is trained on.
    """
    field = pl.element().struct.field
    opening = pl.col("messages").list.eval(field("content").filter(field("role") == "user")).list.first()
    keyed = rows.with_columns(opening=opening.str.to_lowercase().str.replace_all(r"\s+", " "))
    order = (
        keyed.select("opening")
        .unique()
        .with_columns(order=pl.col("opening").hash(seed))
        .sort("order", "opening")
    )
    ends = [round(order.height * validation), round(order.height * (validation + test))]
    place = pl.int_range(pl.len())
    name = (
        pl.when(place < ends[0])
        .then(pl.lit("validation"))
        .when(place < ends[1])
        .then(pl.lit("test"))
        .otherwise(pl.lit("train"))
    )
    return keyed.join(order.select("opening", split=name), on="opening", maintain_order="left").drop(
        "opening"
    )


def weight_rows(rows: pl.DataFrame, weight: float, seed: int) -> pl.DataFrame:
    """Training rows as often as the weight says (0.5: every other one, 2: each twice); other splits as
    they are.
    """
    train, others = rows.filter(pl.col("split") == "train"), rows.filter(pl.col("split") != "train")
    whole, part = int(weight), weight - int(weight)
    more = train.sample(round(train.height * part), seed=seed) if part else train.head(0)
    return pl.concat([*[train] * whole, more, others])
