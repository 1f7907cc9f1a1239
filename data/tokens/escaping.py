"""Control tokens in texts of a table or a visitor, broken up so that they cannot open or close a turn.

One rule for prompts, answers and the catalogue that answers are scored against.
"""

from collections.abc import Sequence

import polars as pl


def _broken_up(token: str) -> str:
    """A control token with a space after its first character."""
    return f"{token[0]} {token[1:]}"


def escape_text(text: str, tokens: Sequence[str]) -> str:
    """A text without ``tokens``, the longest of which stand first."""
    for token in tokens:
        if token in text:
            text = text.replace(token, _broken_up(token))
    return text


def escape_frame(frame: pl.DataFrame, tokens: Sequence[str]) -> pl.DataFrame:
    """A table whose texts, also those in lists of objects, hold none of ``tokens``."""
    changed = []
    for name, kind in frame.schema.items():
        texts = frame[name]
        if isinstance(kind, pl.List) and isinstance(kind.inner, pl.Struct):
            fields = [field.name for field in kind.inner.fields if field.dtype == pl.String]
            inner = texts.explode().drop_nulls().struct
            if any(holds(inner.field(field), tokens) for field in fields):
                escaped = {
                    field: _escaped_expression(pl.element().struct.field(field), tokens) for field in fields
                }
                changed.append(pl.col(name).list.eval(pl.element().struct.with_fields(**escaped)))
        elif kind == pl.String and holds(texts, tokens):
            changed.append(_escaped_expression(pl.col(name), tokens))
    return frame.with_columns(changed)


def holds(texts: pl.Series, tokens: Sequence[str]) -> bool:
    """Whether one of the texts holds one of ``tokens``."""
    return bool(texts.str.contains_any(list(tokens)).any())


def _escaped_expression(text: pl.Expr, tokens: Sequence[str]) -> pl.Expr:
    """`escape_text` as an expression."""
    for token in tokens:
        text = text.str.replace_all(token, _broken_up(token), literal=True)
    return text
