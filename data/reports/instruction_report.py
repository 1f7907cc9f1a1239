"""Judged answers of models trained on instructions -> tables and a page: one run, or several side by side."""

from pathlib import Path

import polars as pl

from data import markdown
from data.reports import forgetting_report, page, speed_report, tables
from data.reports.evaluated_runs import EvaluatedRun, side_by_side
from data.reports.page import Section, quote_text
from data.scoring import statistics, text_metrics
from data.scoring.instruction_baselines import BASELINES
from data.scoring.statistics import MeanDifference
from data.values import JsonObject

EXAMPLES = 8  # answers on the page, the worst first
NOTE = """Means of scores from 0 to 1 in per cent; in brackets 95% intervals (bootstrap over rows; of scores
that are 0 or 1 at least Wilson's). exact_match and token_f1 count words as SQuAD does; chrf counts
n-grams of characters; number compares the last number, json the value, where the reference has one.
nearest-answer: the answer to the training question most like it. untuned: the base as it is;
untuned-shots: with training conversations before the question."""


def headline(run: EvaluatedRun) -> str:
    """The metric that decides."""
    return str(run.scores["metrics"][0])


def difference(run: EvaluatedRun, other: EvaluatedRun, model: str) -> MeanDifference:
    """The tuned model's headline score minus that of a model of another run, on the rows that decide.
    Raises ValueError if they share no row.
    """
    split = run.deciding_split
    tuned, rival = (rows.filter(pl.col("split") == split) for rows in (run.tuned, other.rows))
    return text_metrics.paired(tuned, rival.filter(pl.col("model") == model), headline(run))


def answers_table(scores: JsonObject) -> str:
    """A row for each model and split, a column for each metric."""
    rows: list[list[object]] = []
    for name, figures in scores["texts"].items():
        cells = [tables.figure_with_interval(figures, metric) for metric in scores["metrics"]]
        rows.append([name, int(figures["n"]), *cells, int(figures["failed"])])
    table = markdown.markdown_table(["answers", "n", *scores["metrics"], "failed"], rows)
    agreement = scores.get("agreement")
    return f"{table}\n\njudge: {agreement}." if agreement else table


def runs_table(runs: list[EvaluatedRun]) -> str:
    """A row for each run: its validation figure and its metrics on the rows that decide."""
    rows: list[list[object]] = []
    for run in runs:
        split = run.deciding_split
        figures = run.scores["texts"][f"tuned, {split}"]
        cells = [tables.figure_with_interval(figures, metric) for metric in run.scores["metrics"]]
        rows.append([run.name, run.validation, split, int(figures["n"]), *cells])
    return markdown.markdown_table(["run", "validation", "rows", "n", *runs[0].scores["metrics"]], rows)


def differences_table(best: EvaluatedRun, others: list[EvaluatedRun]) -> str:
    """The best run against its baselines and the other runs, p by Holm's method."""
    split = best.deciding_split
    rivals = [(name, best, name) for name in BASELINES if f"{name}, {split}" in best.scores["texts"]]
    rivals += [(other.name, other, "tuned") for other in others]
    if not rivals:
        return "There is nothing to compare with."
    found = [difference(best, other, model) for _, other, model in rivals]
    adjusted = statistics.holm([d.p for d in found])
    rows: list[list[object]] = []
    for (name, _, _), d, p in zip(rivals, found, adjusted, strict=True):
        rows.append([name, tables.in_points(d, "rows"), f"{p:.2g}"])
    return markdown.markdown_table([f"{headline(best)}, {split}: {best.name} minus", "difference", "p"], rows)


def _examples_table(run: EvaluatedRun) -> str:
    """Answers of the tuned model, the worst first."""
    rows = run.tuned.filter(pl.col("split") == run.deciding_split).sort(headline(run), nulls_last=True)
    shown = rows.head(EXAMPLES).select("question", "reference", "prediction", headline(run)).rows()
    cells: list[list[object]] = []
    for question, reference, prediction, score in shown:
        cells.append([*(quote_text(text or "(failed)") for text in (question, reference, prediction)), score])
    return markdown.markdown_table(["question", "reference", "answer", headline(run)], cells)


def write_report(
    runs: list[EvaluatedRun], folder: Path, verdict: str = "", incumbent: EvaluatedRun | None = None
) -> str:
    """Write report.md and report.html; the table of the runs. Arguments: see
    `data.reports.comparison.write_report`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    runs, best, others = side_by_side(runs, incumbent)
    table = runs_table(runs)
    sections = [
        Section("Runs", f"{table}\n\n{NOTE}"),
        Section("Baselines", answers_table(best.scores)),
        Section("Differences on the same rows", differences_table(best, others)),
        Section("Examples", _examples_table(best), folded=True),
    ]
    sections += [*speed_report.sections(best.scores), *forgetting_report.sections(best.scores)]
    if verdict:
        sections.insert(0, Section("Verdict", verdict))
    title = f"{best.scores['origin']['data']['name']}: {', '.join(run.name for run in runs)}"
    page.write_page(folder, title, sections)
    return table
