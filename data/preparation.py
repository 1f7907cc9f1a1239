"""Table -> products and questions with their splits, step by step over the table's parts; between the steps stand the few numbers that
depend on the whole table. `prepare` ties it together.
"""

from pathlib import Path
from typing import Any

import polars as pl
from tqdm import tqdm

from data import asked, quality
from data.asked import Ask
from data.catalogue import Filter, check_columns, described, kept_rows, sound_rows
from data.parts import SHOWN_AFTER, Parts, file_of, write_whole
from data.questions import SHELVES, foremost, make_questions, products_for_questions, suggestions_of
from data.splits import held_out, leakage, limits_of, name_order, question_order, split_questions, up_to
from data.tables import columns_of


def clean(
    table: Path, columns: dict[str, str], attributes: list[str], rule: Filter, parts: Parts, limit: int = 0, seed: int = 0
) -> list[Any]:
    """The raw table -> parts ``catalogue`` (of `catalogue.described`) and ``aside``; the number of rows after every step.

    Args:
        limit: take so many products at most, drawn by the seed. Raises ValueError if the table cannot be read or nothing is left.
    """
    check_columns(columns, attributes, columns_of(table))  # before the table is read
    parts.cut(table)
    parts.each("sound", ["raw"], sound_rows, height=parts.height, columns=columns, attributes=attributes, rule=rule)
    unread = pl.read_parquet(parts.folder / "unread.parquet").height
    readable = parts.scan("raw").select(pl.len()).collect().item()
    keys = pl.concat(parts.read("keys"))
    counts = [("rows in the table", readable + unread), ("readable", readable)]
    counts.append(("with a name, a category and sound specifications", keys.height))
    kept, depth, steps = kept_rows(keys, rule)
    counts += steps
    if kept.is_empty():
        steps_taken = "; ".join(f"{name}: {count}" for name, count in counts)
        raise ValueError(f"no product is left of {table} ({steps_taken}): loosen data.root, data.departments or data.min_rows")
    if limit:
        kept = kept.sample(min(limit, kept.height), seed=seed, shuffle=True)
        counts.append(("with data.limit", kept.height))
    kept = kept.select("row").with_row_index("place")
    for part in range(parts.count):
        if not file_of(parts.folder, "kept", part).exists():
            own = pl.col("row").is_between(part * parts.height + 1, (part + 1) * parts.height)
            write_whole(kept.filter(own), file_of(parts.folder, "kept", part))
    parts.each("clean", ["rows", "kept"], described_part, depth=depth)
    return counts


def described_part(rows: pl.DataFrame, kept: pl.DataFrame, part: int, depth: int) -> dict[str, pl.DataFrame]:
    """Step ``clean``."""
    return {"catalogue": described(rows, kept, depth)}


def products_part(catalogue: pl.DataFrame, part: int, max_details: int, seed: int) -> dict[str, pl.DataFrame]:
    """Step ``describe``."""
    products = products_for_questions(catalogue, max_details)
    return {"products": products, "names": products.select(order=name_order(seed))}


def suggestions_part(products: pl.DataFrame, part: int, unseen: int | None, per_shelf: int, seed: int) -> dict[str, pl.DataFrame]:
    """Step ``suggest``: what may be suggested, of which no product is unseen."""
    return suggestions_of(products.filter(~up_to(name_order(seed), unseen)), per_shelf)


def questions_part(products: pl.DataFrame, part: int, unseen: int | None, seed: int, **how: Any) -> dict[str, pl.DataFrame]:
    """Step ``ask``."""
    apart = products.filter(up_to(name_order(seed), unseen))["id"]
    questions = make_questions(products, seed=seed, **how)
    questions = questions.with_columns(order=question_order(seed), unseen=pl.col("product_id").is_in(apart.implode()))
    return {"asked": questions, "orders": questions.select("order", "unseen")}


def split_part(questions: pl.DataFrame, part: int, limits: tuple[int | None, int | None], shared: pl.Series) -> dict[str, pl.DataFrame]:
    """Step ``split``."""
    return {"questions": split_questions(questions, limits, shared)}


