"""Questions in a shopper's words: other wordings of the published kinds, and kinds that those lack.

``yes_no`` (is the fabric cotton?), ``unsaid`` (the row does not say; a right answer says so) and ``absent``
(nothing in the catalogue fits; a right answer declines and names no product). A share of the questions is in
lower case, without its question mark, with a letter misplaced, or names a product by a part of its name.
"""

from dataclasses import dataclass

import polars as pl

from data.questions import wordings
from data.questions.filling import PAIRS, fill, pick
from data.questions.phrases import DECLINE, NOUNS, UNSAID

UNSEEN_WORDING = 12  # of so many questions about known products one is in a wording of the test alone
LONGEST_VALUE = 40  # characters of a value that a shopper names
LOWER, BARE, MISPLACED, SHORT = 20, 30, 8, 15  # per cent of the questions
ROLES = ["brand", "type", "shelf"]  # keys that a search names otherwise


@dataclass(frozen=True)
class Shop:
    """What wording questions needs of the whole catalogue.

    seen: ids of products that may occur in training. sold: of `kinds_sold`, each pair once.
    """

    seen: pl.Series
    sold: pl.DataFrame


def kinds_sold(products: pl.DataFrame) -> pl.DataFrame:
    """Which brand sells which kind of product: brand, kind_of, both in lower case."""
    kind_of = pl.coalesce("type", "shelf").str.to_lowercase()
    return products.select(brand=pl.col("brand").str.to_lowercase(), kind_of=kind_of).unique()


def drawn(name: str, seed: int, of: int) -> pl.Expr:
    """A number from 0 to ``of`` - 1 by the row's own key; ``name`` tells draws apart."""
    return pl.concat_str(pl.col("draw"), pl.lit(name)).hash(seed) % of


def worded(options: list[str], seed: int) -> pl.Expr:
    """One of the wordings: of the last third where ``unseen_wording`` is True, else of the others."""
    trained = len(options) - len(options) // 3
    return (
        pl.when("unseen_wording").then(pick(options[trained:], seed)).otherwise(pick(options[:trained], seed))
    )


def ready_to_word(rows: pl.DataFrame, products: pl.DataFrame, seen: pl.Series, seed: int) -> pl.DataFrame:
    """Questions with what their wordings need: draw, unseen_wording, the product's name as a shopper writes
    it, and the attribute asked for.
    """
    names = short_names(products)
    first = pl.col("wanted").list.first().struct
    frame = rows.join(names, on="product_id", maintain_order="left").with_columns(
        draw=pl.concat_str("product_id", "kind", pl.col("question").fill_null("")),
        key=first.field("key").str.to_lowercase().fill_null(""),
        value=first.field("value").fill_null(""),
    )
    has_wordings = pl.col("product_id").is_in(seen.implode()) & ~pl.col("key").is_in(wordings.NO_NOUNS)
    own_name = pl.when(drawn("short", seed, 100) < SHORT).then(pl.coalesce("short", "name")).otherwise("name")
    return frame.with_columns(
        unseen_wording=has_wordings & (drawn("wording", seed, UNSEEN_WORDING) == 0),
        said_name=own_name,
        noun=pl.col("key").replace(wordings.NOUNS),
    )


def short_names(products: pl.DataFrame) -> pl.DataFrame:
    """product_id, name, and ``short``: the name without one of its inner words, where no other of the
    products could be meant; else null.
    """
    parts = pl.col("name").str.split(" ")
    inner = products.select(
        product_id="id", parts=parts, place=pl.int_ranges(1, pl.max_horizontal(parts.list.len() - 1, 1))
    )
    cut = (
        inner.explode("place")
        .drop_nulls("place")
        .with_columns(
            short=pl.concat_list(
                pl.col("parts").list.head(pl.col("place")), pl.col("parts").list.slice(pl.col("place") + 1)
            ).list.join(" ")
        )
    )
    alone = cut.filter(pl.len().over("short") == 1, pl.col("parts").list.len() > 3)
    chosen = alone.sort("product_id", pl.col("short").hash(0)).unique("product_id", keep="first")
    names = products.select(product_id="id", name="name")
    return names.join(
        chosen.select("product_id", "short"), on="product_id", how="left", maintain_order="left"
    )


