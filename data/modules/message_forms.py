"""The forms in which instruction data is written -> lists of messages with role, content and weight.

Forms, known by their columns: Alpaca (instruction, input or context, output; also with earlier turns in
history), pairs (prompt, completion; question, answer; ...), and lists of messages, as OpenAI (role, content,
weight), ShareGPT (from, value) and TRL (prompt and completion of messages) have them, also as JSON text.
"""

import ast
import json
from collections.abc import Iterable

import polars as pl

from data.catalogue.cells import cell_text
from data.values import Json, JsonObject

Turn = JsonObject  # role, content, weight

TURNS = pl.List(pl.Struct({"role": pl.String, "content": pl.String, "weight": pl.Float64}))

PAIRS = [
    ("instruction", "output"),
    ("instruction", "response"),
    ("prompt", "completion"),
    ("prompt", "response"),
    ("question", "answer"),
]

LISTS = ("messages", "conversations", "conversation")

INPUTS = ("input", "context")  # what an instruction or a question is about

PICTURES = ("image", "images", "image_url")

KNOWN = {*LISTS, *INPUTS, *PICTURES, "history", "system", *(name for pair in PAIRS for name in pair)}

UNREADABLE_CONTENT = "\0"  # marks a message with a part that is no text


def _detect_form(frame: pl.DataFrame) -> list[str]:
    """The columns that hold the conversation: one with messages, or two of a prompt and an answer. Raises
    ValueError if there are none.
    """
    columns = frame.columns
    for name in LISTS:
        if name in columns:
            return [name]
    for prompt, answer in PAIRS:
        if prompt in columns and answer in columns:
            return [prompt, answer]
    known = "; ".join([*LISTS, *(f"{prompt} and {answer}" for prompt, answer in PAIRS)])
    raise ValueError(
        f"no instructions in the columns {', '.join(columns)}: there must be one of {known}. Rename yours"
    )


def _usual_names(columns: list[str]) -> dict[str, str]:
    """Column -> the usual name that it is apart from case and spaces: "Instruction" is instruction."""
    usual: dict[str, str] = {}
    for column in columns:
        name = column.strip().lower()
        if name in KNOWN and name not in columns and name not in usual.values():
            usual[column] = name
    return usual


def read_turns(table: pl.DataFrame) -> tuple[pl.Series, list[str]]:
    """Rows in any form -> (``turns``, null where they cannot be read; the columns that were read).

    Raises ValueError if no column holds instructions, or one holds pictures.
    """
    usual = _usual_names(table.columns)
    frame = table.rename(usual)
    for name in PICTURES:
        if name in frame.columns and frame[name].drop_nulls().len():
            raise ValueError(f"the column {name} holds pictures, and only text is trained: remove it")
    form = _detect_form(frame)
    used = [*form]
    if len(form) == 1:
        turns = _message_lists(frame[form[0]])
    elif _is_conversational(frame[form[0]]):
        first, second = (_message_lists(frame[name]) for name in form)
        turns = pl.DataFrame({"a": first, "b": second}).select(pl.concat_list("a", "b")).to_series()
    else:
        given = [name for name in INPUTS if name in frame.columns]
        turns = _pair_turns(frame, form, given)
        used += given
        if "history" in frame.columns:
            used.append("history")
            turns = _with_history(turns, frame["history"])
    if "system" in frame.columns:
        used.append("system")
        turns = _with_system(turns, frame.select(cell_text("system", frame.schema["system"])).to_series())
    as_called = {name: column for column, name in usual.items()}
    return turns.alias("turns"), [as_called.get(name, name) for name in used]


def _is_conversational(values: pl.Series) -> bool:
    """Whether a column of prompts holds messages rather than text."""
    return isinstance(values.dtype, pl.List)


def _pair_turns(frame: pl.DataFrame, form: list[str], given: list[str]) -> pl.Series:
    """A user turn (with what it is about below it) and an assistant turn; objects and lists as JSON."""
    texts = frame.select(*form, *given)
    for name, kind in texts.schema.items():
        if isinstance(kind, pl.List | pl.Struct | pl.Array):
            texts = texts.with_columns(pl.Series(name, list(map(json_text, texts[name])), dtype=pl.String))
        else:
            texts = texts.with_columns(cell_text(name, kind))
    asked = pl.col(form[0])
    for name in given:
        about = pl.col(name).str.strip_chars().replace("", None)
        asked = pl.coalesce(pl.format("{}\n\n{}", asked, about), asked)
    turns = [turn("user", asked), turn("assistant", pl.col(form[1]))]
    return texts.select(pl.concat_list(turns).cast(TURNS)).to_series()


def turn(role: str, content: pl.Expr) -> pl.Expr:
    """A message of a role."""
    return pl.struct(role=pl.lit(role), content=content, weight=pl.lit(None, pl.Float64))


def json_text(value: Json) -> str | None:
    """A nested value as JSON, without the keys that are null (a table has every row's keys in each)."""
    if value is None:
        return None
    plain = value.to_list() if isinstance(value, pl.Series) else value
    return json.dumps(_without_nulls(plain), ensure_ascii=False, default=str)


