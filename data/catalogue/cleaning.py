"""Any table of products -> a clean catalogue: validate, filter, count, parse. Pure Polars, from frames to
frames.

A column map names the raw columns. Rows that cannot be trusted go to a quarantine frame with the reason, and
the number of rows after
every step is kept: nothing disappears unseen. `valid_rows` and `build_catalogue` see one part of the table;
between them `select_rows` chooses from numbers about all of its rows.
"""

from dataclasses import dataclass

import polars as pl

from data.catalogue.cells import cell_text, clean_text, column_named, first_number, price_text, trim_text
from data.catalogue.forms import (
    UNREADABLE_FORM,
    category_levels,
    has_other_trees,
    image_addresses,
    published_form,
    specification_pairs,
)
from data.catalogue.normalisation import padded_words
from data.catalogue.reading import STOP_WORDS

REQUIRED = ("name", "category")

OPTIONAL = ("id", "description", "specifications", "image", "brand", "rating", "group")

PRICES = {"price": "Price", "list_price": "List price"}  # role -> attribute

Columns = dict[str, str | list[str]]  # role -> the table's column, or its columns for the levels of category

PAIR = pl.Struct({"key": pl.String, "value": pl.String})

NAMELESS = "no name or no category"
LONGEST_NAME = 1000  # characters
LONG_NAME = f"a name of more than {LONGEST_NAME:,} characters"

NOTED = {  # columns that say of a row what is worth a line in the log
    "other_trees": "rows with several category trees, of which the first counts",
    "unread_rating": "rows with a rating that is no number",
}


@dataclass(frozen=True)
class CatalogueFilter:
    """Which products to keep: a first-level category, second-level ones, and a least number of rows on the
    levels below.
    """

    root: str
    departments: tuple[str, ...]
    min_rows: int
    drop_missing_levels: bool


@dataclass(frozen=True)
class CellRules:
    """How cells are read: words for a missing value, what separates the levels of a category, what stands
    before a price.
    """

    missing: tuple[str, ...] = ()
    category_separator: str = ""
    currency: str = ""


PLAIN_CELLS = CellRules()


def _mapped_columns(columns: Columns, attributes: list[str]) -> list[str]:
    """Every column of the table that is read, each once."""
    names: list[str] = []
    for column in columns.values():
        names += [column] if isinstance(column, str) else column
    return list(dict.fromkeys([*names, *attributes]))


def choose_columns(there: list[str], columns: Columns, attributes: list[str]) -> list[str]:
    """Those columns of a table that are read. Raises ValueError naming every one that the table lacks."""
    read = _mapped_columns(columns, attributes)
    missing = [column for column in read if column not in there]
    if missing:
        raise ValueError(
            f"the table has no column {', '.join(map(repr, missing))} (it has {', '.join(there)}):"
            f" set data.columns or data.attributes to its names"
        )
    return read


def _map_columns(
    raw: pl.DataFrame, first: int, columns: Columns, attributes: list[str], rules: CellRules
) -> pl.DataFrame:
    """Raw columns -> the names used here, clean, and the row's number, from ``first`` on; attribute columns
    become key and value, the category becomes ``levels``.
    """
    texts = raw.select(cell_text(name, raw.schema[name]) for name in _mapped_columns(columns, attributes))
    cells: dict[str, pl.Expr] = {}
    for name in OPTIONAL:
        column = columns.get(name)
        cells[name] = column_named(column) if isinstance(column, str) else pl.lit(None, pl.String)
    for name in ("id", "rating", "group"):
        cells[name] = clean_text(cells[name], rules.missing)
    cells["name"] = clean_text(column_named(str(columns["name"])), rules.missing)
    for name in ("description", "specifications", "image"):
        cells[name] = trim_text(cells[name], rules.missing)
    pairs = [_attribute_pair(name, rules) for name in attributes]
    for role, key in PRICES.items():
        if role in columns:
            price = price_text(clean_text(column_named(str(columns[role])), rules.missing), rules.currency)
            pairs.append(pl.struct(pl.lit(key).alias("key"), price.alias("value")))
    table = pl.concat_list(pairs) if pairs else pl.lit([], pl.List(PAIR))
    cells["brand"] = _brand_cell(cells["brand"], cells["name"], rules.missing)
    mapped = {**cells, **_category_cells(columns["category"], rules), "table_attributes": table}
    frame = texts.lazy().select(**mapped).collect()  # lazily, so that what several cells need is made once
    numbered = frame.with_row_index("row", first)
    return numbered.with_columns(id=pl.coalesce("id", pl.format("row-{}", "row")))


def _brand_cell(brand: pl.Expr, name: pl.Expr, missing: tuple[str, ...]) -> pl.Expr:
    """A clean brand. A word for a missing value, such as NA, is a brand where the product's name has it."""
    stated = clean_text(brand, ())
    is_named = padded_words(name).str.contains(padded_words(stated), literal=True)
    has_letters = stated.str.contains(r"\pL")
    return pl.coalesce(clean_text(brand, missing), pl.when(is_named & has_letters).then(stated))


def _attribute_pair(column: str, rules: CellRules) -> pl.Expr:
    """An attribute column as key and value."""
    return pl.struct(
        _attribute_key(pl.lit(column)).alias("key"),
        clean_text(column_named(column), rules.missing).alias("value"),
    )


