"""Catalogue -> products with what questions and answers need: shelf, kind, partners, facts, answer block."""

from pathlib import Path

import polars as pl

from data.catalogue.normalisation import normalise
from data.catalogue.pairing import Pairing, read_pairing
from data.questions.phrases import PRICE

MAX_VALUE_LENGTH = 80


def _kind_of_product(pairing: Pairing) -> pl.Expr:
    """The kind of a pairing that a product's name, else its type, else its shelf tells; null if none does.

    A shelf holds several kinds ("Dresses & Skirts"), so it comes last. In a name the last word counts: a
    "Shirt Dress" is a dress.
    """
    kinds = [_kind_in(pl.col(source), pairing) for source in ("name", "type", "shelf")]
    return pl.coalesce(kinds)


def _kind_in(text: pl.Expr, pairing: Pairing) -> pl.Expr:
    """The kind that the last word for one in a text means; null without such a word."""
    found = pl.lit(None, pl.String)
    if not pairing.kinds:
        return found
    every = "|".join(pairing.kinds.values())
    last = text.str.to_lowercase().str.extract_all(rf"[\w-]*(?:{every})[\w-]*").list.last()
    for name, pattern in reversed(pairing.kinds.items()):
        found = pl.when(last.str.contains(pattern)).then(pl.lit(name)).otherwise(found)
    return found


def partners_of(kind: pl.Expr, pairing: Pairing) -> pl.Expr:
    """The kinds that go with a kind; null where none does."""
    kinds = pl.List(pl.String)
    if not pairing.goes_with:
        return pl.lit(None, kinds)
    return kind.replace_strict(dict(pairing.goes_with), default=None, return_dtype=kinds)


def _keywords_of(pairing: Pairing) -> pl.Expr:
    """The words with which shoppers ask for what a product is (``words`` of the pairing), in lower case."""
    values = pl.col("facts").list.eval(pl.element().struct.field("value")).list.join(" ")
    place = pl.concat_str("name", "category", "shelf", "type", separator=" ", ignore_nulls=True)
    text = pl.concat_str(place, values, separator=" ", ignore_nulls=True).str.to_lowercase()
    none = pl.lit([], pl.List(pl.String))
    found = [none]
    for pattern, words in pairing.words.items():
        listed = pl.lit([word.lower() for word in words], pl.List(pl.String))
        found.append(pl.when(text.str.contains(pattern)).then(listed).otherwise(none))
    return pl.concat_list(found).list.unique(maintain_order=True)


def shelf() -> pl.Expr:
    """The deepest of the first four levels of the category that is no brand's own ("Navaksha Men's
    Clothing").
    """
    first_word = pl.col("name").str.extract(r"^(\S{3,})")
    levels = []
    for level in ("level_4", "level_3", "level_2"):
        own = pl.any_horizontal(
            pl.col(level).str.to_lowercase().str.starts_with(word.str.to_lowercase()).fill_null(False)
            for word in (pl.col("brand"), first_word)
        )
        levels.append(pl.when(~own).then(pl.col(level)))
    return pl.coalesce(*levels, "level_1")


def category(columns: list[str]) -> pl.Expr:
    """Where a product is asked for: the second level of its category, else the first, and whom it is for,
    if a column tells. Outfits and alternatives stay within it.
    """
    level = pl.coalesce("level_2", "level_1")
    group = pl.col("group") if "group" in columns else pl.lit(None, pl.String)
    return pl.coalesce(pl.format("{}, {}", level, group), level)


ADDED_COLUMNS = ["partners", "keywords"]  # that versions before 0.6, and before 0.8, did not write
QUESTION_COLUMNS = (
    "id name brand category shelf type product_kind plural facts block rating".split() + ADDED_COLUMNS
)