def reworded(frame: pl.DataFrame, seed: int) -> pl.DataFrame:
    """The published kinds of question in shoppers' wordings.

    Args:
        frame: of `ready_to_word`.
    """
    others = pl.element().filter(~pl.element().struct.field("key").str.to_lowercase().is_in(ROLES))
    values = pl.col("wanted").list.eval(others).list.eval(pl.element().struct.field("value")).list.join(", ")
    of_role = {}
    for role in ROLES:
        chosen = pl.element().filter(pl.element().struct.field("key").str.to_lowercase() == role)
        of_role[role] = pl.col("wanted").list.eval(chosen).list.first().struct.field("value")
    features = (
        pl.when(of_role["brand"].is_null())
        .then(values)
        .otherwise(pl.format("{}, by {}", values, of_role["brand"]))
    )
    kind = pl.col("kind")
    template = (
        pl.when(kind == "search").then(worded(wordings.SEARCH, seed))
        .when(kind == "alternative").then(worded(wordings.ALTERNATIVE, seed))
        .when(kind == "outfit").then(worded(wordings.OUTFIT, seed))
        .when(pl.col("key").is_in(wordings.NO_NOUNS)).then("question")
        .when(pl.col("key") == "ideal for").then(worded(wordings.AUDIENCE, seed))
        .when(pl.col("key") == "shelf").then(worded(wordings.SHELF, seed))
        .otherwise(worded(wordings.ATTRIBUTE, seed))
    )  # fmt: skip
    slots = {"name": pl.col("said_name"), "key": pl.col("noun"), "features": features}
    slots["type"] = pl.coalesce(of_role["type"], of_role["shelf"])
    return frame.with_columns(question=fill(template, **slots))


def facts_of(products: pl.DataFrame) -> pl.DataFrame:
    """One row a fact that a shopper can name: id, plural, key, value."""
    facts = products.select("id", "category", "facts").explode("facts").unnest("facts").drop_nulls("key")
    return facts.filter(pl.col("value").str.len_chars() <= LONGEST_VALUE)


def yes_no_questions(products: pl.DataFrame, seed: int) -> pl.DataFrame:
    """One question a product whether an attribute has a value: half of them name another product's value."""
    facts = facts_of(products).filter(pl.col("key").str.to_lowercase() != "ideal for")
    order = pl.struct("id", "key").hash(seed)
    others = facts.select("key", other="value").unique(maintain_order=True)
    asked = facts.sort("id", order).unique("id", keep="first", maintain_order=True)
    value, other = (pl.col(name).str.to_lowercase() for name in ("value", "other"))
    is_part = other.str.contains(value, literal=True) | value.str.contains(other, literal=True)
    drawn_other = (
        asked.join(others, on="key", maintain_order="left")
        .filter(~is_part)  # "regular" is no wrong answer where the row says "regular fit"
        .sort("id", pl.struct("id", "other").hash(seed))
        .unique("id", keep="first", maintain_order=True)
    )
    asked = asked.join(drawn_other.select("id", "other"), on="id", how="left", maintain_order="left")
    is_true = pl.col("other").is_null() | (pl.col("id").hash(seed + 3) % 2 == 0)
    names = products.select("id", "name")
    asked = asked.join(names, on="id", maintain_order="left").with_columns(is_true=is_true)
    yes_or_no = pl.when("is_true").then(pl.lit("Yes")).otherwise(pl.lit("No"))
    key = pl.col("key").str.to_lowercase()
    return asked.select(
        product_id="id",
        kind=pl.lit("yes_no"),
        question=pl.when("is_true").then("value").otherwise("other"),  # that is asked about
        sentence=pl.format(
            "{}, the {} of the {} is {}.", yes_or_no, key, "name", pl.col("value").str.to_lowercase()
        ),
        answer_id="id",
        wanted=pl.concat_list(pl.struct("key", "value")).cast(PAIRS),
        told=yes_or_no,
    )


def unsaid_questions(products: pl.DataFrame, seed: int) -> pl.DataFrame:
    """One question a third of the products for an attribute that their rows do not say."""
    own = pl.col("facts").list.eval(pl.element().struct.field("key").str.to_lowercase())
    catalogue = facts_of(products)["key"].str.to_lowercase().unique().sort().to_list()
    nouns = [key for key in catalogue if key in NOUNS or key in wordings.COMMON_KEYS]
    keys = pl.DataFrame({"key": list(dict.fromkeys([*wordings.UNSAID_KEYS, *nouns]))})
    some = products.filter(pl.col("id").hash(seed + 4) % 3 == 0).select("id", "name", own=own)
    pairs = some.join(keys, how="cross").filter(~pl.col("own").list.contains(pl.col("key")))
    chosen = pairs.sort("id", pl.struct("id", "key").hash(seed)).unique(
        "id", keep="first", maintain_order=True
    )
    return chosen.select(
        product_id="id",
        kind=pl.lit("unsaid"),
        question=pl.lit(""),
        sentence=pl.format(UNSAID, "key", "name"),
        answer_id="id",
        wanted=pl.concat_list(pl.struct("key", value=pl.lit(""))).cast(PAIRS),
        told=pl.lit(None, pl.String),
    )


