"""Any table of products -> a clean catalogue: validate, filter, count, parse. Pure Polars, from frames to
frames.

A column map names the raw columns. Rows that cannot be trusted go to a quarantine frame with the reason, and
the number of rows after
every step is kept: nothing disappears unseen. `sound_rows` and `described` see one part of the table; between
them `kept_rows` chooses from numbers about all of its rows.
"""

from dataclasses import dataclass

import polars as pl

from data.catalogue.reading import STOP_WORDS

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
class CatalogueFilter:
    """Which products to keep: a first-level category, second-level ones, and a least number of rows on the
    levels below.
    """

    root: str
    departments: tuple[str, ...]
    min_rows: int
    drop_missing_levels: bool


def check_columns(columns: dict[str, str], attributes: list[str], there: list[str]) -> None:
    """Raises ValueError naming every column that the table lacks."""
    missing = [column for column in [*columns.values(), *attributes] if column not in there]
    if missing:
        raise ValueError(
            f"the table has no column {', '.join(map(repr, missing))} (it has {', '.join(there)}):"
            f" mend data.columns"
        )


def map_columns(
    raw: pl.DataFrame, first: int, columns: dict[str, str], attributes: list[str]
) -> pl.DataFrame:
    """Raw columns -> the names used here, and the row's number, from ``first`` on; attribute columns
    become key and value.
    """
    raw = raw.with_columns(pl.exclude(pl.List, pl.Struct).cast(pl.String))
    mapped = [
        pl.col(source).str.strip_chars().replace("", None).alias(name) for name, source in columns.items()
    ]
    absent = [pl.lit(None, pl.String).alias(name) for name in OPTIONAL if name not in columns]
    frame = raw.select(mapped).with_columns(absent)
    pairs = [pl.struct(pl.lit(a).alias("key"), raw[a].cast(pl.String).alias("value")) for a in attributes]
    table = (
        pl.concat_list(pairs)
        if pairs
        else pl.lit([], pl.List(pl.Struct({"key": pl.String, "value": pl.String})))
    )
    numbered = frame.with_columns(table_attributes=table).with_row_index("row", first)
    return numbered.with_columns(id=pl.coalesce("id", pl.format("row-{}", "row")))


def unescape(text: pl.Expr) -> pl.Expr:
    """A quoted literal's content -> text: escaped quotes, slashes and backslashes undone, edges stripped."""
    return text.str.replace_all(r"\\([\"/\\])", "$1").str.replace_all(r"\\[nt]", " ").str.strip_chars()


def parse_specifications() -> list[pl.Expr]:
    """Ruby-hash or JSON specifications -> ``attributes`` (list of key, value) and ``notes`` (values that
    have no key).
    """
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
    return (
        tree.str.replace_all(r"\s+>>?\s+", "\u0001")
        .str.split("\u0001")
        .list.eval(pl.element().str.strip_chars())
    )


def parse_images() -> list[pl.Expr]:
    """JSON list (or plain text) of addresses -> ``images`` that are http(s) addresses, and how many items
    were not.
    """
    items = (
        pl.col("image")
        .fill_null("")
        .str.extract_all(r'"[^"]*"|[^\s,\[\]"]+')
        .list.eval(pl.element().str.strip_chars('"'))
    )
    valid = pl.element().str.contains(r"^https?://[^\s/]+\.[^\s/]+/\S+$")
    return [
        items.list.eval(pl.element().filter(valid)).alias("images"),
        items.list.eval(pl.element().filter(~valid)).list.len().alias("invalid_images"),
    ]


def plain_words() -> pl.Expr:
    """Description without punctuation and stop words, kept beside the original as published."""
    words = (
        pl.col("description")
        .str.to_lowercase()
        .str.replace_all(r"[^\p{L}\p{N}\s]", "")
        .str.extract_all(r"\S+")
    )
    return (
        words.list.eval(pl.element().filter(~pl.element().is_in(STOP_WORDS)))
        .list.join(" ")
        .alias("description_words")
    )


