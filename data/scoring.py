"""Answers -> verdicts, by looking them up in the catalogue; and the published counting, kept beside it as ``legacy_*``.

Each answer gets one of six verdicts, so the classes sum to n:

    right_facts    the product named is one that was asked for, and all that is said of it agrees with the catalogue
    wrong_fact     the product is right; a detail is wrong or invented, or the value asked for is not in the sentence
    wrong_product  a product of the catalogue, but not one that was asked for
    invented       a product that the catalogue does not have
    no_details     no product is named
    failed         there is no answer: the request failed
"""

import polars as pl

from data.questions import GOES_WITH

VERDICTS = ("right_facts", "wrong_fact", "wrong_product", "invented", "no_details", "failed")
NAME = r"Product Name:[ \t]*([^\n]*)"
DETAIL = r"(?m)^[ \t]*-[ \t]*([^:\n]+?)[ \t]*:[ \t]*([^\n]*?)[ \t]*$"


def norm(text: pl.Expr) -> pl.Expr:
    """Case and spacing do not make another product or another value."""
    return text.str.to_lowercase().str.replace_all(r"\s+", " ").str.strip_chars()


def judge(questions: pl.DataFrame, products: pl.DataFrame) -> pl.DataFrame:
    """Add ``named`` (the product that the answer names, or null), ``facts_right`` and ``facts_told`` (counts) and ``verdict``.

    Args:
        questions: product_id, kind, wanted, told, and ``prediction`` (null where the request failed).
        products: what `data.questions.products_for_questions` gives.
    """
    details = pl.col("prediction").str.extract_all(DETAIL).list.eval(norm(pl.element().str.replace(DETAIL, "$1\u0001$2")))
    asked = products.select(product_id="id", asked_name=norm(pl.col("name")), asked_shelf="shelf", asked_garment="garment")
    asked = asked.join(products.select(product_id="id", asked_category="category"), on="product_id")
    rows = (
        questions.with_row_index("row")
        .with_columns(named=pl.col("prediction").str.extract(NAME).str.strip_chars().replace("", None), details=details)
        .join(asked, on="product_id", how="left", maintain_order="left")
    )
    candidates = rows.with_columns(key=norm(pl.col("named"))).join(lookup(products), on="key", how="left")
    best = (
        candidates.with_columns(right=is_right())
        .with_columns(facts_right=pl.col("details").list.set_intersection("true_facts").list.len(), facts_told=pl.col("details").list.len())
        .sort("row", "right", "facts_right", descending=[False, True, True], nulls_last=True)
        .unique("row", keep="first", maintain_order=True)
    )
    sentence = norm(pl.col("prediction").str.split("Product Name:").list.first())
    told = pl.col("told").is_null() | sentence.str.contains(norm(pl.col("told")), literal=True)
    sound = (pl.col("facts_right") == pl.col("facts_told")) & told
    verdict = (
        pl.when(pl.col("prediction").is_null())
        .then(pl.lit("failed"))
        .when(pl.col("named").is_null())
        .then(pl.lit("no_details"))
        .when(pl.col("candidate").is_null())
        .then(pl.lit("invented"))
        .when(~pl.col("right").fill_null(False))
        .then(pl.lit("wrong_product"))
        .when(sound)
        .then(pl.lit("right_facts"))
        .otherwise(pl.lit("wrong_fact"))
    )
    verdicts = best.select("row", "named", "facts_right", "facts_told", verdict=verdict)
    return questions.with_row_index("row").join(verdicts, on="row", maintain_order="left").drop("row")


def lookup(products: pl.DataFrame) -> pl.DataFrame:
    """The catalogue by name: one row a product, with all that can be said of it as 'key\\u0001value'."""
    pair = pl.element().struct
    facts = pl.col("facts").list.eval(norm(pl.concat_str(pair.field("key"), pl.lit("\u0001"), pair.field("value"))))
    own = [norm(pl.concat_str(pl.lit(f"{k}\u0001"), pl.col(c))) for k, c in (("Shelf", "shelf"), ("Brand", "brand"))]
    return products.select(
        key=norm(pl.col("name")),
        candidate="id",
        candidate_shelf="shelf",
        candidate_category="category",
        candidate_garment="garment",
        true_facts=facts,
        searchable=pl.concat_list(facts, *own).list.drop_nulls(),
    )


def is_right() -> pl.Expr:
    """Whether the candidate is a product that the question asked for."""
    pair = pl.element().struct
    wanted = pl.col("wanted").list.eval(norm(pl.concat_str(pair.field("key"), pl.lit("\u0001"), pair.field("value"))))
    has_all = wanted.list.set_difference("searchable").list.len() == 0
    other = pl.col("key") != pl.col("asked_name")
    partners = pl.col("asked_garment").replace_strict(GOES_WITH, default=None, return_dtype=pl.List(pl.String))
    goes = partners.list.contains(pl.col("candidate_garment")) & (pl.col("candidate_category") == pl.col("asked_category"))
    same_shelf = (pl.col("candidate_shelf") == pl.col("asked_shelf")) & (pl.col("candidate_category") == pl.col("asked_category"))
    return (
        pl.when(pl.col("kind") == "attribute")
        .then(~other)
        .when(pl.col("kind") == "search")
        .then(has_all)
        .when(pl.col("kind") == "alternative")
        .then(other & same_shelf)
        .otherwise(other & goes)
    )


def summarise(judged: pl.DataFrame) -> dict[str, float]:
    """Counts of the six verdicts with n, and shares: right product, right facts (of all, and of the facts told)."""
    n = judged.height
    counts: dict[str, float] = {verdict: judged.filter(pl.col("verdict") == verdict).height for verdict in VERDICTS}
    right = counts["right_facts"] + counts["wrong_fact"]
    answered = judged.filter(pl.col("verdict").is_in(["right_facts", "wrong_fact"]))
    told = int(answered["facts_told"].sum())
    return {
        "n": n,
        **counts,
        "right_product_rate": right / n if n else float("nan"),
        "right_facts_rate": counts["right_facts"] / n if n else float("nan"),
        "fact_accuracy": int(answered["facts_right"].sum()) / told if told else float("nan"),
    }


def legacy(predictions: pl.Series, training_answers: pl.Series) -> dict[str, float]:
    """The published counting: true if the name given is a substring of ANY training answer; so any product will do.

    accuracy = TP / total, precision = TP / (TP + FP).
    """
    names = predictions.str.extract(NAME).str.strip_chars().replace("", None)
    corpus = "\u0001".join(training_answers.to_list())
    distinct = names.drop_nulls().unique()
    known = [name for name in distinct if name in corpus]
    true = int(names.is_in(known).sum())
    missing = int(names.is_null().sum())
    false = len(names) - true - missing
    return {
        "training_size": len(training_answers),
        "test_size": len(predictions),
        "true_positives": true,
        "false_positives": false,
        "no_product_details": missing,
        "accuracy": true / len(predictions) if len(predictions) else float("nan"),
        "precision": true / (true + false) if true + false else float("nan"),
    }