def _without_nulls(value: Json) -> Json:
    """An object without keys of null, at any depth."""
    if isinstance(value, dict):
        return {key: _without_nulls(inner) for key, inner in value.items() if inner is not None}
    if isinstance(value, list):
        return [_without_nulls(inner) for inner in value]
    return value


def _message_lists(values: pl.Series) -> pl.Series:
    """A column with messages -> turns. Raises ValueError for a column that holds none."""
    kind, name = values.dtype, values.name
    if kind == pl.String:
        return pl.Series([_parse_messages(text) for text in values], dtype=TURNS)
    if kind == pl.List(pl.String):  # user and assistant in turn
        return pl.Series(list(map(_turns_of, values.to_list())), dtype=TURNS)
    if not isinstance(kind, pl.List) or not isinstance(kind.inner, pl.Struct):
        raise ValueError(f"the column {name} holds {kind}, not a list of messages")
    fields = {field.name: field.dtype for field in kind.inner.fields}
    role, content = ("from", "value") if {"from", "value"} <= set(fields) else ("role", "content")
    if not {role, content} <= set(fields):
        raise ValueError(
            f"the messages in the column {name} have {', '.join(fields)}; there must be role and"
            f" content, or from and value"
        )
    if fields[content] != pl.String or fields[role] != pl.String:
        return pl.Series([_turns_of(row) for row in values.to_list()], dtype=TURNS)
    field = pl.element().struct.field
    weight = field("weight").cast(pl.Float64) if "weight" in fields else pl.lit(None, pl.Float64)
    message = pl.struct(role=field(role), content=field(content), weight=weight)
    turns = values.to_frame("turns").select(pl.col("turns").list.eval(message).cast(TURNS)).to_series()
    if not values.explode().struct.field(content).str.starts_with('[{"type"').any():
        return turns
    return pl.Series([_turns_of(row) for row in turns.to_list()], dtype=TURNS)


def _parse_messages(text: str | None) -> list[Turn] | None:
    """Messages written as JSON, or as Python writes a list; None if they are not."""
    for read in (json.loads, ast.literal_eval):
        try:
            return _turns_of(read(text or ""))
        except (ValueError, SyntaxError, AttributeError, TypeError, RecursionError, MemoryError):
            continue
    return None


def _turns_of(messages: Iterable[Json] | None) -> list[Turn] | None:
    """Messages as objects, or texts of user and assistant in turn. Raises AttributeError for others."""
    if messages is None:
        return None
    turns = []
    for place, message in enumerate(messages):
        if isinstance(message, str):
            message = {"role": ("user", "assistant")[place % 2], "content": message}
        content = message.get("content", message.get("value"))
        role = message.get("role", message.get("from"))
        turns.append({"role": role, "content": _content_text(content), "weight": message.get("weight")})
    return turns


def _content_text(content: Json) -> str | None:
    """The content of a message: text, or parts of which each is text; a part that is none marks it."""
    if isinstance(content, str) and content.startswith('[{"type"'):
        try:
            content = json.loads(content)
        except ValueError:
            return content
    if content is None or isinstance(content, str):
        return content
    parts = content if isinstance(content, list) else [content]
    texts = []
    for part in parts:
        is_text = isinstance(part, str) or (isinstance(part, dict) and part.get("text") is not None)
        if not is_text:
            return UNREADABLE_CONTENT
        texts.append(part if isinstance(part, str) else str(part["text"]))
    return "\n".join(texts)


def _with_system(turns: pl.Series, system: pl.Series) -> pl.Series:
    """Turns with the text of a system column before them, where they have no system turn of their own."""
    frame = pl.DataFrame({"turns": turns, "system": system})
    roles = pl.col("turns").list.eval(pl.element().struct.field("role"))
    is_added = (pl.col("system").fill_null("") != "") & ~roles.list.contains("system").fill_null(False)
    first = pl.concat_list(turn("system", pl.col("system"))).cast(TURNS)
    joined = pl.when(is_added).then(pl.concat_list(first, "turns")).otherwise("turns")
    return frame.select(joined).to_series()


def _with_history(turns: pl.Series, history: pl.Series) -> pl.Series:
    """Turns with the earlier ones of a history column before them: a list of pairs of question and answer."""
    rows = []
    for row, earlier in zip(turns.to_list(), history.to_list(), strict=True):
        pairs = json.loads(earlier) if isinstance(earlier, str) and earlier.strip() else earlier or []
        flat = [text for pair in pairs for text in pair]
        rows.append([*(_turns_of(flat) or []), *row])
    return pl.Series(rows, dtype=TURNS)


def unused_columns(frame: pl.DataFrame, used: list[str]) -> dict[str, int]:
    """Column -> rows with content, of the columns that are not read."""
    counts = {}
    for name in frame.columns:
        if name not in used:
            values = frame[name].drop_nulls()
            filled = values.len()
            if values.dtype == pl.String:
                filled = int((values.str.strip_chars() != "").sum())
            elif isinstance(values.dtype, pl.List):
                filled = int((values.list.len() > 0).sum())
            if filled:
                counts[name] = filled
    return counts