def quarantine(frame: pl.DataFrame, bad: pl.Expr, reason: str) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Split off the rows for which ``bad`` holds, with the reason."""
    rows = frame.filter(bad.fill_null(False))
    raw = pl.concat_str(
        [pl.col(c).fill_null("") for c in (*REQUIRED, "specifications")], separator=" | "
    ).str.slice(0, 2000)
    return frame.filter(~bad.fill_null(False)), rows.select(
        pl.col("row").cast(pl.Int64), reason=pl.lit(reason), raw=raw
    )


def valid_rows(
    raw: pl.DataFrame,
    part: int,
    height: int,
    columns: dict[str, str],
    attributes: list[str],
    rule: CatalogueFilter,
) -> dict[str, pl.DataFrame]:
    """A part of the raw table -> sound ``rows``, those set ``aside``, and the ``keys`` of the sound ones:
    what `kept_rows` asks for.
    """
    frame = map_columns(raw, part * height + 1, columns, attributes)
    frame, nameless = quarantine(
        frame, pl.any_horizontal(pl.col(c).is_null() for c in REQUIRED), "no name or no category"
    )
    specified = pl.col("specifications").is_not_null() & ~pl.col("specifications").str.contains(
        SPECIFICATIONS
    )
    frame, unparsed = quarantine(frame, specified, "specifications cannot be parsed")
    frame = frame.with_columns(levels=parse_category())
    own = (
        pl.col("table_attributes").list.eval(pl.element().struct.field("value").fill_null("")).list.join("\0")
    )
    content = pl.struct(*sorted({*REQUIRED, *OPTIONAL} - {"id"}), own)
    level = [pl.col("levels").list.get(i, null_on_oob=True) for i in range(4)]
    keys = frame.select(
        "row",
        identity=(pl.col("id") if "id" in columns else content).hash(),
        depth=pl.col("levels").list.len(),
        root=level[0] == rule.root,
        department=level[1].is_in(list(rule.departments)),
        level_3=pl.when(level[2].is_not_null()).then(level[2].hash()),
        level_4=pl.when(level[3].is_not_null()).then(level[3].hash()),
    )
    return {"rows": frame, "aside": pl.concat([nameless, unparsed]), "keys": keys}


def select_rows(keys: pl.DataFrame, rule: CatalogueFilter) -> tuple[pl.DataFrame, int, list[tuple[str, int]]]:
    """(keys of the rows that stay, the most levels that any category has, number of rows after every step)

    The first of several rows with one id (without ids: of one content) stays. The least number of rows counts
    over all rows that the steps before have left, never over parts of them; a missing level counts as a value
    unless ``drop_missing_levels``.
    """
    keys = keys.unique("identity", keep="first", maintain_order=True)
    counts, depth = [("without repeats", keys.height)], int(keys["depth"].cast(pl.Int64).max() or 0)  # type: ignore[arg-type]
    if rule.root:
        keys = keys.filter("root")
        counts.append((f"level 1 is {rule.root}", keys.height))
    if rule.departments:
        keys = keys.filter("department")
        counts.append((f"level 2 is one of {', '.join(rule.departments)}", keys.height))
    for level in ("level_3", "level_4") if rule.min_rows > 1 else ():
        keys = keys.filter(pl.len().over(level) >= rule.min_rows)
        if rule.drop_missing_levels:
            keys = keys.drop_nulls(level)
        counts.append((f"at least {rule.min_rows} rows in its {level.replace('_', ' ')}", keys.height))
    return keys, depth, counts


def build_catalogue(rows: pl.DataFrame, kept: pl.DataFrame, depth: int) -> pl.DataFrame:
    """The rows of a part that are ``kept`` (row, place), in order of their place -> products.

    Columns: id, name, brand, rating, levels (list), level_1 ... level_n, attributes (list of key, value),
    notes, description, description_words, images, invalid_images.
    """
    levels = [
        pl.col("levels").list.get(i, null_on_oob=True).alias(f"level_{i + 1}") for i in range(max(depth, 4))
    ]
    return (
        rows.lazy()
        .join(kept.lazy(), on="row")
        .sort("place")
        .with_columns(levels)
        .with_columns(*parse_specifications(), *parse_images(), plain_words())
        .with_columns(pl.col("name").str.replace_all(r"\s+", " "))
        .drop("category", "specifications", "image", "table_attributes", "row", "place")
        .collect()
    )
