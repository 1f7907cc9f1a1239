"""Scores -> tables in Markdown: of answers (published and grounded), of labels, of several runs side by
side.
"""

import math

import polars as pl

from data.markdown import markdown_table
from data.scoring import statistics
from data.scoring.verdicts import PRODUCT_SPLITS, VERDICTS, WORDINGS
from data.values import JsonObject

Scores = dict[str, dict[str, float]]


def format_share(count: float, n: float) -> str:
    """A share in per cent with its 95% interval (Wilson)."""
    return format_interval(count / n, *statistics.wilson(count, n)) if n else "-"


def format_interval(value: float, low: float, high: float) -> str:
    """A share in per cent with the ends of its interval."""
    return "-" if math.isnan(value) else f"{100 * value:.1f}% [{100 * low:.1f}, {100 * high:.1f}]"


def in_points(d: statistics.Difference | statistics.MeanDifference, unit: str) -> str:
    """A difference in points of a hundred with its interval, on so many questions or rows."""
    return f"{100 * d.value:+.1f} points [{100 * d.low:+.1f}, {100 * d.high:+.1f}] on {d.n} {unit}"


def evaluation_text(scores: JsonObject) -> str:
    """The tables that an evaluation prints."""
    return "\n\n".join(
        [answers_table(scores["grounded"]), _verdicts_table(scores), legacy_table(scores["legacy"])]
    )


def answers_table(grounded: Scores) -> str:
    """One row a model, from the scores of 'model, known products' and 'model, unseen products'."""
    header = ["model", "n", "accuracy, known products", "right product", "precision", "answered", "invented"]
    header += ["n", "accuracy, unseen products", "right product", "invented"]
    has_wordings = f"tuned, {WORDINGS}" in grounded
    if has_wordings:
        header += ["n", f"accuracy, {WORDINGS}", "invented"]
    rows: list[list[object]] = []
    for model in dict.fromkeys(name.rsplit(", ", 1)[0] for name in grounded):
        known, unseen = (grounded[f"{model}, {part}"] for part in PRODUCT_SPLITS.values())
        cells = [model, int(known["n"]), figure_with_interval(known, "accuracy")]
        cells += [float(known[key]) for key in ("right_product", "precision", "answered", "invented_rate")]
        cells += [
            int(unseen["n"]),
            figure_with_interval(unseen, "accuracy"),
            float(unseen["right_product"]),
            float(unseen["invented_rate"]),
        ]
        if has_wordings:
            other = grounded[f"{model}, {WORDINGS}"]
            cells += [int(other["n"]), figure_with_interval(other, "accuracy"), float(other["invented_rate"])]
        rows.append(cells)
    return markdown_table(header, rows)


def _verdicts_table(scores: JsonObject) -> str:
    """The eight verdicts of the tuned model's answers, which sum to n: known and unseen products, and the
    kinds of question.
    """
    parts = {name: s for name, s in scores["grounded"].items() if name.startswith("tuned, ")} | scores[
        "kinds"
    ]
    header = [
        "answers",
        "n",
        *(v.replace("_", " ") for v in VERDICTS),
        "accuracy",
        "right product",
        "details right",
    ]
    rows: list[list[object]] = []
    for name, s in parts.items():
        shares = [
            figure_with_interval(s, "accuracy"),
            figure_with_interval(s, "right_product"),
            float(s["detail_accuracy"]),
        ]
        rows.append([name, int(s["n"]), *(int(s.get(verdict, 0)) for verdict in VERDICTS), *shares])
    return markdown_table(header, rows)


def legacy_table(scores: Scores) -> str:
    """The published table."""
    header = [
        "published counting",
        "training size",
        "test size",
        "true positives",
        "false positives",
        "no product details",
    ]
    keys = ["training_size", "test_size", "true_positives", "false_positives", "no_product_details"]
    rows: list[list[object]] = []
    for name, s in scores.items():
        counts = [int(s[key]) for key in keys]
        rows.append([name, *counts, float(s["accuracy"]), float(s["precision"])])
    return markdown_table([*header, "legacy accuracy", "legacy precision"], rows)


