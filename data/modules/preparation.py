"""Table -> products and questions with their splits, step by step over the table's partitions.

Between the steps stand the few numbers that depend on the whole table. `prepare` runs all of them.
"""

from functools import partial
from pathlib import Path

import polars as pl
from tqdm import tqdm

from data.catalogue.cleaning import (
    NOTED,
    PLAIN_CELLS,
    CatalogueFilter,
    CellRules,
    Columns,
    build_catalogue,
    choose_columns,
    select_rows,
    valid_rows,
)
from data.catalogue.pairing import Pairing, read_pairing
from data.catalogue.partitions import PROGRESS_DELAY, Partitions, partition_file, write_atomically
from data.catalogue.text_files import FOUND, TextForm
from data.modules import agreement
from data.questions import filters, written, written_checks
from data.questions.further_kinds import Shop, things_absent, things_named, words_sold
from data.questions.phrases import CONTEXT
from data.questions.products import products_for_questions
from data.questions.shoppers import SHOPPERS
from data.questions.splits import (
    leakage,
    name_order,
    question_order,
    split_limits,
    split_questions,
    unseen_limit,
    within_limit,
)  # fmt: skip
from data.questions.suggestions import SHELVES, top_of_partition, top_products
from data.questions.templates import make_questions
from data.questions.written import ChatFunction
from data.reports import charts
from data.values import Json, JsonObject, Settings

Frames = dict[str, pl.DataFrame]
Counts = list[tuple[str, int]]  # (what, rows)
READABLE = "with a name, a category and readable specifications"
OUTPUTS = ("catalogue", "products", "questions")


def clean_catalogue(
    table: Path,
    columns: Columns,
    attributes: list[str],
    rule: CatalogueFilter,
    partitions: Partitions,
    limit: int = 0,
    seed: int = 0,
    form: TextForm = FOUND,
    rules: CellRules = PLAIN_CELLS,
) -> Counts:
    """The raw table -> partitions ``catalogue`` and ``aside``; the number of rows after every step.

    Args:
        limit: keep so many products at most, drawn by the seed. form: encoding and separator of a text table.
        rules: how cells are read.

    Raises ValueError if the table cannot be read or nothing is left.
    """
    partitions.cut(table, form, partial(choose_columns, columns=columns, attributes=attributes))
    settings = {"height": partitions.height, "columns": columns, "attributes": attributes, "rule": rule}
    partitions.each("sound", ["raw"], valid_rows, rules=rules, **settings)
    unread = pl.read_parquet(partitions.folder / "unread.parquet").height
    readable = partitions.scan("raw").select(pl.len()).collect().item()
    keys = pl.concat(partitions.read("keys"))
    counts: Counts = [("rows in the table", readable + unread), ("readable", readable)]
    counts.append((READABLE, keys.height))
    kept, depth, steps = select_rows(keys, rule)
    counts += steps
    if kept.is_empty():
        raise ValueError(_nothing_left(table, counts, pl.concat(partitions.read("aside"))))
    noted = [(NOTED[name], int(keys[name].sum())) for name in NOTED]
    counts += [(what, count) for what, count in noted if count]
    if limit:
        kept = kept.sample(min(limit, kept.height), seed=seed, shuffle=True)
        counts.append(("with data.limit", kept.height))
    _write_kept(kept.select("row").with_row_index("place"), partitions)
    partitions.each("clean", ["rows", "kept"], _catalogue_step, depth=depth, missing=rules.missing)
    return counts


def _clean_by_settings(table: Path, partitions: Partitions, s: Settings, seed: int) -> Counts:
    """`clean_catalogue` by the fields of the configuration group `data`."""
    rule = CatalogueFilter(s["root"], tuple(s["departments"]), s["min_rows"], s["drop_missing_levels"])
    columns = {name: column for name, column in s["columns"].items() if column}
    form = TextForm.of(s)
    rules = CellRules(tuple(s["missing"]), s["category_separator"], s["currency"])
    return clean_catalogue(table, columns, s["attributes"], rule, partitions, s["limit"], seed, form, rules)


