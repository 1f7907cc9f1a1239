"""The forms in which tables write several values in one cell: category trees, specifications, image lists.

Everything is a Polars expression but the rare forms of specifications, which Python's own readers take.
"""

import ast
import json
import re
from collections.abc import Sequence

import polars as pl

from data.catalogue.cells import clean_text, with_letters
from data.values import Json

STRING = r'"(?:[^"\\]|\\.)*"'

ENTRY = rf'\{{\s*(?:"key"\s*(?:=>|:)\s*({STRING})\s*,\s*)?"value"\s*(?:=>|:)\s*({STRING}|nil|null)\s*\}}'

BARE_ENTRY = ENTRY.replace(f"({STRING})", STRING).replace(f"({STRING}|nil|null)", f"(?:{STRING}|nil|null)")

SPECIFICATIONS = (
    rf'^\s*\{{\s*"product_specification"\s*(?:=>|:)\s*'
    rf"(?:nil|null|{BARE_ENTRY}|\[\s*(?:{BARE_ENTRY}(?:\s*,\s*{BARE_ENTRY})*)?\s*\])\s*\}}\s*$"
)

QUOTED = r""""(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'"""

LONGEST = 100_000  # characters of specifications that Python's readers are given

KEY_NAMES, VALUE_NAMES = ("key", "name", "attribute", "label"), ("value", "values")

PAIR = re.compile(r"\s*([^:;=|\n]{1,60}?)\s*[:=]\s*([^;|\n]+?)\s*")

ADDRESS = r"^https?://[^\s/]+\.[^\s/]+/\S+$"

TREE_MARK = r">{1,2}|\x{203A}|\x{BB}|\x{2192}"  # the arrows that shops write, too

UNREADABLE_FORM = "specifications cannot be parsed"


def unescape(text: pl.Expr) -> pl.Expr:
    """A quoted literal's content -> text: escaped quotes, slashes and backslashes undone, edges stripped."""
    return text.str.replace_all(r"\\([\"'/\\])", "$1").str.replace_all(r"\\[nrt]", " ").str.strip_chars()


def list_items(text: pl.Expr) -> pl.Expr:
    """The items of a list that is written as text, in JSON's or Python's way."""
    quoted = text.str.extract_all(QUOTED).list.eval(unescape(pl.element().str.slice(1).str.head(-1)))
    bare = text.str.strip_chars("[]").str.split(",").list.eval(pl.element().str.strip_chars())
    return pl.when(text.str.contains(QUOTED)).then(quoted).otherwise(bare)


def category_levels(text: pl.Expr, separator: str, missing: Sequence[str]) -> pl.Expr:
    """A category cell -> list of its levels.

    'A >> B', 'A > B', the same in a list ('["A >> B", "C >> D"]': the first tree counts), and a list of
    levels ('["A", "B"]'). A ``separator`` replaces '>>' and '>'.
    """
    mark = re.escape(separator) if separator else TREE_MARK
    parts = text.str.strip_chars()
    is_list = parts.str.starts_with("[") & parts.str.ends_with("]")
    items = list_items(with_letters(parts))
    are_trees = items.list.eval(pl.element().str.contains(mark)).list.any()
    first = pl.when(is_list).then(items.list.first()).otherwise(parts)
    split = first.str.replace_all(rf"\s*(?:{mark})\s*", "\u0001").str.split("\u0001")
    levels = pl.when(is_list & ~are_trees).then(items).otherwise(split)
    return levels.list.eval(clean_text(pl.element(), missing).drop_nulls())


def has_other_trees(text: pl.Expr) -> pl.Expr:
    """Whether a category cell holds several trees, of which the first counts."""
    parts = text.str.strip_chars()
    trees = list_items(parts).list.eval(pl.element().filter(pl.element().str.contains(TREE_MARK)))
    return parts.str.starts_with("[") & (trees.list.len() > 1)


def image_addresses() -> list[pl.Expr]:
    """A list of addresses in JSON's or Python's way, or separated by commas, '|' or spaces -> ``images`` that
    are http(s) addresses, and how many items are not. A comma within an address stays.
    """
    text = with_letters(pl.col("image").fill_null("").str.strip_chars())
    apart = text.str.replace_all(r"[,;]\s*(https?:)", " $1").str.extract_all(r"[^\s|]+")
    plain = apart.list.eval(pl.element().str.strip_chars(",;\"'[]"))
    items = (
        pl.when(text.str.starts_with("[") & text.str.contains(QUOTED)).then(list_items(text)).otherwise(plain)
    )
    items = items.list.eval(pl.element().filter(pl.element() != ""))
    valid = pl.element().str.contains(ADDRESS)
    return [
        items.list.eval(pl.element().filter(valid)).alias("images"),
        items.list.eval(pl.element().filter(~valid)).list.len().alias("invalid_images"),
    ]


