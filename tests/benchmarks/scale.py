"""python -m tests.benchmarks.scale flipkart_com-ecommerce_sample.csv [ROWS ...]: a table of 5.8 million rows
through the preparation.

The table is made of the given one's rows, again and again, with fresh ids and perturbed names and
descriptions. Each size is prepared (cleaned, filtered, questions, splits) by a process of its own. Writes
results/scale.md: rows a second and peak memory.
"""

import os
import re
import sys
import tempfile
from pathlib import Path
from typing import Any

import polars as pl

from data.markdown import markdown_table
from tests.benchmarks.around import measured

SIZES = [20_000, 200_000, 2_000_000, 5_800_000]
RESULTS = Path(__file__).parent / "results" / "scale.md"
PREPARE = """
import json, sys, time
from dataclasses import asdict
from pathlib import Path
from evaluate import open_data
from tests.conftest import typed
config = typed("data=flipkart", f"data.path={sys.argv[1]}", *sys.argv[3:])
origin = {"data": asdict(config.data), "seed": config.seed}
data = open_data(origin, config.model.base, Path(sys.argv[2]))
begun = time.perf_counter()
report = json.loads((data.prepared_folder() / "report.json").read_text())
seconds = time.perf_counter() - begun
counts = dict(report["counts"])
last, questions = report["counts"][-1][1], sum(count for _, count in report["splits"])
print("RESULT", seconds, counts["rows in the table"], last, questions)
"""


def make(source: Path, rows: int, target: Path) -> None:
    """So many rows into a CSV file."""
    frame = pl.read_csv(source, infer_schema=False)
    with target.open("wb") as file:
        for copy in range(-(-rows // frame.height)):
            number = pl.lit(copy)
            changed = frame.with_columns(
                uniq_id=pl.format("{}-{}", "uniq_id", number),
                product_name=pl.format("{} {}", "product_name", number),
                description=pl.format("{} Article {}.", "description", number),
            )
            changed.head(rows - copy * frame.height).write_csv(file, include_header=copy == 0)


def main() -> None:
    """Measure each size, write the table."""
    sizes = [int(number) for number in sys.argv[2:]] or SIZES
    lines: list[list[Any]] = []
    for size in sizes:
        with tempfile.TemporaryDirectory() as work:
            path = Path(work) / "table.csv"
            make(Path(sys.argv[1]), size, path)
            text, _, memory = measured([sys.executable, "-c", PREPARE, str(path), work])
            found = re.findall(r"RESULT (\S+) (\d+) (\d+) (\d+)", text)[0]
            seconds, rows = float(found[0]), int(found[1])
            gigabytes = path.stat().st_size / 2**30
            lines.append(
                [
                    f"{rows:,}",
                    f"{gigabytes:.2f} GiB",
                    f"{int(found[2]):,}",
                    f"{int(found[3]):,}",
                    f"{seconds:,.0f} s",
                ]
            )
            lines[-1] += [f"{rows / seconds:,.0f}", f"{memory:,.0f} MiB"]
            head = (
                f"    python -m tests.benchmarks.scale {Path(sys.argv[1]).name}    # {os.cpu_count()}"
                f" threads, polars {pl.__version__}\n\n"
            )
            columns = ["rows", "CSV", "products", "questions", "time", "rows/s", "peak memory"]
            RESULTS.write_text(f"{head}{markdown_table(columns, lines)}\n", encoding="utf-8")
            print(lines[-1], flush=True)


if __name__ == "__main__":
    main()
