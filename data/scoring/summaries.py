"""Verdicts -> figures: shares with intervals, by model, kind of question, attribute and slice."""

import polars as pl

from data.questions.phrases import CONTEXT
from data.scoring import statistics
from data.scoring.published import published_scores
from data.scoring.verdicts import DETAILS, PRODUCT_SPLITS, RIGHT_VERDICTS, SPLITS, VERDICTS, WORDINGS
from data.values import JsonObject

RIGHT = pl.col("verdict").is_in(RIGHT_VERDICTS)

RIGHT_PRODUCT = pl.col("verdict").is_in([*RIGHT_VERDICTS, "wrong_fact"])


def summarise(judged: pl.DataFrame, seed: int = 0) -> dict[str, float]:
    """Counts of the eight verdicts with n, and shares with their 95% intervals as NAME_low and NAME_high.

    accuracy: the product is right, and all that is said of it, or the decline is. right_product: the product
    or the decline is. precision:
    accuracy among the answers that name a product. answered: answers that name one. invented_rate: those that
    name one which does not exist. detail_accuracy: details that are right, among those that are stated of
    right products.
    """
    counts: dict[str, float] = {
        verdict: judged.filter(pl.col("verdict") == verdict).height for verdict in VERDICTS
    }
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
    details = (
        judged.filter(RIGHT_PRODUCT)
        .select(pl.col(f"details_{what}").list.len().sum() for what in DETAILS)
        .row(0)
    )
    stated = sum(details[:3])
    return found | {"detail_accuracy": details[0] / stated if stated else float("nan")}


def score_models(judged: pl.DataFrame, training_answers: pl.Series, seed: int) -> JsonObject:
    """``grounded``: scores of each 'model, known products' and 'model, unseen products'; ``kinds``: of the
    tuned model's answers by kind of question; ``legacy``: the published counting of each model's answers
    about known products.
    """
    grounded: dict[str, dict[str, float]] = {}
    counted: dict[str, dict[str, float]] = {}
    splits = [name for name in SPLITS if name in PRODUCT_SPLITS or name in set(judged["split"])]
    for model in judged["model"].unique(maintain_order=True):
        rows = judged.filter(pl.col("model") == model)
        for split in splits:
            grounded[f"{model}, {SPLITS[split]}"] = summarise(rows.filter(pl.col("split") == split), seed)
        counted[model] = published_scores(
            rows.filter(pl.col("split") == "test")["prediction"], training_answers
        )
    tuned = judged.filter((pl.col("model") == "tuned") & (pl.col("split") == "test"))
    kinds = {f"tuned, {kind[0]}": summarise(rows, seed) for kind, rows in sorted(tuned.group_by("kind"))}
    return {"grounded": grounded, "kinds": kinds, "legacy": counted}


def attribute_scores(judged: pl.DataFrame) -> pl.DataFrame:
    """One row an attribute: how often it was asked for and stated (asked, stated), and how it stands among
    the details of the answers that name a product of the catalogue (right, wrong, invented, missing).
    """
    asked = (
        judged.filter(pl.col("states_expected").is_not_null())
        .select(
            attribute=pl.col("conditions").list.first().struct.field("key").str.to_lowercase(),
            stated="states_expected",
        )
        .group_by("attribute")
        .agg(asked=pl.len(), stated=pl.col("stated").sum())
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


def _length_class(question: pl.Expr) -> pl.Expr:
    """Short, middling or long, by words."""
    count = question.str.count_matches(r"\S+")
    return (
        pl.when(count <= 10)
        .then(pl.lit("up to 10 words"))
        .when(count <= 20)
        .then(pl.lit("11 to 20 words"))
        .otherwise(pl.lit("over 20"))
    )


def slice_scores(judged: pl.DataFrame, least: int) -> pl.DataFrame:
    """Accuracy by kind of question, known or unseen product, category and length: slice, n, right, the worst
    first.

    Args:
        least: questions that a slice must hold, to say anything.
    """
    by = {
        "kind": pl.col("kind"),
        "products": pl.col("split").replace(SPLITS),
        "category": pl.col("context").str.strip_prefix(CONTEXT).replace("", "none"),
        "length": _length_class(pl.col("question")),
    }
    parts = [
        judged.group_by(slice=pl.format("{}: {}", pl.lit(name), value)).agg(n=pl.len(), right=RIGHT.sum())
        for name, value in by.items()
    ]
    return pl.concat(parts).filter(pl.col("n") >= least).sort(pl.col("right") / pl.col("n"), "slice")


def error_examples(judged: pl.DataFrame, count: int, seed: int = 0) -> dict[str, pl.DataFrame]:
    """For each verdict but the right one: up to ``count`` answers, drawn by the seed, those of different
    kinds of question in turn.
    """
    found = {}
    for verdict in VERDICTS[len(RIGHT_VERDICTS) :]:
        rows = (
            judged.filter(pl.col("verdict") == verdict)
            .with_columns(order=pl.struct("product_id", "question").hash(seed))
            .sort("order")
        )
        turns = rows.with_columns(turn=pl.int_range(pl.len()).over("kind")).sort("turn", "kind")
        found[verdict] = turns.head(count).drop("order", "turn")
    return {verdict: rows for verdict, rows in found.items() if rows.height}


def _headline_figures(scores: JsonObject) -> dict[str, float]:
    """The few figures that runs are compared by."""
    known, unseen = (scores["grounded"][f"tuned, {part}"] for part in PRODUCT_SPLITS.values())
    published = scores["legacy"]["tuned"]
    worded = scores["grounded"].get(f"tuned, {WORDINGS}")
    others = {} if worded is None else {"unseen_wordings_accuracy": worded["accuracy"]}
    return {
        "accuracy": known["accuracy"],
        "right_product": known["right_product"],
        "unseen_accuracy": unseen["accuracy"],
        "invented": known["invented_rate"],
        "legacy_accuracy": published["accuracy"],
        "legacy_precision": published["precision"],
        **others,
    }


def _text_figures(scores: JsonObject) -> dict[str, float]:
    """Each metric of the tuned model's answers to instructions, as SPLIT/METRIC."""
    figures: dict[str, float] = {}
    for name, values in scores["texts"].items():
        model, split = name.rsplit(", ", 1)
        if model == "tuned":
            figures |= {f"{split}/{metric}": float(values[metric]) for metric in scores["metrics"]}
    return figures


def results_of(scores: JsonObject) -> tuple[JsonObject, dict[str, float]]:
    """(what a run's results keep of its scores, the figures among them by name; those of a split as
    SPLIT/NAME)
    """
    if "splits" not in scores:
        figures = _headline_figures(scores) if "grounded" in scores else _text_figures(scores)
        return figures, figures
    by_split: dict[str, float] = {}
    for split, values in scores["splits"].items():
        by_split |= {f"{split}/{name}": value for name, value in values.items() if isinstance(value, float)}
    return {"scores": scores["splits"]}, by_split
