"""python -m tests.benchmarks.scoring: 100,000 predictions judged against 100,000 products, beside a scan for
each prediction.

Products are the sample catalogue's, repeated under new names; of ten answers six are right, the others name
another product, none, or one that does not exist.
"""

import logging
import os
import resource
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl

from data.catalogue import cleaning
from data.markdown import markdown_table
from data.scoring import published, statistics, summaries, verdicts
from tests.catalogues import clean, questions_of
from tests.conftest import typed

SIZE = 100_000
SCANNED = 200  # predictions that the scan is timed on
RESULTS = Path(__file__).parent / "results" / "scoring.md"


def shop() -> tuple[pl.DataFrame, pl.DataFrame]:
    """(products, questions with splits)"""
    config = typed("+experiment=quickstart").data
    columns = {name: column for name, column in config.columns.items() if column}
    rule = cleaning.CatalogueFilter(config.root, tuple(config.departments), config.min_rows, False)
    rows = clean(Path(config.path), columns, config.attributes, rule).products
    copies = [
        rows.with_columns(id=pl.format("{}-{}", "id", pl.lit(i)), name=pl.format("{} {}", "name", pl.lit(i)))
        for i in range(-(-SIZE // rows.height))
    ]
    products, questions, _ = questions_of(pl.concat(copies).head(SIZE))
    return products, questions


def timed(work: Callable[[], Any]) -> tuple[float, Any]:
    start = time.perf_counter()
    found = work()
    return time.perf_counter() - start, found


def main() -> None:
    """Measure, write the table."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    products, questions = shop()
    asked = (
        questions.filter(pl.col("split") != "train")
        .head(SIZE)
        .with_columns(split=pl.lit("test"), model=pl.lit("tuned"))
    )
    training = questions.filter(pl.col("split") == "train")["answer"]
    turn, answer = pl.int_range(pl.len()) % 10, pl.col("answer")
    changed = (
        pl.when(turn == 0)
        .then(answer.str.replace("Product Name: ", "Product Name: Un"))
        .when(turn == 1)
        .then(pl.lit("nothing"))
    )
    asked = asked.with_columns(
        prediction=changed.when(turn.is_in([2, 3])).then(answer.shift(7)).otherwise(answer)
    )
    judging, judged = timed(lambda: verdicts.judge(asked, products))
    summing, scores = timed(lambda: summaries.summarise(judged))
    parts, _ = timed(
        lambda: (
            summaries.attribute_scores(judged),
            summaries.slice_scores(judged, 10),
            summaries.error_examples(judged, 20),
        )
    )
    counting, legacy = timed(lambda: published.published_scores(asked["prediction"], training))
    pairing, _ = timed(
        lambda: statistics.paired(
            judged, judged.with_columns(verdict=pl.col("verdict").shift(1)), summaries.RIGHT
        )
    )
    names = judged["named"].drop_nulls().sample(SCANNED, seed=0).to_list()
    texts = training.to_list()
    scan, true = timed(lambda: sum(any(name in text for text in texts) for name in names))
    whole = scan / SCANNED * judged["named"].count()
    assert abs(true / SCANNED - legacy["true_positives"] / judged["named"].count()) < 0.15
    own = [
        ("verdicts, details and suggestions", judging),
        ("shares with intervals", summing),
        ("attributes, slices, examples", parts),
    ]
    own += [("two runs compared", pairing), ("published counting", counting)]
    rows: list[list[Any]] = [[name, f"{seconds:.1f} s"] for name, seconds in own]
    rows.append(
        [f"published counting by a scan for each prediction (from {SCANNED} of them)", f"{whole:,.0f} s"]
    )
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    head = (
        f"    python -m tests.benchmarks.scoring    # {os.cpu_count()} threads, polars"
        f" {pl.__version__}; at most {most:.1f} GiB\n\n"
    )
    text = (
        f"{asked.height:,} predictions, {products.height:,} products, {len(training):,} training"
        f" answers; accuracy "
    )
    text += (
        f"{scores['accuracy']:.3f}. The scan takes {whole / published:,.0f} times as long as the"
        f" published counting here.\n\n"
    )
    RESULTS.write_text(f"{head}{text}{markdown_table(['work', 'time'], rows)}\n", encoding="utf-8")
    logging.info(RESULTS.read_text(encoding="utf-8"))


if __name__ == "__main__":
    main()
