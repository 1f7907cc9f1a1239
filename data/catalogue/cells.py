"""Cells of any table -> text: every type as text, white space evened out, words for a missing value taken as
missing, numbers read from text.

All text of a table enters through `cell_text` and `clean_text`.
"""

import json
import re
from collections.abc import Sequence
from html.entities import html5

import polars as pl
import polars.selectors as cs

# Control characters and white space but the plain space; and runs that become one space.
UNUSUAL = (
    r"\x{0}-\x{1f}\x{7f}-\x{a0}\x{1680}\x{2000}-\x{200a}\x{2028}\x{2029}\x{202f}\x{205f}\x{3000}\x{feff}"
)
GAP = rf" *[{UNUSUAL}][{UNUSUAL} ]*|  +"

NUMBER = r"\d{1,3}(?:[.,\s\x{a0}]\d{3})+(?:[.,]\d{1,2})?|\d+(?:[.,]\d+)?"

# The names and numbers with which HTML writes letters of Latin-1, dashes, quotes and signs of currencies.
NAMED = {f"&{name}": letter for name, letter in html5.items() if name.endswith(";") and len(letter) == 1}
NUMBERED = (*range(32, 256), *range(0x2010, 0x2040), *range(0x20A0, 0x20C1))
IN_DECIMAL = {f"&#{code};": chr(code) for code in NUMBERED}
IN_HEX = {f"&#x{form};": chr(code) for code in NUMBERED for form in (f"{code:x}", f"{code:X}")}
ENTITIES = NAMED | IN_DECIMAL | IN_HEX

ESCAPED_LETTERS = re.compile(r"(?:\\u[0-9a-fA-F]{4})+")


def column_named(name: str) -> pl.Expr:
    """A column of a user's table, which may be called "*" or "^a$"; `pl.col` takes these for patterns."""
    return cs.by_name(name).as_expr()


def cell_text(name: str, kind: pl.DataType) -> pl.Expr:
    """A column of any type as text: whole floats without a point, lists and objects as JSON.

    Raises ValueError for a type that holds no text.
    """
    cell = column_named(name)
    text = cell
    if isinstance(kind, pl.List | pl.Array | pl.Struct):
        encoded = pl.struct(v=cell).struct.json_encode().str.strip_prefix('{"v":').str.strip_suffix("}")
        text = pl.when(cell.is_not_null()).then(encoded)
    elif kind.is_float():
        is_whole = (cell == cell.floor()) & (cell.abs() < 2**53)
        whole = cell.cast(pl.Int64, strict=False).cast(pl.String)
        number = pl.when(is_whole).then(whole).otherwise(cell.cast(pl.String))
        text = pl.when(~cell.is_nan()).then(number)
    elif kind == pl.Duration:
        text = cell.dt.to_string("polars")
    elif kind in (pl.Binary, pl.Object):
        raise ValueError(f"the column {name!r} holds {kind}, which is no text: choose another column")
    else:
        text = cell.cast(pl.String)
    return text.alias(name)


def clean_text(text: pl.Expr, missing: Sequence[str]) -> pl.Expr:
    """HTML's names of letters ("&amp;") become the letters, white space and control characters one space; the
    edges are stripped; an empty cell and a word for a missing value (in any case) become null.
    """
    letters = text.str.replace_many(ENTITIES)
    return trim_text(letters.str.replace_all(GAP, " "), missing)


def trim_text(text: pl.Expr, missing: Sequence[str]) -> pl.Expr:
    """A long text, whose inner white space stays: the edges are stripped; an empty cell and a word for a
    missing value become null.
    """
    trimmed = text.str.strip_chars()
    words = [word.lower() for word in missing]
    longest = max(map(len, words), default=0)
    start = trimmed.str.head(longest + 1).str.to_lowercase()  # a longer text is no such word
    return pl.when((trimmed != "") & ~start.is_in(words)).then(trimmed)


def with_letters(text: pl.Expr) -> pl.Expr:
    """Escapes of letters beyond ASCII, as JSON writes them (``\\u00e9``), as the letters."""
    has_escapes = text.str.contains(r"\\u[0-9a-fA-F]{4}")
    return (
        pl.when(has_escapes).then(text.map_elements(_decode_letters, return_dtype=pl.String)).otherwise(text)
    )


def _decode_letters(text: str) -> str:
    """Replace the escapes of letters in one text; those of ASCII, such as a quote, stay."""

    def letters(match: re.Match[str]) -> str:
        decoded = str(json.loads(f'"{match.group()}"'))
        is_safe = not decoded.isascii() and not any(0xD800 <= ord(letter) < 0xE000 for letter in decoded)
        return decoded if is_safe else match.group()

    return ESCAPED_LETTERS.sub(letters, text)


def first_number(text: pl.Expr) -> pl.Expr:
    """The first number of a text: '4.9 out of 5', '4,9', 'Rs. 1,299.00', '1.299,00 EUR'; null without one.

    Where there are points and commas, the last one is the decimal mark. A lone comma before three digits
    separates thousands, any other mark is the decimal one.
    """
    number = text.str.extract(f"({NUMBER})").str.replace_all(r"[\s\x{a0}]", "")
    has_both = number.str.contains(r"\..*,|,.*\.")
    decimal_comma = number.str.contains(r",\d+$") & number.str.contains(r"\..*,")
    both = (
        pl.when(decimal_comma)
        .then(number.str.replace_all(".", "", literal=True).str.replace(",", ".", literal=True))
        .otherwise(number.str.replace_all(",", "", literal=True))
    )
    is_thousands = number.str.contains(r"^[1-9]\d{0,2}(?:,\d{3})+$|^[1-9]\d{0,2}(?:\.\d{3}){2,}$")
    single = (
        pl.when(is_thousands)
        .then(number.str.replace_all(r"[.,]", ""))
        .otherwise(number.str.replace(",", ".", literal=True))
    )
    return pl.when(has_both).then(both).otherwise(single).cast(pl.Float64, strict=False)


def price_text(cell: pl.Expr, currency: str) -> pl.Expr:
    """A price as it is asked for: its number after the currency; without a currency, the cell as it is."""
    if not currency:
        return cell
    number = first_number(cell)
    whole = number.cast(pl.Int64, strict=False).cast(pl.String)
    text = pl.when(number == number.floor()).then(whole).otherwise(number.round(2).cast(pl.String))
    return pl.format("{}{}", pl.lit(currency), text)
