"""Kinds of question with which a shopper chooses, before they are worded.

``comparison`` asks for one attribute of two products, or what their difference is; ``budget`` for a kind of
product at a price, or for the cheapest; ``search`` here for a kind of product alone, or one by its brand;
``open`` for all that there is to say of a product that it names.

The column ``question`` holds what is asked about, until `data.questions.shoppers` words it.
"""

import polars as pl

from data.catalogue.cells import first_number
from data.catalogue.normalisation import padded_words
from data.questions.filling import PAIRS, fill, in_sentence, pick, place_condition
from data.questions.further_kinds import facts_of, features_of
from data.questions.phrases import BUDGET, COMPARED, COMPARISON, FOUND, OPEN, PRICE, PRICE_LIMIT
from data.questions.products import price_text, without_namesakes

ONE_IN = 6  # comparisons is asked without an attribute, and answered by the price
STEP = 50  # budgets are multiples of it
SLACK = 4  # a budget is up to this many steps above the product's price
BETWEEN = "\u0001"  # what a budget question asks for, and the limit


def neighbours(products: pl.DataFrame, unseen: pl.Series, seed: int) -> pl.DataFrame:
    """A product and the next one of its category and shelf: id, name, other_id, other_name.

    Products that must not occur in training stand beside one another only. Pairs of which one name holds the
    other are left out, since a question could mean either.
    """
    side = pl.col("id").is_in(unseen.implode())
    group = ["category", "shelf", "side"]
    ordered = without_namesakes(products).with_columns(side=side).sort(pl.col("id").hash(seed))
    pairs = ordered.with_columns(
        other_id=pl.col("id").shift(-1).over(group), other_name=pl.col("name").shift(-1).over(group)
    ).drop_nulls("other_id")
    one, other = (pl.col(name).str.to_lowercase() for name in ("name", "other_name"))
    holds = one.str.contains(other, literal=True) | other.str.contains(one, literal=True)
    return pairs.filter(~holds).select("id", "name", "other_id", "other_name").sort("id")


def comparison_questions(products: pl.DataFrame, unseen: pl.Series, seed: int) -> pl.DataFrame:
    """One question a product for an attribute that a neighbour on the shelf has, too."""
    facts = facts_of(products).select("id", "key", "value")
    key = pl.col("key").str.to_lowercase()
    own = facts.filter(key != "ideal for")
    of_other = facts.rename({"id": "other_id", "value": "other_value"})
    pairs = neighbours(products, unseen, seed)
    both = pairs.join(own, on="id", maintain_order="left").join(
        of_other, on=["other_id", "key"], maintain_order="left"
    )
    has_no_key = (key == PRICE) & (pl.col("id").hash(seed + 20) % ONE_IN == 0)
    order = ["id", ~has_no_key, pl.struct("id", "key").hash(seed)]
    asked = both.sort(order).unique("id", keep="first", maintain_order=True)
    value, other_value = (in_sentence(key, pl.col(name)) for name in ("value", "other_value"))
    of_one, of_neighbour = pl.struct("key", "value"), pl.struct(key="other_name", value="other_value")
    return asked.select(
        product_id="id",
        kind=pl.lit(COMPARISON),
        question="other_name",
        sentence=pl.format(COMPARED, key, value, "name", other_value, "other_name"),
        answer_id="other_id",
        conditions=pl.concat_list(of_one, of_neighbour).cast(PAIRS),
        expected=value,
        has_no_key=has_no_key,
    )


def cheapest_questions(products: pl.DataFrame, seed: int) -> pl.DataFrame:
    """One question for the cheapest product of each type (else shelf) of a category, and of those of a type
    that share a value.

    A value whose words another one has, too ("cotton" in "cotton blend"), is left out.
    """
    kind_of = pl.coalesce("type", "shelf")
    priced = products.with_columns(price_text=price_text(), price=first_number(price_text()), kind_of=kind_of)
    priced = priced.filter(pl.col("price") > 0).drop_nulls("kind_of")
    features = features_of(products, seed + 21).select("id", "key", "value")
    values = features.select("value").unique()
    one, other = padded_words(pl.col("value")), padded_words(pl.col("other"))
    pairs = values.join(values.select(other="value"), how="cross").filter(pl.col("value") != pl.col("other"))
    within = pairs.filter(other.str.contains(one, literal=True))["value"]
    own = features.filter(~pl.col("value").is_in(within.implode()))
    of_value = priced.join(own, on="id", how="inner", maintain_order="left")
    kinds = pl.concat([priced, of_value], how="diagonal").sort("price", "id")
    group = kinds.group_by("category", "kind_of", "key", "value", maintain_order=True)
    lowest = group.agg(pl.len(), pl.col("id", "name", "type", "shelf", "price_text", "price").first())
    some = lowest.filter(pl.col("len") > 1).with_columns(draw=pl.concat_str("id", "kind_of"))
    limit = pl.col("price").cast(pl.String).str.strip_suffix(".0")
    conditions = [
        place_condition(),
        pl.struct("key", "value"),
        pl.struct(key=pl.lit(PRICE_LIMIT), value=limit),
    ]
    has_value = pl.element().struct.field("value").is_not_null()
    thing = pl.concat_str("value", "kind_of", separator=" ", ignore_nulls=True)
    return some.select(
        product_id="id",
        kind=pl.lit(BUDGET),
        question=pl.concat_str(thing, pl.lit(BETWEEN)),  # without a limit
        sentence=fill(pick(FOUND, seed + 22), other=pl.col("name")),
        answer_id="id",
        conditions=pl.concat_list(conditions).cast(PAIRS).list.eval(pl.element().filter(has_value)),
        expected=pl.lit(None, pl.String),
    )