def _attribute_key(text: pl.Expr) -> pl.Expr:
    """The name of an attribute without colons, which separate it from its value in an answer."""
    return clean_text(text, ()).str.replace_all(r"\s*:\s*", " - ").str.strip_chars(" -")


def _category_cells(column: str | list[str], rules: CellRules) -> dict[str, pl.Expr]:
    """``category`` as text, its ``levels``, and whether there are ``other_trees``, of one column or of one
    for each level; levels below a missing one do not count.
    """
    if isinstance(column, str):
        cell = column_named(column)
        levels = category_levels(cell, rules.category_separator, rules.missing)
        trees = has_other_trees(cell).fill_null(False)
        return {"category": clean_text(cell, rules.missing), "levels": levels, "other_trees": trees}
    cells = []
    for place in range(len(column)):
        above = [clean_text(column_named(name), rules.missing) for name in column[: place + 1]]
        cells.append(pl.when(pl.all_horizontal(cell.is_not_null() for cell in above)).then(above[-1]))
    levels = pl.concat_list(cells).list.drop_nulls()
    return {"category": levels.list.join(" > "), "levels": levels, "other_trees": pl.lit(False)}


def _clean_pairs(missing: tuple[str, ...]) -> pl.Expr:
    """Specifications in the published form and attribute columns -> list of key and value, without missing
    values.
    """
    field = pl.element().struct.field
    clean = pl.struct(key=_attribute_key(field("key")), value=clean_text(field("value"), missing))
    pairs = specification_pairs().list.eval(clean).list.concat("table_attributes")
    return pairs.list.eval(pl.element().filter(field("value").is_not_null()))


def _attributes_and_notes() -> list[pl.Expr]:
    """``pairs`` -> ``attributes`` (list of key, value) and ``notes`` (values that have no key)."""
    is_keyed = pl.element().struct.field("key").fill_null("") != ""
    return [
        pl.col("pairs").list.eval(pl.element().filter(is_keyed)).alias("attributes"),
        pl.col("pairs").list.eval(pl.element().filter(~is_keyed).struct.field("value")).alias("notes"),
    ]


def _plain_words() -> pl.Expr:
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
    columns: Columns,
    attributes: list[str],
    rule: CatalogueFilter,
    rules: CellRules,
) -> dict[str, pl.DataFrame]:
    """A part of the raw table -> sound ``rows``, those set ``aside``, and the ``keys`` of the sound ones:
    what `select_rows` chooses by.
    """
    frame = _map_columns(raw, part * height + 1, columns, attributes, rules)
    frame, nameless = quarantine(
        frame, pl.col("name").is_null() | (pl.col("levels").list.len() == 0), NAMELESS
    )
    frame, long = quarantine(frame, pl.col("name").str.len_chars() > LONGEST_NAME, LONG_NAME)
    rating = first_number(pl.col("rating"))
    frame = frame.with_columns(
        published=published_form(pl.col("specifications")),
        rating=rating,
        unread_rating=pl.col("rating").is_not_null() & rating.is_null(),
    )
    is_unread = pl.col("specifications").is_not_null() & pl.col("published").is_null()
    frame, unparsed = quarantine(frame, is_unread, UNREADABLE_FORM)
    frame = frame.with_columns(specifications="published").drop("published")
    return {
        "rows": frame.drop(NOTED),
        "aside": pl.concat([nameless, long, unparsed]),
        "keys": _keys_of(frame, "id" in columns, rule),
    }


def _keys_of(frame: pl.DataFrame, has_ids: bool, rule: CatalogueFilter) -> pl.DataFrame:
    """What `select_rows` needs of each sound row."""
    own = (
        pl.col("table_attributes").list.eval(pl.element().struct.field("value").fill_null("")).list.join("\0")
    )
    content = pl.struct(*sorted({*REQUIRED, *OPTIONAL} - {"id"}), own)
    level = [pl.col("levels").list.get(i, null_on_oob=True) for i in range(4)]
    return frame.select(
        "row",
        *NOTED,
        identity=(pl.col("id") if has_ids else content).hash(),
        depth=pl.col("levels").list.len(),
        root=level[0] == rule.root,
        department=level[1].is_in(list(rule.departments)),
        level_3=pl.when(level[2].is_not_null()).then(level[2].hash()),
        level_4=pl.when(level[3].is_not_null()).then(level[3].hash()),
    )


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


def build_catalogue(
    rows: pl.DataFrame, kept: pl.DataFrame, depth: int, missing: tuple[str, ...]
) -> pl.DataFrame:
    """The rows of a part that are ``kept`` (row, place), in order of their place -> products.

    Columns: id, name, brand, rating, group, levels (list), level_1 ... level_n, attributes (list of key,
    value), notes, description, description_words, images, invalid_images.
    """
    levels = [
        pl.col("levels").list.get(i, null_on_oob=True).alias(f"level_{i + 1}") for i in range(max(depth, 4))
    ]
    return (
        rows.lazy()
        .join(kept.lazy(), on="row")
        .sort("place")
        .with_columns(levels)
        .with_columns(_clean_pairs(missing).alias("pairs"))
        .with_columns(*_attributes_and_notes(), *image_addresses(), _plain_words())
        .drop("pairs", "category", "specifications", "image", "table_attributes", "row", "place")
        .collect()
    )
