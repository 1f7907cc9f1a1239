"""Questions -> train, validation, test and unseen; and what leaks from training into the others, counted."""

import polars as pl


def unseen_products(products: pl.DataFrame, fraction: float, seed: int) -> pl.Series:
    """Ids of products kept out of training altogether. Products of one name stay together, so that no twin gives them away."""
    names = products.select("name").unique().with_columns(order=pl.col("name").hash(seed)).sort("order", "name")
    held_out = names.head(int(names.height * fraction))
    return products.join(held_out, on="name", how="semi")["id"]


def split_questions(questions: pl.DataFrame, unseen: pl.Series, validation: float, test: float, seed: int) -> pl.DataFrame:
    """Add the column ``split``: unseen products apart, the other questions in shares by a seeded order.

    The same question, asked about several products, stays together, so that none of the test stands in training; one about an unseen
    product that is asked about a seen one, too (a search that fits both), is left out: it would be no question about the unseen.

    Args:
        validation, test: shares of the questions about seen products; training gets the rest.
    """
    same = ["context", "question"]
    apart = pl.col("product_id").is_in(unseen.implode())
    first = pl.struct(pl.col("product_id").min().over(same), "question")
    seen = questions.filter(~apart).with_columns(order=first.hash(seed)).sort("order", "question").with_row_index("place")
    ends = [round(seen.height * validation), round(seen.height * (validation + test))]
    place = pl.col("place").min().over(same)
    name = pl.when(place < ends[0]).then(pl.lit("validation")).when(place < ends[1]).then(pl.lit("test"))
    seen = seen.with_columns(split=name.otherwise(pl.lit("train"))).drop("order", "place")
    away = questions.filter(apart).join(seen.select(same).unique(), on=same, how="anti", maintain_order="left")
    return pl.concat([seen, away.with_columns(split=pl.lit("unseen"))])


def leakage(questions: pl.DataFrame) -> pl.DataFrame:
    """For each split but train: rows, and how many of them share a question, an answer or a product with training."""
    train = questions.filter(pl.col("split") == "train")
    shared = {
        "same_question": pl.struct("context", "question").is_in(train.select(pl.struct("context", "question")).to_series().implode()),
        "same_answer": pl.col("answer").is_in(train["answer"].implode()),
        "same_product": pl.col("product_id").is_in(train["product_id"].implode()),
    }
    others = questions.filter(pl.col("split") != "train").with_columns(**shared)
    return others.group_by("split", maintain_order=True).agg(pl.len().alias("rows"), pl.col(shared.keys()).sum())


def every_nth(share: float) -> pl.Expr:
    """True for this share of the rows, spread evenly over all of them."""
    place = pl.int_range(pl.len())
    return ((place + 1) * share).floor() > (place * share).floor()


def in_turn(folds: int) -> pl.Expr:
    """0, 1, ..., folds - 1, 0, 1, ..."""
    return pl.int_range(pl.len()) % folds


def balanced(frame: pl.DataFrame, limit: int, seed: int) -> pl.DataFrame:
    """At most ``limit`` rows of each split, as evenly over their labels as these have rows."""
    label = pl.col("labels").list.join(";")
    drawn = frame.with_columns(order=pl.struct("text", "file", "line").hash(seed), label=label).sort("order")
    turns = drawn.with_columns(turn=pl.int_range(pl.len()).over("split", "label")).sort("turn", "label")
    return turns.filter(pl.int_range(pl.len()).over("split") < limit).drop("order", "label", "turn")
