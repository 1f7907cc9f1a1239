"""Any table of products -> a clean catalogue: read, validate, clean, filter, count. Pure Polars; `clean()` ties it together.

A column map names the raw columns. Rows that cannot be read or trusted go to a quarantine frame with the reason, and the
number of rows after every step is kept: nothing disappears unseen.
"""

from dataclasses import dataclass, field
from pathlib import Path

import polars as pl

from data.tables import STOP_WORDS, read_table

REQUIRED = ("name", "category")
OPTIONAL = ("id", "description", "specifications", "image", "brand", "rating")
STRING = r'"(?:[^"\\]|\\.)*"'
ENTRY = rf'\{{\s*(?:"key"\s*(?:=>|:)\s*({STRING})\s*,\s*)?"value"\s*(?:=>|:)\s*({STRING}|nil|null)\s*\}}'
BARE_ENTRY = ENTRY.replace(f"({STRING})", STRING).replace(f"({STRING}|nil|null)", f"(?:{STRING}|nil|null)")
SPECIFICATIONS = (
    rf'^\s*\{{\s*"product_specification"\s*(?:=>|:)\s*'
    rf"(?:nil|null|{BARE_ENTRY}|\[\s*(?:{BARE_ENTRY}(?:\s*,\s*{BARE_ENTRY})*)?\s*\])\s*\}}\s*$"
)


@dataclass(frozen=True)
class Filter:
    """Which products to keep: a first-level category, second-level ones, and a least number of rows on the levels below."""

    root: str
    departments: tuple[str, ...]
    min_rows: int
    drop_missing_levels: bool


@dataclass
class Catalogue:
    """A cleaned table and what became of the rest."""

    products: pl.DataFrame
    quarantine: pl.DataFrame
    counts: list[tuple[str, int]] = field(default_factory=list)


def rename(raw: pl.DataFrame, columns: dict[str, str], attributes: list[str], path: Path) -> pl.DataFrame:
    """Raw columns -> the names used here; attribute columns become specifications in the crawl's own form.

    Raises ValueError naming every column that the table lacks.
    """
    wanted = [*columns.values(), *attributes]
    missing = [column for column in wanted if column not in raw.columns]
    if missing:
        raise ValueError(f"{path} has no column {', '.join(map(repr, missing))} (it has {', '.join(raw.columns)}): mend data.columns")
    frame = raw.select(pl.col(source).str.strip_chars().replace("", None).alias(name) for name, source in columns.items()).with_columns(
        pl.lit(None, pl.String).alias(name) for name in OPTIONAL if name not in columns
    )
    pairs = [pl.struct(pl.lit(a).alias("key"), raw[a].cast(pl.String).alias("value")) for a in attributes]
    table = pl.concat_list(pairs) if pairs else pl.lit([], pl.List(pl.Struct({"key": pl.String, "value": pl.String})))
    numbered = frame.with_columns(table_attributes=table).with_row_index("row", 1)
    return numbered.with_columns(id=pl.coalesce("id", pl.format("row-{}", "row")))


def unescape(text: pl.Expr) -> pl.Expr:
    """A quoted literal's content -> text: escaped quotes, slashes and backslashes undone, edges stripped."""
    return text.str.replace_all(r"\\([\"/\\])", "$1").str.replace_all(r"\\[nt]", " ").str.strip_chars()


def parse_specifications() -> list[pl.Expr]:
    """Ruby-hash or JSON specifications -> ``attributes`` (list of key, value) and ``notes`` (values that have no key)."""
    entries = pl.col("specifications").fill_null("").str.extract_all(ENTRY)
    groups = pl.element().str.extract_groups(ENTRY)
    key = unescape(groups.struct.field("1").str.strip_prefix('"').str.strip_suffix('"'))
    value = unescape(groups.struct.field("2").str.strip_prefix('"').str.strip_suffix('"'))
    pair = pl.struct(key=key, value=value)
    keyed = pl.element().struct.field("key").fill_null("") != ""
    valued = ~pl.element().struct.field("value").fill_null("").is_in(["", "nil", "null"])
    pairs = entries.list.eval(pair).list.concat("table_attributes").list.eval(pl.element().filter(valued))
    return [
        pairs.list.eval(pl.element().filter(keyed)).alias("attributes"),
        pairs.list.eval(pl.element().filter(~keyed).struct.field("value")).alias("notes"),
    ]


def parse_category() -> pl.Expr:
    """'["A >> B >> C"]' or 'A >> B' or 'A > B' -> list of all its levels."""
    tree = unescape(pl.col("category").str.strip_prefix('["').str.strip_suffix('"]'))
    return tree.str.replace_all(r"\s+>>?\s+", "\u0001").str.split("\u0001").list.eval(pl.element().str.strip_chars())


