"""Questions -> train, validation, test and unseen; and what leaks from training into the others, counted.

Everything goes by hashes of names and questions, so that a part of a table is split as the whole is.
"""

import polars as pl


def _order_limit(orders: pl.Series, count: int) -> int | None:
    """The largest of the ``count`` smallest numbers; None for none of them."""
    return int(orders.sort()[count - 1]) if count and len(orders) else None


def within_limit(order: pl.Expr, limit: int | None) -> pl.Expr:
    """Whether a number is within a limit of `limit_of`."""
    return pl.lit(False) if limit is None else order <= pl.lit(limit, pl.UInt64)


def name_order(seed: int) -> pl.Expr:
    """A number for the product's name, by which it is held out or not."""
    return pl.col("name").hash(seed)


def unseen_limit(names: pl.Series, fraction: float) -> int | None:
    """Products whose `name_order` is up to this are kept out of training altogether. Products of one name
    stay together, so that no twin gives them away.

    Args:
        names: `name_order` of all products.
    """
    distinct = names.unique()
    return _order_limit(distinct, int(len(distinct) * fraction))


def question_order(seed: int) -> pl.Expr:
    """A number for the question, the same wherever the question is asked: by it a question stands in
    training or not. One that goes on from earlier turns ("And the fabric?") is another one for each product.
    """
    asked = pl.struct("context", "question").hash(seed)
    goes_on = pl.struct("context", "question", "product_id").hash(seed)
    return pl.when(pl.col("earlier").is_null()).then(asked).otherwise(goes_on)


def split_limits(seen: pl.Series, validation: float, test: float) -> tuple[int | None, int | None]:
    """Questions about seen products up to the first `question_order` are for validation, up to the second for
    the test.

    Args:
        seen: `question_order` of all of them. validation, test: shares of them; training gets the rest.
    """
    orders = seen.sort()
    return _order_limit(orders, round(len(orders) * validation)), _order_limit(
        orders, round(len(orders) * (validation + test))
    )


def split_questions(
    questions: pl.DataFrame, limits: tuple[int | None, int | None], shared: pl.Series
) -> pl.DataFrame:
    """Questions with ``order`` and ``unseen`` -> with the column ``split``: those about unseen products
    apart, in the given order; before them the others, in that of their number.

    The same question, asked about several products, stays together, so that none of the test stands in
    training; one about an unseen product that is asked about a seen one, too (a search that fits both), is
    left out: it would be no question about the unseen. Questions in a wording that is for the test alone have
    a split of their own, ``wordings``.

    Args:
        limits: of `limits_of`. shared: orders of questions about unseen products that are asked about seen
        ones as well.
    """
    order = pl.col("order")
    name = (
        pl.when("unseen_wording")
        .then(pl.lit("wordings"))
        .when(within_limit(order, limits[0]))
        .then(pl.lit("validation"))
        .when(within_limit(order, limits[1]))
        .then(pl.lit("test"))
        .otherwise(pl.lit("train"))
    )
    seen = questions.filter(~pl.col("unseen")).sort("order", "question").with_columns(split=name)
    away = questions.filter("unseen", ~order.is_in(shared.implode())).with_columns(split=pl.lit("unseen"))
    return pl.concat([seen, away]).drop("order", "unseen", "unseen_wording")


def leakage(questions: pl.LazyFrame) -> pl.DataFrame:
    """For each split but train: rows, and how many of them share a question, an answer or a product with
    training.
    """
    held = questions.filter(pl.col("split") != "train")
    counts = held.group_by("split", maintain_order=True).agg(pl.len().alias("rows")).collect()
    shared = {
        "same_question": ["context", "question", "earlier"],
        "same_answer": ["answer"],
        "same_product": ["product_id"],
    }
    for name, columns in shared.items():
        key = pl.struct(columns).hash().alias("key")
        trained = (
            questions.filter(pl.col("split") == "train")
            .select(key)
            .unique()
            .collect(engine="streaming")["key"]
        )
        told = (
            held.select("split", key)
            .collect(engine="streaming")
            .group_by("split")
            .agg(pl.col("key").is_in(trained.implode()).sum().alias(name))
        )
        counts = counts.join(told, on="split", maintain_order="left")
    return counts


def every_nth(share: float) -> pl.Expr:
    """True for this share of the rows, spread evenly over all of them."""
    place = pl.int_range(pl.len())
    return ((place + 1) * share).floor() > (place * share).floor()


def round_robin(folds: int) -> pl.Expr:
    """0, 1, ..., folds - 1, 0, 1, ..."""
    return pl.int_range(pl.len()) % folds


def balanced(frame: pl.DataFrame, limit: int, seed: int) -> pl.DataFrame:
    """At most ``limit`` rows of each split, as evenly over their labels as these have rows."""
    label = pl.col("labels").list.join(";")
    drawn = frame.with_columns(order=pl.struct("text", "file", "line").hash(seed), label=label).sort("order")
    turns = drawn.with_columns(turn=pl.int_range(pl.len()).over("split", "label")).sort("turn", "label")
    return turns.filter(pl.int_range(pl.len()).over("split") < limit).drop("order", "label", "turn")