def absent_questions(products: pl.DataFrame, sold: pl.DataFrame, seed: int) -> pl.DataFrame:
    """One question a third of the products for what the catalogue does not have: goods of another shop, or a
    kind of product from a brand that has none of it.
    """
    words = set(" ".join(sold["kind_of"]).split())
    things = [thing for thing in wordings.THINGS if thing.lower().split()[-1] not in words]
    brands = products.select("brand").drop_nulls().unique().sort("brand")["brand"].to_list() or [""]
    drawn_id = pl.col("id").hash(seed + 5) % 3 == 0
    some = products.filter(drawn_id).with_columns(draw=pl.col("id"), kind_of=pl.coalesce("type", "shelf"))
    some = some.with_columns(other_brand=pick(brands, seed + 6))
    pair = [pl.col("other_brand").str.to_lowercase(), pl.col("kind_of").str.to_lowercase()]
    is_sold = some.join(sold, left_on=pair, right_on=["brand", "kind_of"], how="semi")["id"]
    can_name_brand = ~pl.col("id").is_in(is_sold.implode()) & (pl.col("other_brand") != "")
    can_name_brand &= pl.col("id").hash(seed + 8) % 2 == 0
    thing = (
        pl.when(can_name_brand)
        .then(pl.format("{} by {}", "kind_of", "other_brand"))
        .otherwise(pick(things, seed + 7))
    )
    return some.select(
        product_id="id",
        kind=pl.lit("absent"),
        question=thing,  # that is asked for
        sentence=pl.lit(DECLINE),
        answer_id=pl.lit(None, pl.String),
        wanted=pl.lit([], PAIRS),
        told=pl.lit(None, pl.String),
    )


def own_kinds(products: pl.DataFrame, shop: Shop, seed: int) -> pl.DataFrame:
    """The questions of the kinds yes_no, unsaid and absent."""
    rows = pl.concat(
        [
            yes_no_questions(products, seed),
            unsaid_questions(products, seed),
            absent_questions(products, shop.sold, seed),
        ]
    )
    frame = ready_to_word(rows, products, shop.seen, seed)
    template = (
        pl.when(pl.col("kind") == "yes_no").then(worded(wordings.YES_NO, seed))
        .when(pl.col("kind") == "absent").then(worded(wordings.ABSENT, seed))
        .otherwise(worded(wordings.ATTRIBUTE, seed))
    )  # fmt: skip
    asked = pl.col("question")
    slots = {"name": pl.col("said_name"), "key": pl.col("noun"), "value": asked, "thing": asked}
    return frame.with_columns(question=fill(template, **slots))


def misspelt(text: pl.Expr, seed: int) -> pl.Expr:
    """A text with two neighbouring letters swapped, somewhere after its first three."""
    place = 3 + pl.col("draw").hash(seed) % pl.max_horizontal(text.str.len_chars() - 5, 1).cast(pl.UInt64)
    head, first = text.str.slice(0, place), text.str.slice(place, 1)
    second, tail = text.str.slice(place + 1, 1), text.str.slice(place + 2)
    are_letters = first.str.contains(r"\p{L}") & second.str.contains(r"\p{L}")
    return pl.when(are_letters).then(pl.concat_str(head, second, first, tail)).otherwise(text)


def with_noise(frame: pl.DataFrame, seed: int) -> pl.DataFrame:
    """A share of the questions as people type them."""
    question = pl.col("question")
    typed = pl.when(drawn("lower", seed, 100) < LOWER).then(question.str.to_lowercase()).otherwise(question)
    typed = pl.when(drawn("bare", seed, 100) < BARE).then(typed.str.strip_chars_end("?.")).otherwise(typed)
    typed = pl.when(drawn("typo", seed, 100) < MISPLACED).then(misspelt(typed, seed)).otherwise(typed)
    return frame.with_columns(question=typed)


def in_shoppers_words(rows: pl.DataFrame, products: pl.DataFrame, shop: Shop, seed: int) -> pl.DataFrame:
    """Questions of the published kinds (of `data.questions.templates`) in shoppers' words, and those of the
    further kinds; unseen_wording says which are in a wording for the test alone.

    Args:
        products: that the questions are about, which may be a part of the catalogue.
    """
    published = reworded(ready_to_word(rows, products, shop.seen, seed), seed)
    both = pl.concat([published, own_kinds(products, shop, seed)], how="diagonal")
    return with_noise(both, seed).select(rows.columns)