def budget_questions(products: pl.DataFrame, seed: int) -> pl.DataFrame:
    """One question about a third of the products that have a price, for one of its type (else shelf) at a
    round price that it does not exceed.
    """
    priced = products.with_columns(price_text=price_text(), price=first_number(price_text()))
    some = priced.filter(pl.col("price") > 0, pl.col("id").hash(seed + 10) % 3 == 0)
    above = pl.col("id").hash(seed + 11) % SLACK
    limit = ((pl.col("price") / STEP).ceil() + above) * STEP
    currency = pl.col("price_text").str.extract(r"^(\D*)")
    some = some.with_columns(
        limit=limit.cast(pl.Int64).cast(pl.String), kind_of=pl.coalesce("type", "shelf"), draw=pl.col("id")
    )
    ceiling = pl.struct(key=pl.lit(PRICE_LIMIT), value="limit")
    return some.select(
        product_id="id",
        kind=pl.lit(BUDGET),
        question=pl.concat_str("kind_of", pl.lit(BETWEEN), currency, "limit"),
        sentence=fill(pick(FOUND, seed + 12), other=pl.col("name")),
        answer_id="id",
        conditions=pl.concat_list(place_condition(), ceiling).cast(PAIRS),
        expected=pl.lit(None, pl.String),
    )


def wish_questions(products: pl.DataFrame, seed: int) -> pl.DataFrame:
    """One question a product that has a brand, and half of the others, for one of its type (else shelf), most
    often by its brand or with a value. They are worded as those for what the catalogue lacks, so that the
    words alone do not tell whether it has it.
    """
    has_brand = pl.col("brand").is_not_null()
    draw = pl.col("id").hash(seed + 16) % 3
    some = (
        products.filter(has_brand | (pl.col("id").hash(seed + 15) % 2 == 0))
        .join(features_of(products, seed + 18).drop("other"), on="id", how="left", maintain_order="left")
        .with_columns(
            draw=pl.col("id"),
            kind_of=pl.coalesce("type", "shelf"),
            asked_brand=pl.when(draw == 1).then("brand"),
            asked_value=pl.when(draw == 2).then("value"),
        )
    )
    by_brand = pl.format("{} by {}", "kind_of", "asked_brand")
    with_value = pl.format("{} {}", "asked_value", "kind_of")
    brand, feature = (
        pl.struct(key=pl.lit("Brand"), value="asked_brand"),
        pl.struct("key", value="asked_value"),
    )
    conditions = [place_condition(), brand, feature]
    has_value = pl.element().struct.field("value").is_not_null()
    return some.select(
        product_id="id",
        kind=pl.lit("search"),
        question=pl.coalesce(by_brand, with_value, "kind_of"),
        sentence=fill(pick(FOUND, seed + 17), other=pl.col("name")),
        answer_id="id",
        conditions=pl.concat_list(conditions).cast(PAIRS).list.eval(pl.element().filter(has_value)),
        expected=pl.lit(None, pl.String),
    )


def open_questions(products: pl.DataFrame, seed: int) -> pl.DataFrame:
    """One question about a sixth of the products for nothing but the product."""
    some = without_namesakes(products).filter(pl.col("id").hash(seed + 23) % 6 == 0)
    return some.with_columns(draw=pl.col("id")).select(
        product_id="id",
        kind=pl.lit(OPEN),
        question=pl.lit(""),
        sentence=fill(pick(FOUND[2:], seed), other=pl.col("name")),
        answer_id="id",
        conditions=pl.lit([], PAIRS),
        expected=pl.lit(None, pl.String),
    )
