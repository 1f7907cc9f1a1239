"""Sections of the report page: charts, parameters, cost, weaknesses, errors, leakage, provenance."""

from pathlib import Path

import polars as pl

from data import markdown
from data.reports import charts, tables
from data.reports.evaluated_runs import EvaluatedRun
from data.reports.page import Section, quote_text
from data.scoring import summaries, verdicts
from data.scoring.lookups import BASELINES

MIN_SLICE_ROWS = 10  # questions that a slice must hold

SLICES_SHOWN = 12  # slices that are shown

EXAMPLES_SHOWN = 20  # answers shown of each wrong verdict

DIGESTS = {"data_digest": "digest of the data", "trained_on": "digest of the training data"}
DIGESTS |= {"model_digest": "digest of the model"}


def accuracy_chart(runs: list[EvaluatedRun], best: EvaluatedRun, folder: Path) -> str:
    """Accuracy of every job, and of what the best must beat, with intervals."""
    panels = []
    for part in verdicts.SPLITS.values():
        scores = [(run.name, run.scores["grounded"].get(f"tuned, {part}")) for run in runs]
        rivals = [(name, best.scores["grounded"].get(f"{name}, {part}")) for name in BASELINES]
        shown = [
            (n, s["accuracy"], s["accuracy_low"], s["accuracy_high"])
            for n, s in scores + rivals
            if s and s["n"]
        ]
        if shown:
            panels.append((f"accuracy, {part}", shown))
    charts.bars_chart(panels, {run.name for run in runs}, folder / "accuracy.png")
    return "![Accuracy of jobs and baselines, with 95% intervals](accuracy.png)"


def learning_curves(runs: list[EvaluatedRun], folder: Path) -> str:
    """Training and validation loss of all jobs, by step; '' where nothing was recorded."""
    curves = {}
    for run in runs:
        train = [(m["step"], m["train/loss"]) for m in run.metrics if "train/loss" in m]
        validation = [(m["step"], m["validation/loss"]) for m in run.metrics if "validation/loss" in m]
        if train or validation:
            curves[run.name] = (train, validation)
    if not curves:
        return ""
    charts.curves_chart(curves, folder / "curves.png")
    return "![Loss of every job in training and validation](curves.png)"


def parameters_table(runs: list[EvaluatedRun]) -> str:
    """Settings in which the runs differ, side by side."""
    settings = [run.scores["origin"]["settings"] for run in runs]
    rows: list[list[object]] = []
    for key in sorted(set().union(*settings)):
        if len({str(one.get(key)) for one in settings}) > 1:
            rows.append([key, *(quote_text(one.get(key, "-"), 80) for one in settings)])
    if not rows:
        return "The runs have the same settings."
    return markdown.markdown_table(["parameter", *(run.name for run in runs)], rows)


def cost_table(runs: list[EvaluatedRun]) -> str:
    """Steps, tokens, time and memory of training, and the time of prediction."""
    rows: list[list[object]] = []
    for run in runs:
        r, made = run.results, run.scores["made"]
        trained = (
            [f"{r['steps']:,}", f"{r['tokens']:,}", f"{r['seconds']:.0f} s", f"{r['peak_gib']:.2f} GiB"]
            if "tokens" in r
            else ["-"] * 4
        )
        speed = f"{made['questions'] / made['seconds']:.1f}" if made["seconds"] else "-"
        rows.append(
            [
                run.name,
                *trained,
                f"{made['questions']:,} in {made['seconds']:.0f} s",
                speed,
                f"{made['backend']}: {made['why']}",
            ]
        )
    header = [
        "job",
        "steps",
        "tokens",
        "training",
        "peak memory",
        "questions answered",
        "a second",
        "back end",
    ]
    return markdown.markdown_table(header, rows) + "\n\nAnswers that were kept from before cost no time."


def weakness_section(best: EvaluatedRun) -> str:
    """The worst slices and every attribute of the best run."""
    parts = [f"Worst slices of {best.name}:\n\n{_slices_table(best)}"]
    suggestions, attributes = _suggestions_table(best), _attributes_table(best)
    if suggestions:
        parts.append(f"Suggestions:\n\n{suggestions}")
    if attributes:
        parts.append(f"Attributes, in the sentence and among the details:\n\n{attributes}")
    return "\n\n".join(parts)


