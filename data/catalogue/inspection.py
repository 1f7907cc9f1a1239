"""A look at a table that nobody has described yet: what its columns hold, and which map of them to try first.

A guess goes by a column's name and by its values; it is printed as the command that would use it, to be read
before it is typed.
"""

import re
import shlex
from pathlib import Path

import polars as pl

from data.catalogue.pairing import read_pairing, shipped_pairings
from data.catalogue.reading import read_table
from data.catalogue.text_files import FOUND, TextForm
from data.catalogue.versions import Download, describe_versions
from data.markdown import markdown_table
from data.values import JsonObject, Settings

SAMPLE = 20_000  # rows that are looked at

MAX_ATTRIBUTE_VALUES = 60  # distinct values that an attribute may have, whatever the number of rows

# In a column's name: it changes, or tells nothing of the product.
NO_ATTRIBUTE = re.compile(r"time|date|datum|price|cost|preis|prix|precio|prezzo|url|link|rating|stock")

LEVEL = re.compile(r"categ|department|section|group|class|family|type|master|article|level")
MAX_LEVEL_VALUES = 500
MOST_PARENTS = 1.02  # higher values for each lower one, on average

GROUP_LENGTH, MAX_GROUPS = 20, 12  # mean characters and distinct values of whom products are for, at most

NO_WORDS = ("null", "true", "false", "nan", "inf")  # what Hydra takes for a value of another type

KNOWN_NAMES = 0.5  # share of the names with a word of a pairing, from which on it is proposed

LONGEST_PRICE = 20  # mean characters
SHORT, LONG = 40, 100  # mean characters: of an attribute at most, of a description at least

# role -> words in a column's name that tell of it, the plainest first; English, then German, French, Spanish
# and Italian
NAMES = {
    "name": "product_name title name product bezeichnung artikelname produktname nom nombre nome",
    "category": "category_tree category categories department section group kind type"
    " kategorie warengruppe catégorie categorie categoría categoria",
    "id": "uniq_id id sku asin code number artikelnummer artikelnr",
    "description": "description descr details text about beschreibung descripción descrizione",
    "specifications": "specifications specs attributes merkmale eigenschaften",
    "image": "image images img picture photo bild foto",
    "brand": "brand manufacturer maker vendor marke hersteller marque marca",
    "rating": "rating stars score bewertung",
    "price": "discounted_price sale_price selling_price price cost preis prix precio prezzo",
    "group": "gender sex audience target_group age_group ideal_for",
}


def profile(frame: pl.DataFrame) -> pl.DataFrame:
    """One row a column: column, filled (share), distinct, length (mean characters), numeric, digits and
    links (shares), example.
    """
    text = frame.select(
        pl.all().exclude(pl.List, pl.Struct, pl.Array).cast(pl.String).str.strip_chars().replace("", None)
    )
    rows = []
    for column in text.columns:
        values = text[column].drop_nulls()
        number = values.cast(pl.Float64, strict=False).is_not_null().mean() if len(values) else 0
        rows.append(
            {
                "column": column,
                "filled": len(values) / max(1, text.height),
                "distinct": values.n_unique(),
                "length": float(values.str.len_chars().mean() or 0),  # type: ignore[arg-type]
                "numeric": float(number or 0),  # type: ignore[arg-type]
                "digits": float(values.str.contains(r"\d").mean() or 0),  # type: ignore[arg-type]
                "links": float(values.str.contains(r"https?://").mean() or 0),  # type: ignore[arg-type]
                "hashes": float(values.str.contains(r"^\s*\{.*(=>|:).*\}\s*$").mean() or 0),  # type: ignore[arg-type]
                "example": str(values[0])[:60] if len(values) else "",
            }
        )
    return pl.DataFrame(rows)


def _fits_role(role: str, column: JsonObject, rows: int) -> bool:
    """Whether a column's values may be what the role needs."""
    if not column["distinct"]:
        return False
    return {
        "name": column["numeric"] < 0.5 and not column["links"] and 3 <= column["length"] <= 200,
        "category": column["numeric"] < 0.5
        and column["distinct"] <= max(MAX_ATTRIBUTE_VALUES, rows * 0.7)
        and column["links"] < 0.5,
        "id": column["distinct"] == rows and column["filled"] == 1 and column["length"] <= SHORT,
        "description": column["length"] >= LONG and column["links"] < 0.5 and not column["hashes"],
        "specifications": column["hashes"] >= 0.5,
        "image": column["links"] >= 0.5,
        "brand": column["length"] <= SHORT and column["numeric"] < 0.5,
        "rating": column["length"] <= 30 and column["distinct"] <= 200,
        "price": column["digits"] >= 0.9 and column["length"] <= LONGEST_PRICE,
        "group": column["length"] <= GROUP_LENGTH and 2 <= column["distinct"] <= MAX_GROUPS,
    }[role]


