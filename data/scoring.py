"""Answers -> verdicts, by looking them up in the catalogue; and the published counting, kept beside it as ``legacy_*``.

Each answer gets one of six verdicts, so the classes sum to n:

    right_facts    the product named is one that was asked for, and all that is said of it agrees with the catalogue
    wrong_fact     the product is right; a detail is wrong or invented, or the value asked for is not in the sentence
    wrong_product  a product of the catalogue, but not one that was asked for
    invented       a product that the catalogue does not have
    no_details     no product is named
    failed         there is no answer: the request failed
"""

from typing import Any

import polars as pl

from data import statistics
from data.questions import GOES_WITH

VERDICTS = ("right_facts", "wrong_fact", "wrong_product", "invented", "no_details", "failed")
NAME = r"Product Name:[ \t]*([^\n]*)"
SPLITS = {"test": "known products", "unseen": "unseen products"}
DETAILS = ("right", "wrong", "invented", "missing")
RIGHT = pl.col("verdict") == "right_facts"
RIGHT_PRODUCT = pl.col("verdict").is_in(["right_facts", "wrong_fact"])
TEXTS_AT_ONCE = 4096  # training answers that are searched at a time
DETAIL = r"(?m)^[ \t]*-[ \t]*([^:\n]+?)[ \t]*:[ \t]*([^\n]*?)[ \t]*$"


def norm(text: pl.Expr) -> pl.Expr:
    """Case and spacing do not make another product or another value."""
    return text.str.to_lowercase().str.replace_all(r"\s+", " ").str.strip_chars()


def judge(questions: pl.DataFrame, products: pl.DataFrame) -> pl.DataFrame:
    """Add what the answer names and tells, and its verdict.

    named: the product, or null. exists: whether the catalogue has it; fits: whether it was asked for. told: whether the sentence holds
    the value asked for (null where none was). details_right, details_wrong, details_invented: attributes in the answer that agree with
    the row of the product named, that do not, that the row has not; details_missing: those that a full answer would show, but this
    one does not. verdict: one of `VERDICTS`.

    Args:
        questions: product_id, kind, wanted, told, and ``prediction`` (null where the request failed).
        products: what `data.questions.products_for_questions` gives.
    """
    asked = products.select(product_id="id", asked_name=norm(pl.col("name")), asked_shelf="shelf", asked_garment="garment")
    asked = asked.join(products.select(product_id="id", asked_category="category"), on="product_id")
    rows = (
        questions.rename({"told": "value"})
        .with_row_index("row")
        .with_columns(named=name_of(pl.col("prediction")), details=pairs_of(pl.col("prediction")).list.unique(maintain_order=True))
        .join(asked, on="product_id", how="left", maintain_order="left")
    )
    candidates = rows.with_columns(key=norm(pl.col("named"))).join(lookup(products), on="key", how="left")
    best = (
        candidates.with_columns(fits=is_right())
        .with_columns(right=pl.col("details").list.set_intersection("true_facts"))
        .sort("row", "fits", pl.col("right").list.len(), descending=[False, True, True], nulls_last=True)
        .unique("row", keep="first", maintain_order=True)
    )
    rest = pl.col("details").list.set_difference("true_facts")
    found = best.with_columns(
        exists=pl.col("exists").fill_null(False),
        fits=pl.col("fits").fill_null(False),
        told=holds(pl.col("prediction").str.split("Product Name:").list.first(), pl.col("value"), pl.col("asked_name")),
        details_right=keys_of(pl.col("right")),
        details_wrong=keys_of(rest).list.set_intersection(keys_of(pl.col("true_facts"))),
        details_invented=keys_of(rest).list.set_difference(keys_of(pl.col("true_facts"))),
        details_missing=keys_of(pl.col("shown")).list.set_difference(keys_of(pl.col("details"))),
    )
    sound = (rest.list.len() == 0) & pl.col("told").fill_null(True)
    verdict = (
        pl.when(pl.col("prediction").is_null())
        .then(pl.lit("failed"))
        .when(pl.col("named").is_null())
        .then(pl.lit("no_details"))
        .when(~pl.col("exists"))
        .then(pl.lit("invented"))
        .when(~pl.col("fits"))
        .then(pl.lit("wrong_product"))
        .when(sound)
        .then(pl.lit("right_facts"))
        .otherwise(pl.lit("wrong_fact"))
    )
    details = [f"details_{what}" for what in DETAILS]
    verdicts = found.select("row", "named", "exists", "fits", "told", *details, verdict=verdict)
    answered = questions.rename({"told": "value"}).with_row_index("row")
    return answered.join(verdicts, on="row", maintain_order="left").drop("row")


