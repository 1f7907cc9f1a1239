"""`golden=`: a finished run and its baselines are judged on a file of the user's own questions."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hydra import compose, initialize_config_dir

import evaluate
from data.scoring.golden import GOLDEN_VERDICTS
from tests.conftest import ROOT


def configured(*overrides: str) -> Any:
    with initialize_config_dir(str(ROOT / "config"), version_base="1.3"):
        return compose("evaluate", overrides=list(overrides))


def products_of(folder: Path) -> Path:
    return next((folder.parent / "cache").glob("questions-*/products.parquet"))


def test_a_run_is_judged_on_the_users_own_questions(
    finished: tuple[Path, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = finished[0]
    product = pl.read_parquet(products_of(folder)).row(0, named=True)
    fact = product["facts"][0]
    question = f"whats the {fact['key']} of {product['name']}"
    table = pl.DataFrame(
        {
            "question": [question, "do you sell garden hoses"],
            "product": [product["id"], None],
            "attribute": [fact["key"], None],
            "value": [fact["value"], None],
            "kind": ["attribute", "absent"],
        }
    )
    table.write_csv(tmp_path / "own.csv")
    settings = [
        f"outputs={folder.parent}",
        f"golden={tmp_path / 'own.csv'}",
        "baselines=[rules,same-product]",
    ]
    evaluate.run(configured(f"ckpt={folder / 'model'}", *settings))
    printed = capsys.readouterr().out
    assert "| model " in printed
    assert "| absent " in printed
    newest = max(
        (folder.parent / "evaluations").glob("*/golden.parquet"), key=lambda path: path.stat().st_mtime
    )
    judged = pl.read_parquet(newest)
    assert set(judged["model"]) == {"tuned", "rules", "same-product"}
    assert set(judged["verdict"]) <= set(GOLDEN_VERDICTS)
    verdicts = dict(judged.filter(pl.col("model") == "rules").select("kind", "verdict").rows())
    assert verdicts == {"attribute": "right", "absent": "right"}
    assert "Not right" in (newest.parent / "report.md").read_text(encoding="utf-8")


def test_bad_rows_stop_it_before_anything_is_answered(finished: tuple[Path, str], tmp_path: Path) -> None:
    folder = finished[0]
    (tmp_path / "own.csv").write_text("question,product\nwhat,No Such Thing\n,\n")
    settings = [f"outputs={folder.parent}", f"golden={tmp_path / 'own.csv'}"]
    with pytest.raises(
        ValueError, match=r"2 problems\n  line 2: no product .*\n  line 3: the question is empty"
    ):
        evaluate.run(configured(f"ckpt={folder / 'model'}", *settings))


def test_a_file_to_start_from_is_written_once(finished: tuple[Path, str], tmp_path: Path) -> None:
    target = tmp_path / "questions.csv"
    command = [sys.executable, "-m", "data.questions.golden", str(products_of(finished[0])), str(target)]
    first, second = (subprocess.run(command, capture_output=True, text=True, cwd=ROOT) for _ in range(2))
    assert first.returncode == 0, first.stderr
    assert f"golden={target}" in first.stdout
    assert pl.read_csv(target).height == 20
    assert second.returncode == 1
    assert "is there already" in second.stderr


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (["ckpt=x", "gate=true"], "golden: stands alone, without gate"),
        (["ckpt=x", "export=merged"], "golden: stands alone, without export"),
        (["compare=x"], "golden: needs ckpt, not compare"),
        (["ckpt=x", "pairs=5"], "pairs: stands alone, without golden"),
        (["ckpt=x", "pairs=0"], "pairs=0: must be a number of questions, at least 1"),
        (["compare=x", "pairs=5"], "pairs: needs ckpt, not compare"),
    ],
)
def test_what_goes_with_no_golden_questions_is_refused(settings: list[str], message: str) -> None:
    assert message in "\n".join(evaluate.problems_of(configured("golden=own.csv", *settings)))