def _slices_table(best: EvaluatedRun) -> str:
    """The worst slices in Markdown."""
    slices = summaries.slice_scores(best.tuned, MIN_SLICE_ROWS).head(SLICES_SHOWN)
    rows: list[list[object]] = [
        [quote_text(row["slice"]), row["n"], tables.format_share(row["right"], row["n"])]
        for row in slices.iter_rows(named=True)
    ]
    if not rows:
        return f"No slice holds {MIN_SLICE_ROWS} questions."
    return markdown.markdown_table(["slice", "n", "accuracy"], rows)


def _attributes_table(best: EvaluatedRun) -> str:
    """How often each attribute is right, in the sentence and among the details; empty if none was asked."""
    rows: list[list[object]] = []
    for row in summaries.attribute_scores(best.tuned).iter_rows(named=True):
        answered = tables.format_share(row["stated"], row["asked"])
        details = [row[what] for what in verdicts.DETAILS]
        rows.append([quote_text(row["attribute"]), row["asked"], answered, *details])
    header = ["attribute", "asked", "stated right", "detail right", "wrong", "invented", "missing"]
    return markdown.markdown_table(header, rows) if rows else ""


def _suggestions_table(best: EvaluatedRun) -> str:
    """How many suggested products exist and fit, by kind of question; empty if there were none."""
    rows: list[list[object]] = []
    for kind in ("alternative", "outfit", "search"):
        some = best.tuned.filter(pl.col("kind") == kind)
        if some.height:
            counts = [int(some[name].sum()) for name in ("exists", "fits")]
            shares = [tables.format_share(count, some.height) for count in counts]
            rows.append([kind, some.height, *shares])
    return markdown.markdown_table(["kind", "n", "exists", "fits"], rows) if rows else ""


def error_sections(best: EvaluatedRun) -> list[Section]:
    """Answers of each wrong verdict, to be read."""
    found = []
    for verdict, rows in summaries.error_examples(best.tuned, EXAMPLES_SHOWN).items():
        cells: list[list[object]] = [
            [
                row["kind"],
                quote_text(row["question"]),
                quote_text(row["answer"], 240),
                quote_text(row["prediction"] or "(no answer)", 240),
            ]
            for row in rows.iter_rows(named=True)
        ]
        whole = best.tuned.filter(pl.col("verdict") == verdict).height
        title = f"Errors: {verdict.replace('_', ' ')} ({rows.height} of {whole})"
        found.append(
            Section(
                title,
                markdown.markdown_table(["kind", "question", "wanted, for example", "answered"], cells),
                folded=True,
            )
        )
    return found


def leakage_table(best: EvaluatedRun) -> str:
    """What of each split stands in training, too."""
    rows = [
        [row["split"], row["rows"], row["same_question"], row["same_answer"], row["same_product"]]
        for row in best.scores["leakage"]
    ]
    note = (
        "Known products have other questions in training, and several questions may have one answer; no"
        " question may stand in both."
    )
    return (
        markdown.markdown_table(
            ["split", "rows", "question in training", "answer in training", "product in training"], rows
        )
        + f"\n\n{note}"
    )


def _retrieval_text(retrieval: dict[str, int] | None) -> str:
    """How many rows of the catalogue stand in a prompt, and for how many test questions one answers."""
    if not retrieval:
        return "none"
    return "{rows}; one of them answers {found} of {questions} test questions".format(**retrieval)


def provenance(runs: list[EvaluatedRun]) -> str:
    """Hardware, versions, commits, digests."""
    header = ["", *(run.name for run in runs)]
    kinds = dict.fromkeys(key for run in runs for key in run.scores["machine"])
    rows: list[list[object]] = []
    for kind in kinds:
        rows.append([kind, *(str(run.scores["machine"].get(kind, "-")) for run in runs)])
    for key, name in DIGESTS.items():
        rows.append([name, *(str(run.scores[key]) for run in runs)])
    rows.append(["rows in the prompt", *(_retrieval_text(run.scores.get("retrieval")) for run in runs)])
    rows.append(["base", *(str(run.scores["origin"]["settings"]["model.base"]) for run in runs)])
    rows.append(["commit", *(str(run.results.get("commit", "-"))[:19] for run in runs)])
    rows.append(["finished", *(str(run.results.get("finished", "-")) for run in runs)])
    rows.append(["folder", *(str(run.folder) for run in runs)])
    return markdown.markdown_table(header, rows)