def parse_images() -> list[pl.Expr]:
    """JSON list (or plain text) of addresses -> ``images`` that are http(s) addresses, and how many items were not."""
    items = pl.col("image").fill_null("").str.extract_all(r'"[^"]*"|[^\s,\[\]"]+').list.eval(pl.element().str.strip_chars('"'))
    valid = pl.element().str.contains(r"^https?://[^\s/]+\.[^\s/]+/\S+$")
    return [
        items.list.eval(pl.element().filter(valid)).alias("images"),
        items.list.eval(pl.element().filter(~valid)).list.len().alias("invalid_images"),
    ]


def plain_words() -> pl.Expr:
    """Description without punctuation and stop words, kept beside the original as published."""
    words = pl.col("description").str.to_lowercase().str.replace_all(r"[^\p{L}\p{N}\s]", "").str.extract_all(r"\S+")
    return words.list.eval(pl.element().filter(~pl.element().is_in(STOP_WORDS))).list.join(" ").alias("description_words")


def set_aside(frame: pl.DataFrame, bad: pl.Expr, reason: str) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Split off the rows for which ``bad`` holds, with the reason."""
    rows = frame.filter(bad.fill_null(False))
    raw = pl.concat_str([pl.col(c).fill_null("") for c in (*REQUIRED, "specifications")], separator=" | ").str.slice(0, 2000)
    return frame.filter(~bad.fill_null(False)), rows.select(pl.col("row").cast(pl.Int64), reason=pl.lit(reason), raw=raw)


def keep(frame: pl.DataFrame, rule: Filter) -> tuple[pl.DataFrame, list[tuple[str, int]]]:
    """Apply the filter; the least number of rows counts over all rows that the steps before have left, never over batches of them.

    A missing level counts as a value unless ``drop_missing_levels``.
    """
    counts = []
    if rule.root:
        frame = frame.filter(pl.col("level_1") == rule.root)
        counts.append((f"level 1 is {rule.root}", frame.height))
    if rule.departments:
        frame = frame.filter(pl.col("level_2").is_in(rule.departments))
        counts.append((f"level 2 is one of {', '.join(rule.departments)}", frame.height))
    for level in ("level_3", "level_4") if rule.min_rows > 1 else ():
        frame = frame.filter(pl.len().over(level, mapping_strategy="group_to_rows") >= rule.min_rows)
        if rule.drop_missing_levels:
            frame = frame.drop_nulls(level)
        counts.append((f"at least {rule.min_rows} rows in its {level.replace('_', ' ')}", frame.height))
    return frame, counts


def clean(path: Path, columns: dict[str, str], attributes: list[str], rule: Filter) -> Catalogue:
    """The whole way from a raw table to products.

    Columns given back: id, name, brand, rating, levels (list), level_1 ... level_n, attributes (list of key, value), notes,
    description, description_words, images. Raises ValueError if the table cannot be read or nothing is left.
    """
    raw, unread = read_table(path)
    raw = raw.with_columns(pl.exclude(pl.List, pl.Struct).cast(pl.String))
    frame = rename(raw, columns, attributes, path)
    counts = [("rows in the table", raw.height + unread.height), ("readable", frame.height)]
    frame, nameless = set_aside(frame, pl.any_horizontal(pl.col(c).is_null() for c in REQUIRED), "no name or no category")
    specified = pl.col("specifications").is_not_null() & ~pl.col("specifications").str.contains(SPECIFICATIONS)
    frame, unparsed = set_aside(frame, specified, "specifications cannot be parsed")
    counts.append(("with a name, a category and sound specifications", frame.height))
    frame = frame.unique("id" if "id" in columns else pl.exclude("id", "row"), keep="first", maintain_order=True)
    counts.append(("without repeats", frame.height))
    lazy = frame.lazy().with_columns(levels=parse_category())
    depth = int(lazy.select(pl.col("levels").list.len().max()).collect().item() or 0)
    levels = [pl.col("levels").list.get(i, null_on_oob=True).alias(f"level_{i + 1}") for i in range(max(depth, 4))]
    kept, steps = keep(lazy.with_columns(levels).collect(), rule)
    products = (
        kept.lazy()
        .with_columns(*parse_specifications(), *parse_images(), plain_words())
        .with_columns(pl.col("name").str.replace_all(r"\s+", " "))
        .drop("category", "specifications", "image", "table_attributes", "row")
        .collect()
    )
    if products.is_empty():
        steps_taken = "; ".join(f"{name}: {count}" for name, count in counts + steps)
        raise ValueError(f"no product is left of {path} ({steps_taken}): loosen data.root, data.departments or data.min_rows")
    return Catalogue(products, pl.concat([unread, nameless, unparsed]), counts + steps)