def _nothing_left(table: Path, counts: Counts, aside: pl.DataFrame) -> str:
    """The message for a table of which no product is left: the counts, and the first row set aside for each
    reason.
    """
    summary = "; ".join(f"{name}: {count}" for name, count in counts)
    message = f"no product is left of {table} ({summary})"
    if dict(counts)[READABLE]:
        return f"{message}: relax data.root, data.departments or data.min_rows"
    for row, reason, raw in aside.unique("reason", keep="first", maintain_order=True).rows():
        message += f"; row {row}: {reason}: {raw[:200]}"
    return message


def _write_kept(kept: pl.DataFrame, partitions: Partitions) -> None:
    """Distribute the rows to keep (row, place) over the partitions that they come from."""
    for part in range(partitions.count):
        path = partition_file(partitions.folder, "kept", part)
        if not path.exists():
            first, last = part * partitions.height + 1, (part + 1) * partitions.height
            write_atomically(kept.filter(pl.col("row").is_between(first, last)), path)


def _catalogue_step(
    rows: pl.DataFrame, kept: pl.DataFrame, part: int, depth: int, missing: tuple[str, ...]
) -> Frames:
    """Step ``clean``."""
    return {"catalogue": build_catalogue(rows, kept, depth, missing)}


def _products_step(
    catalogue: pl.DataFrame, part: int, max_details: int, wording: str, pairing: Pairing, seed: int
) -> Frames:
    """Step ``describe``."""
    products = products_for_questions(catalogue, max_details, pairing)
    names = products.select(order=name_order(seed))
    found = {"products": products, "names": names}
    if wording == SHOPPERS:
        found |= {"sold": words_sold(products), "things": things_named(products)}
    return found


def _suggestions_step(
    products: pl.DataFrame, part: int, unseen: int | None, per_shelf: int, seed: int
) -> Frames:
    """Step ``suggest``: what may be suggested, of which no product is unseen."""
    seen = products.filter(~within_limit(name_order(seed), unseen))
    return top_of_partition(seen, per_shelf)


def _questions_step(
    products: pl.DataFrame, part: int, unseen: int | None, seed: int, **settings: Json
) -> Frames:
    """Step ``question``. settings: further arguments of `make_questions`."""
    held_out = products.filter(within_limit(name_order(seed), unseen))["id"]
    questions = make_questions(products, seed=seed, unseen=held_out, **settings)
    is_unseen = pl.col("product_id").is_in(held_out.implode())
    questions = questions.with_columns(order=question_order(seed), unseen=is_unseen)
    return {"unsplit": questions, "orders": questions.select("order", "unseen")}


def _split_step(
    questions: pl.DataFrame, part: int, limits: tuple[int | None, int | None], shared: pl.Series
) -> Frames:
    """Step ``split``."""
    return {"questions": split_questions(questions, limits, shared)}


def _shop_of(partitions: Partitions) -> Shop:
    """What questions in shoppers' words need of the whole catalogue."""
    sold, things = (pl.concat(partitions.read(name)) for name in ("sold", "things"))
    return Shop(sold["pair"].unique(), things_absent(things))


def ask_questions(
    partitions: Partitions, s: Settings, seed: int, written: pl.DataFrame | None = None
) -> None:
    """Partitions ``catalogue`` -> partitions ``products`` and ``questions`` with their splits.

    Args:
        s: fields of the configuration group `data`. written: questions that a language model has written.
    """
    pairing = read_pairing(s["pairing"])
    describe = {"max_details": s["max_details"], "wording": s["wording"], "pairing": pairing}
    partitions.each("describe", ["catalogue"], _products_step, seed=seed, **describe)
    unseen = unseen_limit(pl.concat(partitions.read("names"))["order"], s["unseen"])
    per_shelf = s["suggestions"]
    partitions.each("suggest", ["products"], _suggestions_step, unseen=unseen, per_shelf=per_shelf, seed=seed)
    best = {}
    for name, shelf in SHELVES.items():
        best[name] = top_products(pl.concat(partitions.read(name)), shelf, per_shelf + 1)
    settings = {
        "best": best,
        "per_product": s["attribute_questions"],
        "per_shelf": per_shelf,
        "written": written,
        "shop": _shop_of(partitions) if s["wording"] == SHOPPERS else None,
        "pairing": pairing,
    }
    partitions.each("question", ["products"], _questions_step, unseen=unseen, seed=seed, **settings)
    orders = pl.concat(partitions.read("orders"))
    seen = orders.filter(~pl.col("unseen"))["order"]
    held_out = orders.filter(pl.col("unseen"))["order"]
    shared = held_out.filter(held_out.is_in(seen.implode())).unique()
    limits = split_limits(seen, s["validation"], s["test"])
    partitions.each("split", ["unsplit"], _split_step, limits=limits, shared=shared)


