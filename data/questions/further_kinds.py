"""Kinds of question that the published templates lack, before they are worded.

``yes_no`` (is the fabric cotton?), ``unsaid`` (the row does not say; a right answer says so), ``absent``
(nothing in the catalogue fits; a right answer declines and names no product) and ``greeting`` (hello). The
column ``question`` holds what is asked about, until `data.questions.shoppers` words it.
"""

from dataclasses import dataclass

import polars as pl

from data.catalogue.normalisation import padded_words
from data.questions import wordings
from data.questions.attribute_words import ANYTHING, ATTRIBUTES, SELDOM_SAID
from data.questions.filling import PAIRS, in_sentence, pick
from data.questions.phrases import (
    ABSENT,
    DECLINE,
    GREETING,
    NOT_SAID,
    NOUNS,
    UNSAID,
    WELCOME,
    YES_NO,
    YES_OR_NO,
)
from data.questions.products import without_namesakes
from data.questions.words import last_word

LONGEST_VALUE = 40  # characters of a value that a shopper names
YES_NO_FACTS = 2  # of a product that are asked about with yes or no
OTHER_VALUES = 20  # of an attribute, that a question may name in place of the product's own
FEATURE_KEYS = "fabric material pattern color colour occasion sleeve neck fit length".split()  # of searches


@dataclass(frozen=True)
class Shop:
    """What questions for absent goods need of the whole catalogue.

    sold: `words_sold` of all products, each pair once. absent: goods of `data.questions.wordings.THINGS` that
    it does not have.
    """

    sold: pl.Series
    absent: list[str]


def _words(text: pl.Expr) -> pl.Expr:
    """The words of a text in lower case."""
    return text.str.to_lowercase().str.extract_all(r"\w+")


def _word_of_kind() -> pl.Expr:
    """A number for a word of a kind of product (columns word, kind_of)."""
    return pl.concat_str(pl.col("kind_of").str.to_lowercase(), "word", separator="\n").hash(0)


def words_sold(products: pl.DataFrame) -> pl.DataFrame:
    """Which words the names, brands and values of each kind of product have (column pair, a number for a word
    of a kind).
    """
    values = pl.col("facts").list.eval(pl.element().struct.field("value")).list.join(" ")
    text = pl.concat_str("name", "brand", values, separator=" ", ignore_nulls=True)
    words = products.select(kind_of=pl.coalesce("type", "shelf"), word=_words(text)).explode("word")
    return words.select(pair=_word_of_kind()).unique()


def things_named(products: pl.DataFrame) -> pl.DataFrame:
    """The goods of other shops of which a product's name, type or shelf has the word (column word)."""
    text = pl.concat_str("name", "type", "shelf", separator=" ", ignore_nulls=True).str.to_lowercase()
    words = pl.Series([last_word(thing) for thing in wordings.THINGS])
    found = products.select(word=text.str.extract_many(words.implode(), overlapping=True))
    return found.explode("word").drop_nulls().unique()


def things_absent(named: pl.DataFrame) -> list[str]:
    """The goods of other shops that no product has the word of. named: of `things_named`, of all products."""
    words = set(named["word"])
    return [thing for thing in wordings.THINGS if last_word(thing) not in words]


def facts_of(products: pl.DataFrame) -> pl.DataFrame:
    """One row a fact that a shopper can name: id, name, key, value."""
    facts = products.select("id", "name", "facts").explode("facts").unnest("facts").drop_nulls("key")
    return facts.filter(pl.col("value").str.len_chars() <= LONGEST_VALUE)


