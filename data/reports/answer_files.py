"""The judged answers of a run as files: predictions.parquet, and judged.json, a table that MLflow's page can
filter by verdict.
"""

import json
from pathlib import Path

import polars as pl

JUDGED = "judged.json"
FIRST_COLUMNS = ["model", "split", "kind", "verdict", "question", "prediction", "answer"]
MAX_ROWS = 5000  # of judged.json, which a browser loads as a whole


def write_answers(judged: pl.DataFrame, folder: Path) -> None:
    """Write the judged answers of all models.

    judged.json has the first of `FIRST_COLUMNS` that there are, and the scores of instructions, in the form
    of pandas' ``orient="split"``, as MLflow reads tables.
    """
    judged.write_parquet(folder / "predictions.parquet")
    first = [name for name in FIRST_COLUMNS if name in judged.columns]
    scores = [name for name, kind in judged.schema.items() if kind.is_float() and name not in first]
    table = judged.select(*first, *scores).head(MAX_ROWS)
    content = json.dumps({"columns": table.columns, "data": table.rows()}, ensure_ascii=False)
    (folder / JUDGED).write_text(content, encoding="utf-8")
