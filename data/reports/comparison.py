"""Runs that answered questions about a catalogue -> one page: which is best, whether that is real, and what
it must beat.

The best job is chosen by its validation figure, before anything is known of the test questions; these only
tell what it is worth.
"""

from pathlib import Path

import polars as pl

from data import markdown
from data.reports import forgetting_report, page, speed_report, tables
from data.reports.evaluated_runs import EvaluatedRun, ask_the_same, side_by_side
from data.reports.page import Section
from data.reports.sections import (
    accuracy_chart,
    cost_table,
    error_sections,
    leakage_table,
    learning_curves,
    parameters_table,
    provenance,
    weakness_section,
)
from data.scoring import statistics, summaries, verdicts
from data.scoring.lookups import BASELINES


def write_report(
    runs: list[EvaluatedRun], folder: Path, verdict: str = "", incumbent: EvaluatedRun | None = None
) -> str:
    """Write report.md, report.html and their charts into ``folder``; the table of the runs.

    Args:
        verdict: of the gate, in Markdown. incumbent: the model in use, to compare with.
    """
    folder.mkdir(parents=True, exist_ok=True)
    runs, best, others = side_by_side(runs, incumbent)
    table = _jobs_table(runs)
    findings = "\n".join(f"- {line}" for line in _in_words(best, others, runs))
    published = tables.legacy_table({run.name: run.scores["legacy"]["tuned"] for run in runs})
    sections = [
        Section("Verdict", f"{findings}\n\n{verdict}" if verdict else findings),
        Section("Jobs", f"{table}\n\n{JOBS_NOTE}"),
        Section("As published", f"{published}\n\n{LEGACY_NOTE}"),
        Section("Accuracy", accuracy_chart(runs, best, folder)),
    ]
    curves = learning_curves(runs, folder)
    if curves:
        sections.append(Section("Learning curves", curves))
    baselines = tables.answers_table(best.scores["grounded"])
    sections += [
        Section("Baselines", f"{baselines}\n\n{BASELINES_NOTE}"),
        Section("Differences on the same questions", differences_table(best, others)),
    ]
    if len(runs) > 1:
        sections.append(Section("Parameters that differ", parameters_table(runs)))
    sections += [Section("Cost", cost_table(runs)), Section("Where it is weak", weakness_section(best))]
    sections += [*speed_report.sections(best.scores), *forgetting_report.sections(best.scores)]
    sections += error_sections(best)
    sections += [Section("Leakage", leakage_table(best)), Section("What was run", provenance(runs))]
    title = f"{best.scores['origin']['data']['name']}: {', '.join(run.name for run in runs)}"
    page.write_page(folder, title, sections)
    return table


SIGNIFICANT = 0.05  # p, after Holm's correction

JOBS_NOTE = """Accuracy: the product is right, and all that the answer says of it. In brackets 95%
intervals: the wider of Wilson's and a bootstrap over products. An arrow stands where a job differs from
the first one by more than chance (p < 5%, paired, Holm)."""

LEGACY_NOTE = """Counted as published: an answer is true if the name it gives occurs in any training
answer, whatever was asked; so always naming one product is right every time. Kept for comparison with
the published table."""

BASELINES_NOTE = """same-product: one answer to everything. exact: the row of the product whose name is
in the question. tfidf: the row most like the question. nearest-answer: the answer to the training
question most like it. rules: keywords and fuzzy names, as an engineer would write in a day. untuned: the
base as it is; with the row that tfidf finds, or training examples, in its prompt."""


def _in_words(best: EvaluatedRun, others: list[EvaluatedRun], runs: list[EvaluatedRun]) -> list[str]:
    """The page in a few sentences."""
    known = best.scores["grounded"]["tuned, known products"]
    how = (
        f"best of {len(runs)} by validation {best.results['monitor']}"
        if len(runs) > 1 and best.results
        else "judged here"
    )
    unseen = best.scores["grounded"]["tuned, unseen products"]
    lines = [
        f"**{best.name}** ({how}): accuracy {tables.figure_with_interval(known, 'accuracy')} of"
        f" {int(known['n'])} questions about known products, "
        f"{tables.figure_with_interval(unseen, 'accuracy')} of {int(unseen['n'])} about products it"
        f" never met; "
        f"{int(known['invented'] + unseen['invented'])} products invented."
    ]
    rivals = [
        (name, best.rows.filter(pl.col("model") == name)) for name in BASELINES if name in best.rows["model"]
    ]
    if rivals:
        name, rows = max(rivals, key=lambda pair: pair[1].select(summaries.RIGHT.mean()).item() or 0)
        lines.append(
            f"Best baseline, **{name}**:"
            f" {describe_difference(statistics.paired(best.tuned, rows, summaries.RIGHT))}"
        )
        for kind in _kinds_lost(best.tuned, rows):
            lines.append(f"Questions of the kind *{kind}* are answered better by {name}.")
    compared = [(run, statistics.paired(best.tuned, run.tuned, summaries.RIGHT)) for run in others]
    for (run, d), p in zip(compared, statistics.holm([d.p for _, d in compared]), strict=True):
        lines.append(f"Against {run.name}: {describe_difference(d, p)}")
    return lines


