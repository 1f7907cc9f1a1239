"""Evaluate a classifier: label rows, score them, run behavioural checks, write tables, charts and
predictions.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

import polars as pl

from data.files import write_json
from data.reports import label_report, tables
from data.scoring import behaviour
from data.values import JsonObject, Settings

if TYPE_CHECKING:
    from torch import Tensor

Classified: TypeAlias = "tuple[Tensor, Tensor]"  # (probabilities, decisions of 0 and 1), (texts, labels) each
Classify = Callable[[list[str]], Classified]


@dataclass(frozen=True)
class LabelModel:
    """A classifier: its name, the metric that heads its tables, what it does with texts, and an explanation.

    explain: what it has learnt, or what its predictions so far cost, in words; called after the predictions.
    """

    name: str
    headline: str
    classify: Classify
    explain: Callable[[], str]

    @classmethod
    def of(cls, origin: Settings, classify: Classify, explain: Callable[[], str]) -> "LabelModel":
        """The classifier of a run with that origin."""
        return cls(origin["name"], label_report.headline_metric(origin["monitor"]), classify, explain)


class _LabelData(Protocol):
    """What evaluation needs of prepared texts with labels."""

    settings: Settings
    labels: list[str]
    multi_label: bool
    seed: int
    report: JsonObject

    def rows_of(self, split: str) -> pl.DataFrame:
        """Rows of a split."""
        ...

    def texts(self, raw: list[str]) -> list[str]:
        """Typed texts, cleaned as those of the table are."""
        ...


def _label_rows(model: LabelModel, labels: list[str], rows: pl.DataFrame) -> pl.DataFrame:
    """Add ``predicted`` (names) and ``probabilities`` (in the order of the labels) to rows with ``text``."""
    probabilities, decisions = model.classify(rows["text"].to_list())
    names = []
    for row in decisions.tolist():
        names.append([label for label, given in zip(labels, row, strict=True) if given])
    return rows.with_columns(
        predicted=pl.Series(names, dtype=pl.List(pl.String)),
        probabilities=pl.Series(probabilities.tolist(), dtype=pl.List(pl.Float64)),
    )


def read_checks(data: _LabelData, settings: Settings, rows: pl.DataFrame) -> list[behaviour.Check]:
    """The behavioural checks. Raises ValueError for invalid ones, and for slices that such rows cannot be
    filtered by.
    """
    label_report.split_slices(rows.clear(), settings["slices"])
    return behaviour.read_checks(Path(settings["checks"]), data.labels) if settings["checks"] else []


def _run_checks(model: LabelModel, data: _LabelData, checks: list[behaviour.Check]) -> pl.DataFrame:
    """The checks with what was predicted, and whether they passed."""
    texts: dict[str, None] = {}
    for check in checks:
        texts |= {check[key]: None for key in ("text", "changed") if key in check}
    frame = pl.DataFrame({"text": data.texts(list(texts))})
    predicted = _label_rows(model, data.labels, frame)["predicted"]
    names = predicted.list.join("; ").replace("", "none").to_list()
    return behaviour.judge_checks(checks, dict(zip(texts, names, strict=True)))


def evaluate_labels(
    model: LabelModel,
    data: _LabelData,
    settings: Settings,
    folder: Path,
    facts: JsonObject,
    other: pl.DataFrame | None = None,
) -> JsonObject:
    """Label the validation and test rows (or ``other`` ones) and write predictions, charts and scores.json
    into ``folder``; the scores, with tables as ``text``.

    Args:
        settings: fields of the configuration group `evaluation`: slices, checks. facts: what the scores say
        of model and data beside the figures.
    """
    rows = pl.concat([data.rows_of("validation"), data.rows_of("test")]) if other is None else other
    checks = read_checks(data, settings, rows)
    rows = _label_rows(model, data.labels, rows).with_columns(model=pl.lit(model.name))
    rows.write_parquet(folder / "predictions.parquet")
    task = label_report.LabelTask(model.name, data.labels, data.multi_label, model.headline, data.seed)
    scores, sections = label_report.report_rows(task, rows, settings["slices"], folder)
    if checks:
        judged = _run_checks(model, data, checks)
        judged.write_parquet(folder / "checks.parquet")
        by_kind = judged.group_by("kind", maintain_order=True)
        scores["checks"] = dict(by_kind.agg(pl.col("passed").mean()).rows())
        sections.append(tables.checks_table(judged))
    explanation = model.explain()
    if explanation:
        sections.insert(0, explanation)
    scores |= {"name": model.name, "labels": data.labels, "multi_label": data.multi_label} | facts
    scores |= {"leakage": data.report["also_in_train"], "text": "\n\n".join(sections)}
    write_json(folder / "scores.json", scores)
    return scores


class TextLabeller:
    """What `mlflow.pyfunc.load_model` returns of a registered classifier: a table with a column text -> a
    dictionary for each row, with its labels and the probability of every label.
    """

    def __init__(self, model: LabelModel, data: _LabelData) -> None:
        self.model, self.data = model, data

    def predict(self, table: Any, params: JsonObject | None = None) -> list[JsonObject]:
        """Label each row. table: a pandas or Polars frame."""
        texts = self.data.texts([str(text) for text in table["text"]])
        labelled = _label_rows(self.model, self.data.labels, pl.DataFrame({"text": texts}))
        answers = []
        for labels, probabilities in labelled.select("predicted", "probabilities").rows():
            named = dict(zip(self.data.labels, probabilities, strict=True))
            answers.append({"labels": labels, "probabilities": named})
        return answers


def describe_text(model: LabelModel, data: _LabelData, text: str) -> str:
    """One text -> its label (or labels), and how probable each one is."""
    probabilities, decisions = model.classify(data.texts([text]))
    given = zip(data.labels, decisions[0].tolist(), strict=True)
    names = [label for label, decided in given if decided]
    order = sorted(zip(probabilities[0].tolist(), data.labels, strict=True), reverse=True)
    lines = [f"{100 * share:6.2f}%  {label}" for share, label in order]
    return "\n".join([f"label: {'; '.join(names) or 'none'}", *lines])