def _with_other_values(asked: pl.DataFrame, facts: pl.DataFrame, seed: int) -> pl.DataFrame:
    """Add ``other``: a value that the attribute has elsewhere and not in this row; null where there is none.

    Args:
        asked: some facts of each product. facts: of all products (`facts_of`).
    """
    values = facts.select("key", other="value").unique().sort(pl.struct("key", "other").hash(seed))
    some = values.group_by("key", maintain_order=True).head(OTHER_VALUES)
    value, other = (padded_words(pl.col(name)) for name in ("value", "other"))  # "V Neck" is a v-neck
    is_part = other.str.contains(value, literal=True) | value.str.contains(other, literal=True)
    drawn = (
        asked.join(some, on="key", maintain_order="left")
        .filter(~is_part)  # "regular" is no wrong answer where the row says "regular fit"
        .sort("id", "key", pl.struct("id", "other").hash(seed))
        .unique(["id", "key"], keep="first", maintain_order=True)
    )
    return asked.join(drawn.select("id", "key", "other"), on=["id", "key"], how="left", maintain_order="left")


def yes_no_questions(products: pl.DataFrame, seed: int) -> pl.DataFrame:
    """Two questions a product whether an attribute has a value: half of them name another product's value."""
    key, value = (pl.col(name).str.to_lowercase() for name in ("key", "value"))
    facts = facts_of(products).filter(key != "ideal for", ~value.str.contains(r"^(?:yes|no)\b"))
    order = pl.struct("id", "key").hash(seed)
    asked = facts.sort("id", order).group_by("id", maintain_order=True).head(YES_NO_FACTS)
    is_true = pl.col("other").is_null() | (pl.struct("id", "key").hash(seed + 3) % 2 == 0)
    asked = _with_other_values(asked, facts, seed).with_columns(is_true=is_true)
    yes_or_no = pl.when("is_true").then(pl.lit("Yes")).otherwise(pl.lit("No"))
    asked_about = pl.when("is_true").then("value").otherwise("other")
    asked = asked.with_columns(
        tells_key=asked_about.is_in(_telling_values(products, facts).implode()),
        low_asked=in_sentence(key, asked_about),
        low_value=in_sentence(key, pl.col("value")),
        word=yes_or_no.str.to_lowercase(),
    )
    return asked.select(
        product_id="id",
        kind=pl.lit(YES_NO),
        question=asked_about,
        sentence=pl.format(YES_OR_NO, key, "name", "low_value", "low_asked", "word"),
        answer_id="id",
        conditions=pl.concat_list(pl.struct("key", "value")).cast(PAIRS),
        expected=yes_or_no,
        tells_key="tells_key",
    )


def _telling_values(products: pl.DataFrame, facts: pl.DataFrame) -> pl.Series:
    """The values that stand under one attribute alone and name no kind of product, so that a question needs
    no more than the value: "is it linen?"
    """
    of_one = facts.select("key", "value").unique().group_by("value").len().filter(pl.col("len") == 1)
    goods = pl.concat([products["type"], products["shelf"], products["brand"]]).drop_nulls()
    return of_one.filter(~pl.col("value").is_in(goods.implode()))["value"]


def _names_of(key: str) -> list[str]:
    """An attribute and what else catalogues call it."""
    others = [name for attribute in ATTRIBUTES if key in attribute.names for name in attribute.names]
    return [key, *others]


def unsaid_questions(products: pl.DataFrame, seed: int) -> pl.DataFrame:
    """One question about each product for an attribute that its row does not say, a quarter of them for what
    has no name (`ANYTHING`).
    """
    own = pl.col("facts").list.eval(pl.element().struct.field("key").str.to_lowercase())
    catalogue = facts_of(products)["key"].str.to_lowercase().unique().sort().to_list()
    nouns = [key for key in catalogue if key in NOUNS or key in wordings.COMMON_KEYS]
    seldom_said = [attribute.names[0] for attribute in SELDOM_SAID]
    named = list(dict.fromkeys([*seldom_said, *nouns]))
    keys = pl.DataFrame({"key": named, "names": [_names_of(key) for key in named]})
    some = without_namesakes(products).select("id", "name", own=own)
    is_said = pl.col("own").list.set_intersection("names").list.len() > 0
    pairs = some.join(keys, how="cross").filter(~is_said)
    chosen = pairs.sort("id", pl.struct("id", "key").hash(seed)).unique(
        "id", keep="first", maintain_order=True
    )
    has_no_name = pl.col("id").hash(seed + 19) % 4 == 0
    chosen = chosen.with_columns(key=pl.when(has_no_name).then(pl.lit(ANYTHING)).otherwise("key"))
    what = pl.when(has_no_name).then(pl.lit(ANYTHING)).otherwise(pl.format("the {}", "key"))
    return chosen.select(
        product_id="id",
        kind=pl.lit(UNSAID),
        question=pl.lit(""),
        sentence=pl.format(NOT_SAID, what, "name"),
        answer_id="id",
        conditions=pl.concat_list(pl.struct("key", value=pl.lit(""))).cast(PAIRS),
        expected=pl.lit(None, pl.String),
    )


