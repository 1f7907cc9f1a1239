"""Predicted labels -> what a person reads: tables, pictures and figures of one model, and of finished runs
side by side.
"""

import json
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from data.reports import charts, page, tables
from data.reports.evaluated_runs import EvaluatedRun
from data.scoring import label_metrics
from data.scoring.calibration import calibration
from data.values import JsonObject


@dataclass(frozen=True)
class LabelTask:
    """Whose predictions these are, and how they are scored."""

    model: str
    labels: list[str]
    multi_label: bool
    headline: str  # the figure that heads tables and charts
    seed: int


def headline_metric(monitor: str) -> str:
    """The figure that heads the tables of a run that watched ``monitor``."""
    return "accuracy" if monitor == "loss" else monitor


def split_slices(rows: pl.DataFrame, slices: dict[str, str]) -> dict[str, pl.DataFrame]:
    """Name -> the rows for which the slice's SQL condition holds. Raises ValueError for a condition that
    cannot be read.
    """
    found = {}
    for name, condition in slices.items():
        try:
            found[name] = rows.filter(pl.sql_expr(condition))
        except (pl.exceptions.PolarsError, TypeError) as error:
            columns = ", ".join(rows.columns)
            raise ValueError(
                f"evaluation.slices.{name}: {str(error).splitlines()[0]} (columns: {columns})"
            ) from None
    return found


def report_rows(
    task: LabelTask, rows: pl.DataFrame, slices: dict[str, str], folder: Path
) -> tuple[JsonObject, list[str]]:
    """(scores, tables) of each split of the rows and each slice of it; pictures go into ``folder``.

    Args:
        rows: split, labels, predicted, and what the slices look at.
    """
    splits, parts, sections = {}, {}, []
    calibrated: dict[str, JsonObject] = {}
    for (split,), some in rows.group_by("split", maintain_order=True):
        splits[str(split)] = parts[str(split)] = label_metrics.score(
            some, task.labels, task.multi_label, task.seed
        )
        for name, slice_rows in split_slices(some, slices).items():
            if slice_rows.height:
                parts[f"{split}, {name}"] = label_metrics.score(
                    slice_rows, task.labels, task.multi_label, task.seed
                )
        calibrated[str(split)] = calibration(some, task.labels, task.multi_label)
        sections += _report_split(task, some, str(split), folder)
    bins = {split: figures["bins"] for split, figures in calibrated.items()}
    charts.reliability_chart(bins, task.model, folder / "reliability.png")
    whole = tables.scores_table(parts, task.headline, task.model)
    scores = {"headline": task.headline, "splits": splits, "parts": parts, "calibration": calibrated}
    return scores, [whole, *sections, tables.calibration_table(calibrated)]


def _report_split(task: LabelTask, rows: pl.DataFrame, split: str, folder: Path) -> list[str]:
    """The table by label and the confusion matrix of one split, both drawn too."""
    matrix = label_metrics.confusion(rows, task.labels, task.multi_label).tolist()
    names = [*task.labels, *(["none"] if task.multi_label else [])]
    classes = label_metrics.by_class(rows, task.labels)
    title = f"{task.model}, {split}"
    charts.confusion_chart(matrix, names, title, folder / f"confusion_{split}.png")
    true = [s["rows"] for s in classes.values()]
    given = [s["predictions"] for s in classes.values()]
    charts.distribution_chart(true, given, task.labels, title, folder / f"labels_{split}.png")
    return [tables.classes_table(classes, split), tables.confusion_table(matrix, names, split)]


def write_report(
    runs: list[EvaluatedRun], folder: Path, verdict: str = "", incumbent: EvaluatedRun | None = None
) -> str:
    """Write report.md and report.html of one classifier; its tables. The charts of its evaluation lie in
    ``folder``.

    Args:
        verdict: of the gate. incumbent: is named there.
    """
    (run,) = runs
    text = str(run.scores["text"])
    pictures = "\n\n".join(f"![{path.stem}]({path.name})" for path in sorted(folder.glob("*.png")))
    sections = [page.Section("Scores", text), page.Section("Charts", pictures)]
    if verdict:
        sections.insert(0, page.Section("Verdict", verdict))
    page.write_page(folder, f"{run.name} on {run.scores['origin']['data']['name']}", sections)
    return text


def compare_models(folders: list[Path], target: Path) -> str:
    """Finished runs side by side: a row for each data set and model, of test rows where there are any, else
    of validation rows.

    A bar chart goes into ``target``.

    Of several runs of one model on the same data the last one counts; the folds of a cross-validation are put
    together, so that every row is predicted once. Raises ValueError if there is nothing to compare.
    """
    kept: dict[tuple[str, str, int], dict[int, tuple[Path, JsonObject]]] = {}
    for folder in folders:
        done = json.loads((folder / "results.json").read_text(encoding="utf-8"))
        if "scores" in done:
            fold, folds = done["fold"]
            kept.setdefault((done["data"], done["model"], folds), {})[fold if folds else 0] = folder, done
    rows = [row for (_, _, folds), runs in kept.items() for row in _model_scores(runs, folds)]
    if not rows:
        raise ValueError(
            "there is no finished run of a classifier to compare: python train.py +experiment=tags"
            " model=tfidf data.path=..."
        )
    rows.sort(key=lambda row: (row["data"], row["folds"], row["split"], -row[row["headline"]]))
    panels: dict[str, list[tuple[str, float, float, float]]] = {}
    for row in rows:
        name = row["headline"]
        bar = (row["model"], row[name], row[f"{name}_low"], row[f"{name}_high"])
        panels.setdefault(f"{row['data']}, {tables.split_name(row)}: {name.replace('_', ' ')}", []).append(
            bar
        )
    target.mkdir(parents=True, exist_ok=True)
    charts.models_chart(list(panels.items()), target / "models.png")
    return tables.models_table(rows)


def write_comparison(folders: list[Path], title: str, target: Path) -> str:
    """Write finished runs side by side as a page into ``target``; their table."""
    text = compare_models(folders, target)
    body = f"{text}\n\n![All models with 95% intervals](models.png)"
    page.write_page(target, title, [page.Section("Models", body)])
    return text


def _model_scores(runs: dict[int, tuple[Path, JsonObject]], folds: int) -> list[JsonObject]:
    """One model's runs on one data set (its folds, or a single one) -> scores of each split."""
    frame = pl.concat(
        [pl.read_parquet(folder / "predictions.parquet") for folder, _ in runs.values()],
        how="diagonal_relaxed",
    )
    folder, done = next(iter(runs.values()))
    record = json.loads((folder / "model" / "run.json").read_text(encoding="utf-8"))
    several = record["origin"]["data"]["label_kind"] == "multiple"
    labels = record["labels"] if "labels" in record else record["model"]["head"]["labels"]
    common = {
        "data": done["data"],
        "model": done["model"],
        "headline": headline_metric(done["monitor"]),
        "folds": len(runs) if folds else 0,
    }
    common["seconds"] = sum(one["seconds"] for _, one in runs.values())
    return [
        {**common, "split": str(split), **label_metrics.score(some, labels, several, 0)}
        for (split,), some in frame.group_by("split", maintain_order=True)
        if not (
            split == "validation" and "test" in frame["split"]
        )  # by these rows the model was chosen; others tell what it is worth
    ]
