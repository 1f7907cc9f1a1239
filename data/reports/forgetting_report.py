"""What a tuned model has forgotten, as a table and as criteria of the gate."""

import math

from data import markdown
from data.reports.criteria import Criterion
from data.reports.page import Section
from data.scoring.forgetting import LOSS
from data.values import JsonObject

NOTE = """Loss in nats a token, or errors on a task, on rows that the model was not tuned for; a rise means
that it is worse there than its base. In brackets 95% intervals, paired row by row."""


def _rise_in_words(row: JsonObject) -> str:
    """The rise with its interval."""
    return f"{row['rise']:+.3f} [{row['rise_low']:+.3f}, {row['rise_high']:+.3f}]"


def forgetting_table(found: list[JsonObject]) -> str:
    """A row for each file and task."""
    rows: list[list[object]] = []
    for row in found:
        means = [f"{row[model]:.3f}" for model in ("base", "tuned")]
        of_row = [row["name"], row.get("figure", LOSS), row["rows"]]
        rows.append([*of_row, *means, _rise_in_words(row), f"{row['p']:.2g}"])
    return markdown.markdown_table(["general text", "figure", "rows", "base", "tuned", "rise", "p"], rows)


def sections(scores: JsonObject) -> list[Section]:
    """The table as a part of a page; none where no file is named."""
    found = scores.get("general")
    return [Section("General text", f"{forgetting_table(found)}\n\n{NOTE}")] if found else []


def criteria(scores: JsonObject, most: float) -> list[Criterion]:
    """That no loss rises by more than ``most`` nats a token, and no share of errors by more than ``most``, by
    the upper end; 0: any rise is allowed.
    """
    found = []
    for row in scores.get("general", []):
        name = f"general text, {row['name']}"
        unit = " nats" if row.get("figure", LOSS) == LOSS else ""
        if not most:
            found.append(Criterion(name, True, f"{_rise_in_words(row)}{unit}: no maximum is set"))
            continue
        high = float(row["rise_high"])
        passed = math.isfinite(high) and high <= most
        compared = "at most" if passed else "above"
        words = f"{_rise_in_words(row)}{unit}: the upper end is {compared} {most:g}"
        found.append(Criterion(name, passed, words))
    if most and not found:
        found.append(
            Criterion("general text", False, "evaluation.general names no file, so there is no figure")
        )
    return found