def greeting_questions(products: pl.DataFrame, seed: int) -> pl.DataFrame:
    """A greeting, thanks, or a question about the shop, beside one product in eight."""
    some = products.filter(pl.col("id").hash(seed + 14) % 8 == 0)
    return some.select(
        product_id="id",
        kind=pl.lit(GREETING),
        question=pl.lit(""),
        sentence=pl.lit(WELCOME),
        answer_id=pl.lit(None, pl.String),
        conditions=pl.lit([], PAIRS),
        expected=pl.lit(None, pl.String),
    )


def features_of(products: pl.DataFrame, seed: int) -> pl.DataFrame:
    """One fact of each product with which a shopper looks for such a product: id, key, value, and ``other``,
    a value that the attribute has elsewhere, or null.
    """
    facts = facts_of(products).filter(pl.col("key").str.to_lowercase().is_in(FEATURE_KEYS))
    order = pl.struct("id", "key").hash(seed)
    one = facts.sort("id", order).unique("id", keep="first", maintain_order=True)
    return _with_other_values(one, facts, seed).select("id", "key", "value", "other")


def _not_sold(asked: pl.DataFrame, what: str, sold: pl.Series) -> pl.Series:
    """The ids of rows that ask for a kind of product with a word that no product of the kind has.

    Args:
        asked: id, kind_of, and the column ``what``, a brand or a value. sold: of `Shop`.
    """
    words = asked.drop_nulls(what).select("id", "kind_of", word=_words(pl.col(what))).explode("word")
    lacks = ~_word_of_kind().is_in(sold.implode())
    return words.drop_nulls("word").filter(lacks)["id"].unique()


def absent_questions(products: pl.DataFrame, shop: Shop, seed: int) -> pl.DataFrame:
    """One question beside half of the products for what the catalogue does not have: goods of another shop, a
    kind of product from a brand that has none of it, or with a value that none of it has.
    """
    brands = products.select("brand").drop_nulls().unique().sort("brand")["brand"].to_list() or [""]
    drawn_id = pl.col("id").hash(seed + 5) % 2 == 0
    some = products.filter(drawn_id).with_columns(draw=pl.col("id"), kind_of=pl.coalesce("type", "shelf"))
    some = some.with_columns(other_brand=pick(brands, seed + 6))
    others = features_of(products, seed).select("id", "other")
    some = some.join(others, on="id", how="left", maintain_order="left")
    of_brand = pl.col("id").is_in(_not_sold(some, "other_brand", shop.sold).implode())
    of_value = pl.col("id").is_in(_not_sold(some, "other", shop.sold).implode())
    draw = pl.col("id").hash(seed + 8) % 4
    thing = (
        pl.when(of_value & (draw < 2)).then(pl.format("{} {}", "other", "kind_of"))
        .when(of_brand & (draw == 2)).then(pl.format("{} by {}", "kind_of", "other_brand"))
        .otherwise(pick(shop.absent, seed + 7))
    )  # fmt: skip
    return some.select(
        product_id="id",
        kind=pl.lit(ABSENT),
        question=thing,  # that is asked for
        sentence=pl.lit(DECLINE),
        answer_id=pl.lit(None, pl.String),
        conditions=pl.lit([], PAIRS),
        expected=pl.lit(None, pl.String),
    )