def name_of(answer: pl.Expr) -> pl.Expr:
    """What stands after 'Product Name:', or null."""
    return answer.str.extract(NAME).str.strip_chars().replace("", None)


def pairs_of(answer: pl.Expr) -> pl.Expr:
    """The lines '- key: value' of an answer, as 'key\\u0001value'."""
    return answer.str.extract_all(DETAIL).list.eval(norm(pl.element().str.replace(DETAIL, "$1\u0001$2")))


def keys_of(pairs: pl.Expr) -> pl.Expr:
    """The keys of 'key\\u0001value', each once."""
    return pairs.list.eval(pl.element().str.split("\u0001").list.first()).list.unique(maintain_order=True)


def words(text: pl.Expr) -> pl.Expr:
    """Words with a space before and after each, so that one text stands in another only as whole words."""
    return pl.concat_str(pl.lit(" "), text.str.to_lowercase().str.replace_all(r"[^\p{L}\p{N}]+", " ").str.strip_chars(), pl.lit(" "))


def holds(sentence: pl.Expr, value: pl.Expr, name: pl.Expr) -> pl.Expr:
    """Whether the sentence holds the value as whole words, outside the product's name (which may hold it, too)."""
    without = norm(sentence).str.split(name).list.join(" . ")
    return words(without).str.contains(words(value), literal=True)


def lookup(products: pl.DataFrame) -> pl.DataFrame:
    """The catalogue by name: one row for each name and what can be said of it, as 'key\\u0001value'."""
    pair = pl.element().struct
    facts = pl.col("facts").list.eval(norm(pl.concat_str(pair.field("key"), pl.lit("\u0001"), pair.field("value"))))
    own = [norm(pl.concat_str(pl.lit(f"{k}\u0001"), pl.col(c))) for k, c in (("Shelf", "shelf"), ("Brand", "brand"))]
    rows = products.select(
        key=norm(pl.col("name")),
        exists=pl.lit(True),
        candidate_shelf="shelf",
        candidate_category="category",
        candidate_garment="garment",
        true_facts=facts,
        shown=pairs_of(pl.col("block")),
        searchable=pl.concat_list(facts, *own).list.drop_nulls(),
    )
    return rows.unique([name for name in rows.columns if name != "shown"], keep="first", maintain_order=True)


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
        pl.when(pl.col("kind").is_in(["attribute", "open"]))
        .then(~other)
        .when(pl.col("kind") == "search")
        .then(has_all)
        .when(pl.col("kind") == "alternative")
        .then(other & same_shelf)
        .otherwise(other & goes)
    )


def summarise(judged: pl.DataFrame, seed: int = 0) -> dict[str, float]:
    """Counts of the six verdicts with n, and shares with their 95% intervals as NAME_low and NAME_high.

    accuracy: the product is right, and all that is said of it. right_product: the product is. precision: accuracy among the answers that
    name a product. answered: answers that name one. invented_rate: those that name one which does not exist. detail_accuracy: details
    that are right, among those that are told of right products.
    """
    counts: dict[str, float] = {verdict: judged.filter(pl.col("verdict") == verdict).height for verdict in VERDICTS}
    named = judged.filter(pl.col("named").is_not_null())
    shares = {
        "accuracy": statistics.rate(judged, RIGHT, seed),
        "right_product": statistics.rate(judged, RIGHT_PRODUCT, seed),
        "precision": statistics.rate(named, RIGHT, seed),
        "answered": statistics.rate(judged, pl.col("named").is_not_null(), seed),
        "invented_rate": statistics.rate(judged, pl.col("verdict") == "invented", seed),
    }
    found: dict[str, float] = {"n": judged.height, **counts}
    for name, share in shares.items():
        found |= {name: share.value, f"{name}_low": share.low, f"{name}_high": share.high}
    details = judged.filter(RIGHT_PRODUCT).select(pl.col(f"details_{what}").list.len().sum() for what in DETAILS).row(0)
    told = sum(details[:3])
    return found | {"detail_accuracy": details[0] / told if told else float("nan")}


def of_models(judged: pl.DataFrame, training_answers: pl.Series, seed: int) -> dict[str, Any]:
    """``grounded``: scores of each 'model, known products' and 'model, unseen products'; ``kinds``: of the tuned model's answers by kind
    of question; ``legacy``: the published counting of each model's answers about known products."""
    grounded: dict[str, dict[str, float]] = {}
    counted: dict[str, dict[str, float]] = {}
    for model in judged["model"].unique(maintain_order=True):
        rows = judged.filter(pl.col("model") == model)
        for split, name in SPLITS.items():
            grounded[f"{model}, {name}"] = summarise(rows.filter(pl.col("split") == split), seed)
        counted[model] = legacy(rows.filter(pl.col("split") == "test")["prediction"], training_answers)
    tuned = judged.filter((pl.col("model") == "tuned") & (pl.col("split") == "test"))
    kinds = {f"tuned, {kind[0]}": summarise(rows, seed) for kind, rows in sorted(tuned.group_by("kind"))}
    return {"grounded": grounded, "kinds": kinds, "legacy": counted}