def _write_questions(
    chat: ChatFunction, catalogue: pl.DataFrame, s: Settings, system: str
) -> tuple[pl.DataFrame, pl.DataFrame, dict[str, int]]:
    """(questions that a language model has written, what was set aside, what was repaired)

    Raises ValueError if no question is sound.
    """
    products = products_for_questions(catalogue, s["max_details"], read_pairing(s["pairing"]))
    descriptions, count = catalogue["description"], s["questions"]["per_product"]
    answers = chat(written.build_requests(products, descriptions, count, system), written.SCHEMA)
    items, unread = written.read_answers(products, answers)
    sound, aside, repaired = written_checks.check_questions(items, products, descriptions)
    aside = pl.concat([unread, aside])
    if not sound.height:
        reasons = dict(aside["reason"].value_counts(sort=True).rows())
        raise ValueError(
            f"data.questions.source=endpoint: none of the answers gave a sound question ({reasons})"
        )
    return sound, aside, repaired


def prepare(
    table: Path,
    partitions: Partitions,
    s: Settings,
    seed: int,
    chat: ChatFunction | None,
    system: str,
    folder: Path,
) -> JsonObject:
    """Table -> catalogue.parquet, products.parquet, questions.parquet and what was set aside in ``folder``; a
    report of all counts.

    Args:
        s: fields of the configuration group `data`. chat, system: the model that writes the questions, and
        its system
            prompt, where templates do not.
    """
    counts = _clean_by_settings(table, partitions, s, seed)
    sound: pl.DataFrame | None = None
    reasons: Counts = []
    repaired: dict[str, int] = {}
    if s["questions"]["source"] == "endpoint":
        assert chat, "data.questions.source=endpoint needs a function that answers requests"
        catalogue = pl.concat(partitions.read("catalogue"))
        sound, aside, repaired = _write_questions(chat, catalogue, s, system)
        aside.write_parquet(folder / "questions_set_aside.parquet")
        reasons = _count_reasons(aside)
    ask_questions(partitions, s, seed, sound)
    for name in tqdm(OUTPUTS, desc="writing", unit="table", delay=PROGRESS_DELAY):
        partitions.scan(name).sink_parquet(folder / f"{name}.parquet")
    disagreeing = agreement.set_aside_disagreeing(folder)
    quality = _filter_questions(s["quality"], folder) if s["quality"]["filters"] else []
    quarantine = pl.concat([pl.read_parquet(partitions.folder / "unread.parquet"), *partitions.read("aside")])
    quarantine.write_parquet(folder / "quarantine.parquet")
    report = {"counts": counts, "quarantined": _count_reasons(quarantine), "quality": quality}
    report |= {"written_set_aside": reasons, "written_repaired": list(repaired.items())}
    return report | {"disagreeing": disagreeing} | _question_counts(folder)


def _filter_questions(settings: Settings, folder: Path) -> list[JsonObject]:
    """Apply the filters of training rows to questions.parquet; their report."""
    text = pl.format("{}\n{}", "question", "answer")
    category = pl.col("context").str.strip_prefix(CONTEXT)
    questions = pl.read_parquet(folder / "questions.parquet")
    result = filters.apply_filters(questions, text, category, settings, folder)
    charts.quality_chart(result.lengths, result.categories, folder / "quality.png")
    result.frame.write_parquet(folder / "questions.parquet")
    return result.report


def _count_reasons(aside: pl.DataFrame) -> Counts:
    """(reason, rows) of what was set aside."""
    return aside.group_by("reason").len().sort("reason").rows()


def _question_counts(folder: Path) -> JsonObject:
    """Questions of each split and kind, and what leaks from training."""
    questions = pl.scan_parquet(folder / "questions.parquet")
    return {
        "splits": questions.group_by("split", maintain_order=True).len().collect().rows(),
        "kinds": questions.group_by("kind", maintain_order=True).len().collect().rows(),
        "leakage": leakage(questions).to_dicts(),
    }
