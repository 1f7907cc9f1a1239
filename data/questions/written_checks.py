"""Checks of questions written by a language model: against the product's row; repaired or set aside."""

import polars as pl

from data.catalogue.normalisation import normalise, padded_words
from data.questions.filling import PAIRS, people
from data.questions.phrases import OPEN
from data.questions.written import MAX_LENGTHS

MAX_KNOWN_VALUES = 200  # distinct values of an attribute from which on they are taken for free text


def contradictions(items: pl.DataFrame, products: pl.DataFrame) -> pl.Series:
    """Items (their ``item``) whose answer holds another value of an attribute than the row, which stands
    nowhere in that row.
    """
    facts = products.select("id", "facts").explode("facts").unnest("facts").drop_nulls("key")
    facts = facts.select("id", key=normalise(pl.col("key")), value=padded_words(pl.col("value")))
    known = (
        facts.filter(pl.col("value").n_unique().over("key") <= MAX_KNOWN_VALUES)
        .select("key", "value")
        .unique()
    )
    # Of a letter or two, nobody knows what they mean elsewhere.
    known = known.filter(pl.col("value").str.len_chars() > 4)
    if not known.height:
        return pl.Series([], dtype=items["item"].dtype)
    said = pl.col("said").str.extract_many(known["value"].unique().implode(), overlapping=True)
    found = items.select("item", "product_id", "row", value=said).explode("value").drop_nulls("value")
    other = found.join(known, on="value").join(
        facts.select(product_id="id", key="key").unique(), on=["product_id", "key"], how="semi"
    )
    return other.filter(~pl.col("row").str.contains(pl.col("value"), literal=True))["item"].unique()


def check_questions(
    items: pl.DataFrame, products: pl.DataFrame, descriptions: pl.Series
) -> tuple[pl.DataFrame, pl.DataFrame, dict[str, int]]:
    """(sound items, with ``kind``, ``expected`` and ``conditions``; those set aside: id, reason, raw; how
    many were repaired, by what).

    Checked: lengths, that nothing is asked twice, that the answer tells the attribute it is about, numbers,
    and values of attributes against the product's row. Repaired: a question or an answer that does not name
    the product, an attribute that the row has not.
    """
    frame = _prepared_items(items, products, descriptions)
    frame = frame.with_columns(reason=_refusal(frame, products))
    raw = pl.format("{} -> {}", "question", "answer").str.slice(0, 500)
    aside = frame.filter(pl.col("reason").is_not_null()).select(id="product_id", reason="reason", raw=raw)
    sound, counts = repaired(frame.filter(pl.col("reason").is_null()))
    return sound, aside, counts


def _prepared_items(items: pl.DataFrame, products: pl.DataFrame, descriptions: pl.Series) -> pl.DataFrame:
    """Items in one spelling, with the product's ``name``, its ``row`` as text, the attribute's ``key`` and
    ``value``, and what the answer ``said`` outside the name.
    """
    pair = pl.element().struct
    text = (
        pl.col("facts")
        .list.eval(pl.concat_str(pair.field("key"), pl.lit(" "), pair.field("value")))
        .list.join(" ")
    )
    row = pl.concat_str(
        "name", "category", "shelf", text, descriptions.fill_null("").alias("description"), separator=" "
    )
    of = products.select(product_id="id", name="name", row=padded_words(row))
    facts = products.select(product_id="id", facts="facts").explode("facts").unnest("facts").drop_nulls("key")
    facts = facts.with_columns(attribute=normalise(pl.col("key"))).unique(
        ["product_id", "attribute"], keep="first", maintain_order=True
    )
    answer = pl.col("answer").str.split("Product Name:").list.first()
    return (
        items.with_columns(
            answer.str.replace_all(r"\s+", " ").str.strip_chars(),
            pl.col("question").str.replace_all(r"\s+", " ").str.strip_chars(),
            attribute=normalise(pl.col("attribute")).replace("", None),
        )
        .with_row_index("item")
        .join(of, on="product_id", maintain_order="left")
        .join(facts, on=["product_id", "attribute"], how="left", maintain_order="left")
        .with_columns(
            said=padded_words(
                normalise(pl.col("answer")).str.split(normalise(pl.col("name"))).list.join(" . ")
            )
        )
    )


def _refusal(frame: pl.DataFrame, products: pl.DataFrame) -> pl.Expr:
    """Why an item is set aside; null if it is sound."""
    forms = [padded_words(pl.col("value")), padded_words(people(pl.col("value")))]
    tells = pl.any_horizontal(pl.col("said").str.contains(form, literal=True) for form in forms)
    numbers = (
        pl.col("said")
        .str.extract_all(r"\d+")
        .list.set_difference(pl.col("row").str.extract_all(r"\d+"))
        .list.len()
        > 0
    )
    again = ~pl.struct("product_id", normalise(pl.col("question"))).is_first_distinct()
    too_long = pl.any_horizontal(
        pl.col(name).str.len_chars() > MAX_LENGTHS[name] for name in ("question", "answer")
    )
    return (
        pl.when((pl.col("question") == "") | (pl.col("answer") == ""))
        .then(pl.lit("an empty question or answer"))
        .when(too_long)
        .then(pl.lit("too long"))
        .when(again)
        .then(pl.lit("asked twice"))
        .when(pl.col("value").is_not_null() & ~tells)
        .then(pl.lit("the answer does not tell the attribute as the row has it"))
        .when(numbers)
        .then(pl.lit("a number that the row has not"))
        .when(pl.col("item").is_in(contradictions(frame, products).implode()))
        .then(pl.lit("another value of an attribute than the row's"))
    )


def repaired(frame: pl.DataFrame) -> tuple[pl.DataFrame, dict[str, int]]:
    """(sound items as questions, how many were repaired by what)"""
    form = padded_words(pl.col("value"))
    named = [
        normalise(pl.col(column)).str.contains(normalise(pl.col("name")), literal=True)
        for column in ("question", "answer")
    ]
    lost = pl.col("attribute").is_not_null() & pl.col("value").is_null()
    changed = frame.select((~named[0]).sum(), (~named[1]).sum(), lost.sum()).row(0)
    sound = frame.select(
        "product_id",
        kind=pl.when(pl.col("value").is_null()).then(pl.lit(OPEN)).otherwise(pl.lit("attribute")),
        question=pl.when(named[0])
        .then("question")
        .otherwise(pl.format("About the {}: {}", "name", "question")),
        sentence=pl.when(named[1]).then("answer").otherwise(pl.format("The {}: {}", "name", "answer")),
        answer_id="product_id",
        conditions=pl.when(pl.col("value").is_not_null())
        .then(pl.concat_list(pl.struct("key", "value")))
        .otherwise(pl.lit([], PAIRS))
        .cast(PAIRS),
        expected=pl.when(pl.col("said").str.contains(form, literal=True))
        .then("value")
        .otherwise(people(pl.col("value"))),
    )
    names = (
        "question names the product now",
        "answer names the product now",
        "attribute that the row has not is left out",
    )
    counts = {name: int(count or 0) for name, count in zip(names, changed, strict=True)}
    return sound, counts