def attributes(judged: pl.DataFrame) -> pl.DataFrame:
    """One row an attribute: how often it was asked for and told (asked, told), and how it stands among the details of the answers that
    name a product of the catalogue (right, wrong, invented, missing)."""
    asked = (
        judged.filter(pl.col("told").is_not_null())
        .select(attribute=pl.col("wanted").list.first().struct.field("key").str.to_lowercase(), told="told")
        .group_by("attribute")
        .agg(asked=pl.len(), told=pl.col("told").sum())
    )
    parts = [
        judged.filter(pl.col("exists")).select(attribute=pl.col(f"details_{what}")).explode("attribute").drop_nulls()
        .group_by("attribute").agg(pl.len().alias(what))
        for what in DETAILS
    ]  # fmt: skip
    whole = asked
    for part in parts:
        whole = whole.join(part, on="attribute", how="full", coalesce=True)
    return whole.fill_null(0).sort(pl.col("asked") + pl.col("right"), "attribute", descending=[True, False])


def length_of(question: pl.Expr) -> pl.Expr:
    """Short, middling or long, by words."""
    count = question.str.count_matches(r"\S+")
    return pl.when(count <= 10).then(pl.lit("up to 10 words")).when(count <= 20).then(pl.lit("11 to 20 words")).otherwise(pl.lit("over 20"))


def slices(judged: pl.DataFrame, least: int) -> pl.DataFrame:
    """Accuracy by kind of question, known or unseen product, category and length: slice, n, right, the worst first.

    Args:
        least: questions that a slice must hold, to say anything.
    """
    by = {
        "kind": pl.col("kind"),
        "products": pl.col("split").replace(SPLITS),
        "category": pl.col("context").str.strip_prefix("Online shopping for "),
        "length": length_of(pl.col("question")),
    }
    parts = [
        judged.group_by(slice=pl.format("{}: {}", pl.lit(name), value)).agg(n=pl.len(), right=RIGHT.sum()) for name, value in by.items()
    ]
    return pl.concat(parts).filter(pl.col("n") >= least).sort(pl.col("right") / pl.col("n"), "slice")


def examples(judged: pl.DataFrame, count: int, seed: int = 0) -> dict[str, pl.DataFrame]:
    """For each verdict but the right one: up to ``count`` answers, drawn by the seed, those of different kinds of question in turn."""
    found = {}
    for verdict in VERDICTS[1:]:
        rows = judged.filter(pl.col("verdict") == verdict).with_columns(order=pl.struct("product_id", "question").hash(seed)).sort("order")
        turns = rows.with_columns(turn=pl.int_range(pl.len()).over("kind")).sort("turn", "kind")
        found[verdict] = turns.head(count).drop("order", "turn")
    return {verdict: rows for verdict, rows in found.items() if rows.height}


def legacy(predictions: pl.Series, training_answers: pl.Series) -> dict[str, float]:
    """The published counting: true if the name given is a substring of ANY training answer; so any product will do.

    accuracy = TP / total, precision = TP / (TP + FP).
    """
    names = pl.DataFrame({"prediction": predictions}).select(name_of(pl.col("prediction")))["prediction"]
    known = occurring(names.drop_nulls().unique(), training_answers.unique())
    true = int(names.is_in(known.implode()).sum())
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


def occurring(names: pl.Series, texts: pl.Series) -> pl.Series:
    """Those of the names that are a substring of one of the texts.

    Most are the name that a text itself gives. The others are searched for all at once (Aho and Corasick 1975,
    doi.org/10.1145/360825.360855), in one piece of the texts after the other, and no more once they are found.
    """
    told = pl.DataFrame({"text": texts}).select(name_of(pl.col("text")))["text"].drop_nulls().unique()
    at_once = names.is_in(told.implode())
    found, left = [names.filter(at_once)], names.filter(~at_once)
    for start in range(0, len(texts), TEXTS_AT_ONCE):
        if not len(left):
            break
        piece = texts.slice(start, TEXTS_AT_ONCE)
        here = piece.str.extract_many(left.implode(), overlapping=True).explode().drop_nulls().unique()
        found.append(here)
        left = left.filter(~left.is_in(here.implode()))
    return pl.concat(found)