def runs_table(runs: list[JsonObject]) -> str:
    """One row a run, in the given order, for the end of a sweep."""
    evaluated = {
        "accuracy": "accuracy, known products",
        "unseen_accuracy": "unseen",
        "right_product": "right product",
    }
    present = set().union(*runs)
    shown = {key: name for key, name in evaluated.items() if key in present}
    rows: list[list[object]] = []
    for run in runs:
        settings = [run["name"], str(run["lora_r"]), f"{run['learning_rate']:g}", int(run["steps"])]
        figures = [float(run.get(key, float("nan"))) for key in shown]
        rows.append([*settings, f"{run['validation']:.4f}", *figures])
    return markdown_table(
        ["run", "r", "learning rate", "steps", f"validation {runs[0]['monitor']}", *shown.values()], rows
    )


def figure_with_interval(scores: JsonObject, name: str) -> str:
    """A figure in per cent with its 95% interval, which stands beside it as NAME_low and NAME_high."""
    return format_interval(scores[name], scores[f"{name}_low"], scores[f"{name}_high"])


def scores_table(parts: dict[str, JsonObject], headline: str, model: str) -> str:
    """One row for each split and slice: n, the headline figure with its interval, and what else is usual."""
    first = next(iter(parts.values()))
    others = [
        name
        for name in ("accuracy", "f1", "macro_f1", "micro_f1", "weighted_f1", "macro_f1_with_none")
        if name in first
    ]
    others = [name for name in others if name != headline]
    header = [model, "n", headline.replace("_", " "), *(name.replace("_", " ") for name in others)]
    rows: list[list[object]] = []
    for name, s in parts.items():
        figures = [float(s[other]) for other in others]
        rows.append([name, int(s["n"]), figure_with_interval(s, headline), *figures])
    return markdown_table(header, rows)


def calibration_table(splits: dict[str, JsonObject]) -> str:
    """One row a split: the expected calibration error of its decisions."""
    rows: list[list[object]] = []
    for split, figures in splits.items():
        decisions = sum(count for count, _, _ in figures["bins"])
        rows.append([split, decisions, f"{100 * figures['ece']:.1f}"])
    return markdown_table(["calibration", "decisions", "expected error, points"], rows)


def classes_table(classes: dict[str, dict[str, float]], split: str) -> str:
    """One row a label: how often it is true and predicted, precision, recall, F1."""
    rows = [
        [name, int(s["rows"]), int(s["predictions"]), s["precision"], s["recall"], s["f1"]]
        for name, s in classes.items()
    ]
    return markdown_table([f"{split}, by label", "true", "predicted", "precision", "recall", "f1"], rows)


def confusion_table(counts: list[list[float]], labels: list[str], split: str) -> str:
    """True labels down, predicted ones across."""
    rows = [[label, *map(round, row)] for label, row in zip(labels, counts, strict=True)]
    return markdown_table([f"{split}, true \\ predicted", *labels], rows)


def checks_table(judged: pl.DataFrame) -> str:
    """Pass rate of each kind of behavioural check, and what failed."""
    rows: list[list[object]] = []
    for (kind,), some in judged.group_by("kind", maintain_order=True):
        failed = some.filter(~pl.col("passed"))
        shown = "; ".join(
            f"{row['text']!r} -> {row['predicted']}" for row in failed.head(3).iter_rows(named=True)
        )
        rows.append(
            [
                str(kind),
                some.height,
                some.height - failed.height,
                format_share(some.height - failed.height, some.height),
                shown,
            ]
        )
    return markdown_table(["behavioural checks", "n", "passed", "pass rate", "failed, for example"], rows)


def split_name(row: JsonObject) -> str:
    """What was predicted: a split, or the folds of a cross-validation together."""
    return f"{row['folds']} folds" if row["folds"] else str(row["split"])


def models_table(rows: list[JsonObject]) -> str:
    """One row for each data set, split and model."""
    header = ["data", "split", "model", "n", "figure", "value", "accuracy", "macro f1", "trained in"]
    cells = [
        [
            row["data"],
            split_name(row),
            row["model"],
            int(row["n"]),
            row["headline"].replace("_", " "),
            figure_with_interval(row, row["headline"]),
            float(row["accuracy"]),
            float(row["macro_f1"]),
            f"{row['seconds']:.0f} s",
        ]
        for row in rows
    ]
    return markdown_table(header, cells)