def ask(parts: Parts, s: dict[str, Any], seed: int, written: pl.DataFrame | None = None) -> None:
    """Parts ``catalogue`` -> parts ``products`` and ``questions`` with their splits."""
    parts.each("describe", ["catalogue"], products_part, max_details=s["max_details"], seed=seed)
    unseen = held_out(pl.concat(parts.read("names"))["order"], s["unseen"])
    per_shelf = s["suggestions"]
    parts.each("suggest", ["products"], suggestions_part, unseen=unseen, per_shelf=per_shelf, seed=seed)
    best = {name: foremost(pl.concat(parts.read(name)), shelf, per_shelf + 1) for name, shelf in SHELVES.items()}
    how = {"best": best, "per_product": s["attribute_questions"], "per_shelf": per_shelf, "written": written}
    parts.each("ask", ["products"], questions_part, unseen=unseen, seed=seed, **how)
    orders = pl.concat(parts.read("orders"))
    seen, away = (orders.filter(rows)["order"] for rows in (~pl.col("unseen"), pl.col("unseen")))
    shared = away.filter(away.is_in(seen.implode())).unique()
    limits = limits_of(seen, s["validation"], s["test"])
    parts.each("split", ["asked"], split_part, limits=limits, shared=shared)


def written_by(
    ask_model: Ask, catalogue: pl.DataFrame, products: pl.DataFrame, count: int, system: str
) -> tuple[pl.DataFrame, pl.DataFrame, dict[str, int]]:
    """(questions that a language model has written, what was set aside, what was repaired). Raises ValueError if none is sound."""
    answers = ask_model(asked.requests_of(products, catalogue["description"], count, system), asked.SCHEMA)
    items, unread = asked.read(products, answers)
    sound, aside, repaired = asked.checked(items, products, catalogue["description"])
    if not sound.height:
        why = pl.concat([unread, aside])["reason"].value_counts(sort=True).rows()
        raise ValueError(f"data.questions.source=endpoint: none of the answers gave a sound question ({dict(why)})")
    return sound, pl.concat([unread, aside]), repaired


def prepare(table: Path, parts: Parts, s: dict[str, Any], seed: int, ask_model: Ask | None, system: str, folder: Path) -> dict[str, Any]:
    """Table -> catalogue.parquet, products.parquet, questions.parquet and what was set aside in ``folder``; a report of all counts.

    Args:
        s: fields of the data configuration. ask_model, system: who writes the questions, told what, where it is not the templates.
    """
    rule = Filter(s["root"], tuple(s["departments"]), s["min_rows"], s["drop_missing_levels"])
    columns = {name: column for name, column in s["columns"].items() if column}
    counts = clean(table, columns, s["attributes"], rule, parts, s["limit"], seed)
    written, aside, repaired = None, None, dict[str, int]()
    if s["questions"]["source"] == "endpoint":
        assert ask_model, "who asks must be given where data.questions.source is endpoint"
        catalogue = pl.concat(parts.read("catalogue"))
        products = products_for_questions(catalogue, s["max_details"])
        written, aside, repaired = written_by(ask_model, catalogue, products, s["questions"]["per_product"], system)
        aside.write_parquet(folder / "questions_set_aside.parquet")
    ask(parts, s, seed, written)
    for name in tqdm(("catalogue", "products", "questions"), desc="writing", unit="table", delay=SHOWN_AFTER):
        parts.scan(name).sink_parquet(folder / f"{name}.parquet")
    judged: list[Any] = []
    if s["quality"]["filters"]:
        text, category = pl.format("{}\n{}", "question", "answer"), pl.col("context").str.strip_prefix("Online shopping for ")
        questions, judged = quality.keep(pl.read_parquet(folder / "questions.parquet"), text, category, s["quality"], folder)
        questions.write_parquet(folder / "questions.parquet")
    quarantine = pl.concat([pl.read_parquet(parts.folder / "unread.parquet"), *parts.read("aside")])
    quarantine.write_parquet(folder / "quarantine.parquet")
    made = pl.scan_parquet(folder / "questions.parquet")
    return {
        "counts": counts,
        "quarantined": quarantine.group_by("reason").len().sort("reason").rows(),
        "written_set_aside": [] if aside is None else aside.group_by("reason").len().sort("reason").rows(),
        "written_repaired": list(repaired.items()),
        "quality": judged,
        "splits": made.group_by("split", maintain_order=True).len().collect().rows(),
        "kinds": made.group_by("kind", maintain_order=True).len().collect().rows(),
        "leakage": leakage(made).to_dicts(),
    }