def _kinds_lost(tuned: pl.DataFrame, rival: pl.DataFrame) -> list[str]:
    """Kinds of question at which the rival is better by more than chance (Holm over the kinds)."""
    kinds = sorted(set(tuned["kind"]))
    of_kind = [pl.col("kind") == kind for kind in kinds]
    found = [statistics.paired(tuned.filter(same), rival.filter(same), summaries.RIGHT) for same in of_kind]
    adjusted = statistics.holm([d.p for d in found])
    return [kind for kind, d, p in zip(kinds, found, adjusted, strict=True) if d.value < 0 and p < 0.05]


def describe_difference(d: statistics.Difference, p: float | None = None) -> str:
    """A difference in words."""
    p = d.p if p is None else p
    sure = (
        "more than chance"
        if p < 0.05
        else f"could be chance; about {d.needed[1]:,} questions would tell 2 points apart"
    )
    return f"{tables.in_points(d, 'questions')}, p = {p:.2g}: {sure}."


def _jobs_table(runs: list[EvaluatedRun]) -> str:
    """One row a job: figures with intervals, and an arrow where it differs from the first job by more than
    chance.
    """
    arrows = _change_arrows(runs)
    header = ["job", "validation", "accuracy, known products", "", "accuracy, unseen products"]
    header += ["right product", "precision", "answered", "invented"]
    rows: list[list[object]] = []
    for run in runs:
        parts = verdicts.PRODUCT_SPLITS.values()
        known, unseen = (run.scores["grounded"][f"tuned, {part}"] for part in parts)
        accuracies = [tables.figure_with_interval(part, "accuracy") for part in (known, unseen)]
        shares = [float(known[key]) for key in ("right_product", "precision", "answered", "invented_rate")]
        compared = [accuracies[0], arrows.get(run.name, ""), accuracies[1]]
        rows.append([run.name, run.validation, *compared, *shares])
    return markdown.markdown_table(header, rows)


def _change_arrows(runs: list[EvaluatedRun]) -> dict[str, str]:
    """Run -> an arrow, for each that differs from the first one by more than chance on the same questions."""
    first = runs[0]
    comparable = [run for run in runs[1:] if ask_the_same(run, first)]
    differences = [statistics.paired(run.tuned, first.tuned, summaries.RIGHT) for run in comparable]
    levels = statistics.holm([difference.p for difference in differences])
    arrows = {}
    for run, difference, level in zip(comparable, differences, levels, strict=True):
        if level < SIGNIFICANT:
            arrows[run.name] = "▲" if difference.value > 0 else "▼"
    return arrows


def differences_table(best: EvaluatedRun, others: list[EvaluatedRun]) -> str:
    """The best against the other jobs, the incumbent, and each baseline."""
    rivals = [(run.name, run.tuned) for run in others]
    rivals += [
        (name, best.rows.filter(pl.col("model") == name)) for name in BASELINES if name in best.rows["model"]
    ]
    if not rivals:
        return "There is nothing to compare with."
    found = [(name, statistics.paired(best.tuned, rows, summaries.RIGHT)) for name, rows in rivals]
    adjusted = statistics.holm([d.p for _, d in found])
    header = [
        f"{best.name} against",
        "n",
        "difference, points",
        "right alone",
        "wrong alone",
        "p",
        "p (Holm)",
        "n for 2 points",
        "for 1 point",
    ]
    rows: list[list[object]] = []
    for (name, d), p in zip(found, adjusted, strict=True):
        difference = f"{100 * d.value:+.1f} [{100 * d.low:+.1f}, {100 * d.high:+.1f}]"
        rows.append(
            [name, d.n, difference, d.only_a, d.only_b, f"{d.p:.2g}", f"{p:.2g}", d.needed[1], d.needed[0]]
        )
    note = (
        "Accuracy on the same questions. p: permutation by product. The last columns: questions that"
        " would tell so small a difference."
    )
    return f"{markdown.markdown_table(header, rows)}\n\n{note}"
