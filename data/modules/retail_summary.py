"""What the log says of a prepared catalogue: counts, what was set aside or changed, and what leaks."""

import logging
from pathlib import Path

from data.modules import agreement
from data.questions import filters
from data.values import JsonObject

log = logging.getLogger(__name__)


def log_prepared(report: JsonObject, token_report: JsonObject, folder: Path) -> None:
    """Log the reports of a catalogue and of its token rows.

    Args:
        folder: where the catalogue is prepared, with the tables of what was set aside.
    """
    for name, count in report["counts"]:
        log.info("%7d  %s", count, name)
    for reason, count in report["quarantined"]:
        log.warning("%7d  set aside: %s (%s)", count, reason, folder / "quarantine.parquet")
    for reason, count in report["written_set_aside"]:
        path = folder / "questions_set_aside.parquet"
        log.warning("%7d  written questions set aside: %s (%s)", count, reason, path)
    for what, count in report["written_repaired"]:
        log.info("%7d  written questions repaired: %s", count, what)
    for verdict, count in report["disagreeing"]:
        path = folder / agreement.SET_ASIDE
        log.warning("%7d  questions set aside: their own answer is judged %s (%s)", count, verdict, path)
    agreement.log_changed(token_report["train"])
    filters.log_filters(report["quality"], folder)
    log.info("questions: %s", ", ".join(f"{count} {name}" for name, count in report["splits"]))
    for row in report["leakage"]:
        log.info(
            "leakage: of %d %s rows %d share a question with training, %d an answer, %d a product",
            row["rows"], row["split"], row["same_question"], row["same_answer"], row["same_product"],
        )  # fmt: skip


def set_aside(report: JsonObject, folder: Path) -> str:
    """What was set aside of a table, for a message that too little is left; '' if nothing was."""
    reasons = [f"{count} rows: {reason}" for reason, count in report["quarantined"]]
    rows = "; ".join(reasons)
    return f". Set aside ({folder / 'quarantine.parquet'}): {rows}" if rows else ""
