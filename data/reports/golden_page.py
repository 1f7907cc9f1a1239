"""The page about a user's own questions: right answers by model and by kind, and every answer that was not
right.
"""

from pathlib import Path

import polars as pl

from data.markdown import markdown_table
from data.reports.page import Section, quote_text, write_page
from data.reports.tables import format_share
from data.scoring.golden import GOLDEN_VERDICTS, judge_golden

RIGHT = pl.col("verdict") == "right"


def report_golden(
    questions: pl.DataFrame,
    products: pl.DataFrame,
    answers: dict[str, list[str | None]],
    name: str,
    folder: Path,
) -> str:
    """Judge the answers of several models, the tuned one called 'tuned'; write golden.parquet and the page,
    and give the tables as text.

    Args:
        questions: of `data.questions.golden.read_golden`. name: of the tuned model, for the title.
    """
    frames = []
    for model, predictions in answers.items():
        judged = judge_golden(questions, products, predictions)
        frames.append(judged.with_columns(model=pl.lit(model)))
    every = pl.concat(frames)
    every.write_parquet(folder / "golden.parquet")
    tuned = every.filter(pl.col("model") == "tuned")
    tables = _verdict_table(every, "model"), _verdict_table(tuned, "kind")
    wrong = tuned.filter(~RIGHT).select("line", "kind", "question", "prediction", "verdict")
    rows = []
    for line, kind, *texts in wrong.rows():
        rows.append([line, kind, *(quote_text(text or "") for text in texts)])
    sections = [
        Section("Right answers", tables[0]),
        Section("By kind", tables[1]),
        Section("Not right", markdown_table(["line", "kind", "question", "answer", "verdict"], rows)),
    ]
    write_page(folder, f"Golden questions: {name}", sections)
    return "\n\n".join(tables)


def _verdict_table(judged: pl.DataFrame, by: str) -> str:
    """One row for each value of a column: n, the share of right answers, and the count of each verdict."""
    rows = []
    for (name,), part in judged.group_by(by, maintain_order=True):
        counts = dict(part.group_by("verdict").len().rows())
        shares = [part.height, format_share(part.filter(RIGHT).height, part.height)]
        rows.append([str(name), *shares, *(counts.get(verdict, 0) for verdict in GOLDEN_VERDICTS[1:])])
    header = [by, "n", "right", *(verdict.replace("_", " ") for verdict in GOLDEN_VERDICTS[1:])]
    return markdown_table(header, rows)