def _propose_columns(columns: list[JsonObject], rows: int) -> tuple[dict[str, str], list[str]]:
    """(role -> column, columns that look like attributes), of profiles of all columns."""
    found: dict[str, str] = {}
    for role, names in NAMES.items():
        words = names.split()
        left = [c for c in columns if c["column"] not in found.values() and _fits_role(role, c, rows)]
        ranked = [(rank, c) for c in left for rank in (_name_rank(c["column"], words),) if rank is not None]
        if ranked:
            found[role] = min(ranked, key=lambda pair: pair[0])[1]["column"]
    if "name" not in found:  # nothing is called so: the text with most different values
        texts = [
            c
            for c in columns
            if c["column"] not in found.values() and _fits_role("name", c, rows) and c["distinct"] > rows / 2
        ]
        found |= {"name": max(texts, key=lambda c: c["distinct"])["column"]} if texts else {}
    attributes = [
        c["column"]
        for c in columns
        if c["column"] not in found.values()
        and 2 <= c["distinct"] <= max(MAX_ATTRIBUTE_VALUES, rows // 20)
        and c["length"] <= SHORT
        and c["distinct"] < rows
        and not c["links"]
        and not NO_ATTRIBUTE.search(c["column"].lower())
    ]
    return found, attributes


def _category_columns(frame: pl.DataFrame, found: dict[str, str]) -> list[str]:
    """The columns that look like the levels of one category tree, the highest first: each value of a lower
    one belongs to one value of the higher. Fewer than two if there is no such tree.
    """
    others = {column for role, column in found.items() if role != "category"}
    texts = frame.select(pl.col(pl.String)).columns
    named = [name for name in texts if name not in others and LEVEL.search(name.lower())]
    counts = {name: frame[name].n_unique() for name in named}
    levels: list[str] = []
    for name in sorted(named, key=lambda name: counts[name]):
        if not 1 < counts[name] <= MAX_LEVEL_VALUES:
            continue
        if not levels or frame.select(levels[-1], name).n_unique() <= MOST_PARENTS * counts[name]:
            levels.append(name)
    return levels


def _proposed_pairing(frame: pl.DataFrame, found: dict[str, str]) -> list[str]:
    """data.pairing of the file that knows the words of most names, as an argument; [] if none does."""
    if "name" not in found:
        return []
    names = frame[found["name"]].cast(pl.String).str.to_lowercase()
    for pairing in shipped_pairings():
        words = "|".join(read_pairing(pairing).kinds.values())
        share = names.str.contains(rf"\b(?:{words})e?s?\b").mean()
        if isinstance(share, float) and share >= KNOWN_NAMES:
            return [f"data.pairing={pairing}"]
    return []


def _name_rank(column: str, words: list[str]) -> int | None:
    """How plainly a column's name tells of a role; None if it does not."""
    name = column.lower().replace(" ", "_").replace("-", "_")
    exact = next((place for place, word in enumerate(words) if name == word), None)
    if exact is not None:
        return exact
    parts = name.split("_")
    return next(
        (
            len(words) + place
            for place, word in enumerate(words)
            if word in parts or (len(word) > 4 and word in name)
        ),
        None,
    )


def inspect_table(path: Path, form: TextForm = FOUND) -> str:
    """What is in the table, the map that it suggests, and the command to try. Raises ValueError if it
    cannot be read.
    """
    frame, unread = read_table(path, form)
    some = frame.head(SAMPLE)
    columns = profile(some).to_dicts() if some.width else []
    if not some.height or not columns:
        raise ValueError(f"{path} holds no rows")
    found, attributes = _propose_columns(columns, some.height)
    levels = _category_columns(some, found)
    roles = {column: role for role, column in found.items()} | dict.fromkeys(attributes, "attribute")
    if len(levels) > 1:
        attributes = [name for name in attributes if name not in levels]
        roles |= {name: f"category, level {level}" for level, name in enumerate(levels, 1)}
    parts = [
        f"{path}: {frame.height:,} rows, {frame.width} columns, {unread.height} records that cannot be read",
        _profile_table(columns, roles),
    ]
    held = {*found, "category"} if len(levels) > 1 else set(found)
    missing = [role for role in ("name", "category") if role not in held]
    if missing:
        setting = f"data.columns.{missing[0]}=COLUMN"
        parts.append(f"No column looks like {' or '.join(missing)}, which is needed: set {setting}.")
    arguments = [f"data.path={hydra_quoted(str(path))}"]
    arguments += [f"data.columns.{role}={hydra_quoted(column)}" for role, column in found.items()]
    if len(levels) > 1:
        arguments = [one for one in arguments if not one.startswith("data.columns.category=")]
        arguments.append(f"data.columns.category=[{','.join(map(hydra_quoted, levels))}]")
    if attributes:
        arguments.append(f"data.attributes=[{','.join(map(hydra_quoted, attributes))}]")
    arguments += _proposed_pairing(some, found)
    parts.append(f"try:  python train.py data=table {shlex.join(arguments)} stage=prepare")
    return "\n\n".join(parts)


def _profile_table(columns: list[JsonObject], roles: dict[str, str]) -> str:
    """The profile of the columns in Markdown, with the role that each looks like."""
    rows = []
    for column in columns:
        role, length = roles.get(column["column"], ""), f"{column['length']:.0f}"
        rows.append(
            [column["column"], role, float(column["filled"]), column["distinct"], length, column["example"]]
        )
    return markdown_table(["column", "looks like", "filled", "distinct", "characters", "for example"], rows)


def inspect(settings: Settings, outputs: Path, download: Download) -> str:
    """What is in a table; or in a version of prepared data, or what changed between two.

    Args:
        settings: fields of the configuration group `data`. outputs: the folder whose cache holds versions.
        download: fetches a version from an MLflow run.
    """
    if settings["version"]:
        return describe_versions(settings["version"], settings["against"], outputs / "cache", download)
    return inspect_table(Path(settings["path"]), TextForm.of(settings))


def hydra_quoted(name: str) -> str:
    """A name as Hydra's command line takes it: quoted, unless it reads as a plain word."""
    if re.fullmatch(r"(?!\.\d)[A-Za-z./][A-Za-z0-9_./-]*", name) and name.lower() not in NO_WORDS:
        return name
    escaped = re.sub(r'(\\*)"', r'\1\1\\"', name.replace("${", "\\${"))
    trailing = len(escaped) - len(escaped.rstrip("\\"))
    return f'"{escaped}{trailing * chr(92)}"'