def products_for_questions(products: pl.DataFrame, max_details: int, pairing: Pairing) -> pl.DataFrame:
    """Add what questions need: category, shelf, type, product_kind (by the pairing), partners (the kinds
    that go with it), keywords (what shoppers call it), plural, ``facts`` (sound attributes, one a key),
    ``block``.

    ``block`` is the published answer's tail: Product Name, Product Category and up to ``max_details`` Product
    Details.
    """
    short = pl.element().struct.field("value").str.len_chars() <= MAX_VALUE_LENGTH
    first = pl.element().struct.field("key").is_first_distinct()
    type_fact = (
        pl.col("facts")
        .list.eval(pl.element().filter(pl.element().struct.field("key") == "Type"))
        .list.first()
    )
    last_word = pl.col("name").str.to_lowercase().str.extract(r"(\S+)$")
    return (
        products.with_columns(facts=pl.col("attributes").list.eval(pl.element().filter(short & first)))
        .with_columns(
            category=category(products.columns), shelf=shelf(), type=type_fact.struct.field("value")
        )
        .with_columns(
            product_kind=_kind_of_product(pairing),
            plural=last_word.str.contains(r"s$") & ~last_word.str.contains(r"(ss|'s)$"),
            block=answer_block(max_details),
        )
        .with_columns(partners=partners_of(pl.col("product_kind"), pairing), keywords=_keywords_of(pairing))
        .select(*QUESTION_COLUMNS)
    )


def price_text() -> pl.Expr:
    """The price as a row says it; null where it has none."""
    is_price = pl.element().struct.field("key").str.to_lowercase() == PRICE
    prices = pl.col("facts").list.eval(pl.element().filter(is_price))
    return prices.list.first().struct.field("value")


def read_question_products(path: Path) -> pl.DataFrame:
    """What questions and scores need of products.parquet of prepared data, also of versions before 0.6, which
    had no pairing but that of clothing, and before 0.8, which had no words of shoppers. Raises OSError or
    PolarsError for another file.
    """
    written = pl.read_parquet_schema(path)
    lacking = [name for name in ADDED_COLUMNS if name not in written]
    products = pl.read_parquet(path, columns=[name for name in QUESTION_COLUMNS if name not in lacking])
    added = {
        "partners": partners_of(pl.col("product_kind"), read_pairing("clothing")),
        "keywords": _keywords_of(Pairing()),
    }
    return products.with_columns(added[name].alias(name) for name in lacking).select(QUESTION_COLUMNS)


def with_shared_facts(products: pl.DataFrame) -> pl.DataFrame:
    """Products with the facts that a question by name can ask for: of those that bear one name, the facts
    that all of them have in common.
    """
    numbered = products.with_columns(key=normalise(pl.col("name"))).with_columns(
        namesakes=pl.len().over("key")
    )
    several = numbered.filter(pl.col("namesakes") > 1).select("id", "key", "namesakes", "facts")
    facts = several.explode("facts").drop_nulls("facts")
    shared = facts.filter(pl.len().over("key", "facts") == pl.col("namesakes"))
    kept = shared.group_by("id", maintain_order=True).agg(shared="facts")
    of_namesakes = pl.coalesce("shared", pl.col("facts").list.head(0))
    return (
        numbered.join(kept, on="id", how="left", maintain_order="left")
        .with_columns(facts=pl.when(pl.col("namesakes") > 1).then(of_namesakes).otherwise("facts"))
        .select(products.columns)
    )


def with_facts_to_ask(products: pl.DataFrame, attributes: tuple[str, ...]) -> pl.DataFrame:
    """Products with the facts that may be asked about: of these attributes (in lower case); (): all."""
    if not attributes:
        return products
    low = pl.element().struct.field("key").str.to_lowercase()
    return products.with_columns(pl.col("facts").list.eval(pl.element().filter(low.is_in(list(attributes)))))


def without_namesakes(products: pl.DataFrame) -> pl.DataFrame:
    """The products whose names no other product bears."""
    return products.filter(pl.len().over(normalise(pl.col("name"))) == 1)


def answer_block(max_details: int) -> pl.Expr:
    """The tail of the published answer: Product Name, Product Category, and Product Details."""
    pair = pl.element().struct
    line = pl.format("- {}: {}", pair.field("key"), pair.field("value"))
    details = pl.col("facts").list.head(max_details).list.eval(line).list.join("\n")
    tail = " Product Name: {}\nProduct Category: {}\nProduct Details:\n{}"
    return pl.format(tail, pl.col("name"), pl.col("category"), details)