def specification_pairs() -> pl.Expr:
    """Specifications in the published form -> list of key (null where there is none) and value."""
    entries = pl.col("specifications").fill_null("").str.extract_all(ENTRY)
    groups = pl.element().str.extract_groups(ENTRY)
    key = unescape(groups.struct.field("1").str.strip_prefix('"').str.strip_suffix('"'))
    value = groups.struct.field("2")
    literal = unescape(value.str.strip_prefix('"').str.strip_suffix('"'))
    text = pl.when(~value.is_in(["nil", "null"])).then(literal)
    return entries.list.eval(pl.struct(key=key, value=text))


def published_form(text: pl.Expr) -> pl.Expr:
    """Specifications in any known form -> the published one ('{"product_specification"=>[...]}'), which the
    expressions read; null where the form is not known.
    """
    lettered = with_letters(text)
    is_published = lettered.str.contains(SPECIFICATIONS)
    other = pl.when(~is_published).then(lettered).map_elements(_rewritten, return_dtype=pl.String)
    return pl.when(is_published).then(lettered).otherwise(other)


def _rewritten(text: str) -> str | None:
    """One cell of specifications in a rare form, in the published form; None if the form is not known."""
    pairs = read_pairs(text[:LONGEST]) if len(text) <= LONGEST else None
    if pairs is None:
        return None
    entries = []
    for pair in pairs:
        key, value = (json.dumps(" ".join(part.split()), ensure_ascii=False) for part in pair)
        named = f'"key"=>{key}, ' if pair[0].strip() else ""
        entries.append(f'{{{named}"value"=>{value}}}')
    return '{"product_specification"=>[' + ", ".join(entries) + "]}"


def read_pairs(text: str) -> list[tuple[str, str]] | None:
    """Keys and values of specifications in JSON, a Ruby hash, a Python literal, or as 'key: value; ...'."""
    for read in (json.loads, _read_ruby, ast.literal_eval):
        try:
            value = read(text)
        except (ValueError, SyntaxError, RecursionError, MemoryError):
            continue
        if isinstance(value, dict | list | tuple):
            return _pairs_of(value)
    pieces = [piece for piece in re.split(r"[;|\n]", text) if piece.strip()]
    matches = [PAIR.fullmatch(piece) for piece in pieces]
    if not pieces or any(match is None or text.lstrip()[:1] in "{[" for match in matches):
        return None
    return [(match.group(1), match.group(2)) for match in matches if match]


def _read_ruby(text: str) -> Json:
    """A Ruby hash that JSON can express. Raises ValueError for any other."""
    outside = re.split(rf"({STRING})", text)
    for place in range(0, len(outside), 2):
        outside[place] = outside[place].replace("=>", ":").replace("nil", "null")
    return json.loads("".join(outside))


def _pairs_of(value: Json, prefix: str = "") -> list[tuple[str, str]]:
    """Pairs of an object, or of a list of {key, value}, {name, value} or one-pair objects; nested keys are
    joined by a space. A value without a key has ''.
    """
    if isinstance(value, list | tuple):
        pairs = []
        for item in value:
            pairs += _entry_pairs(item, prefix)
        return pairs
    names = {str(name).lower(): name for name in value}
    if set(names) == {"product_specification"}:
        return _pairs_of(value[names["product_specification"]] or [], prefix)
    return [pair for key, inner in value.items() for pair in _nested_pairs(f"{prefix}{key}", inner)]


def _entry_pairs(item: Json, prefix: str) -> list[tuple[str, str]]:
    """Pairs of one item of a list."""
    if not isinstance(item, dict):
        return _nested_pairs(prefix.strip(), item)
    names = {str(name).lower(): name for name in item}
    key = next((names[name] for name in KEY_NAMES if name in names), None)
    value = next((names[name] for name in VALUE_NAMES if name in names), None)
    if value is not None and len(item) <= 2 + (key is None):
        return _nested_pairs(f"{prefix}{item[key]}" if key is not None and item[key] else "", item[value])
    return _pairs_of(item, prefix)


def _nested_pairs(key: str, value: Json) -> list[tuple[str, str]]:
    """Pairs of a value below ``key``."""
    if value is None or value == "":
        return []
    if isinstance(value, dict):
        return _pairs_of(value, f"{key} ")
    if isinstance(value, list | tuple) and any(isinstance(item, dict) for item in value):
        return _pairs_of(value, f"{key} ")
    return [(key, value_text(value))]


def value_text(value: Json) -> str:
    """A value as shoppers read it: yes and no, whole numbers without a point, lists with commas."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    if isinstance(value, list | tuple):
        return ", ".join(value_text(item) for item in value if item is not None)
    return str(value)
