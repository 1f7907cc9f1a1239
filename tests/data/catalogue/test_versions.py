"""Versions of prepared data: whole or refused, the same again from a digest or an MLflow run, and what
changed between two.
"""

import json
import shutil
from pathlib import Path
from typing import Any

import polars as pl
import pytest

import train
from architectures.tracking import registry
from architectures.training.signals import Signals
from data.catalogue import versions
from tests.conftest import typed


def table(path: Path, colours: list[str], count: int = 40) -> Path:
    rows = {
        "title": [f"Mug {i}" for i in range(count)],
        "department": "Kitchen > Mugs",
        "colour": [colours[i % len(colours)] for i in range(count)],
    }
    pl.DataFrame(rows | {"sku": [f"s{i}" for i in range(count)]}).write_csv(path)
    return path


def made(outputs: Path, path: Path, *more: str) -> Any:
    columns = [
        "data.columns.name=title",
        "data.columns.category=department",
        "data.columns.id=sku",
        "data.attributes=[colour]",
    ]
    return train.prepare(typed("data=table", f"data.path={path}", *columns, f"outputs={outputs}", *more))


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any, Any]:
    """(outputs, a version, one of a table in which one mug has another colour and one is new)"""
    import contextlib

    from tests.conftest import ROOT

    outputs = tmp_path_factory.mktemp("versions")
    with contextlib.chdir(ROOT):
        first = made(outputs, table(outputs / "a.csv", ["red", "blue"]))
        frame = pl.read_csv(outputs / "a.csv").with_columns(
            colour=pl.when(pl.col("sku") == "s3").then(pl.lit("green")).otherwise("colour")
        )
        more = pl.DataFrame(
            {"title": ["New Mug"], "department": ["Kitchen > Mugs"], "colour": ["red"], "sku": ["s99"]}
        )
        pl.concat([frame, more]).write_csv(outputs / "b.csv")
        return outputs, first, made(outputs, outputs / "b.csv")


def test_a_version_tells_what_it_was_made_from(two: tuple[Path, Any, Any]) -> None:
    outputs, first, _ = two
    record = versions.read_lineage(first.folder)
    assert record["digest"] == first.digest
    assert record["table"] == str(outputs / "a.csv")
    assert record["settings"]["attributes"] == ["colour"]
    text = versions.describe_version(first.folder)
    assert "table_digest: " in text
    assert "| products " in text


def test_what_changed_between_two(two: tuple[Path, Any, Any]) -> None:
    _, first, second = two
    text = versions.describe_difference(first.folder, second.folder)
    assert "| table_digest" in text
    (products,) = [line for line in text.splitlines() if line.startswith("| products  |") and "s3" in line]
    assert [cell.strip() for cell in products.split("|")[2:6]] == ["1", "0", "1", "s3"]
    assert versions.describe_difference(first.folder, first.folder).startswith(
        "Both were made from the same."
    )


def test_a_digest_gets_back_exactly_that_without_the_table(
    two: tuple[Path, Any, Any], tmp_path: Path
) -> None:
    outputs, first, second = two
    again = made(outputs, tmp_path / "gone.csv", f"data.version={first.digest}")
    assert again.digest == first.digest != second.digest
    assert again.questions("train").equals(first.questions("train"))


def test_what_is_not_there_or_not_whole_is_refused(two: tuple[Path, Any, Any], tmp_path: Path) -> None:
    outputs, first, _ = two
    with pytest.raises(ValueError, match=r"data.version=0123456789abcdef: not in"):
        made(outputs, outputs / "a.csv", "data.version=0123456789abcdef")
    shutil.copytree(first.folder, tmp_path / "cache" / first.folder.name)
    path = tmp_path / "cache" / first.folder.name / "questions.parquet"
    pl.read_parquet(path).head(3).write_parquet(path)
    with pytest.raises(ValueError, match="was changed after it was made"):
        made(tmp_path, outputs / "a.csv", f"data.version={first.digest}")
    (path.parent / "lineage.json").write_text("{")
    with pytest.raises(ValueError, match="holds no version"):
        versions.read_lineage(path.parent)


@pytest.mark.slow
def test_an_mlflow_run_gets_back_its_data(
    finished: tuple[Path, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = finished[0]
    run_id = next(
        json.loads(line)["run_id"]
        for line in (folder / "tracking.jsonl").read_text().splitlines()
        if "run_id" in line
    )
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{folder.parent.resolve() / 'mlflow.db'}")
    config = typed(
        "+experiment=quickstart", f"outputs={tmp_path}", f"data.version={run_id}", "data.path=nowhere.csv"
    )
    data = train.prepare(config)
    assert data.digest == json.loads((folder / "results.json").read_text())["digest"]
    assert data.questions("test").height > 0
    with pytest.raises(ValueError, match="has no prepared data of this run"):
        versions.resolve_version("0" * 32, tmp_path / "cache", registry.download_data)


def test_inspect_prints_versions(two: tuple[Path, Any, Any], capsys: pytest.CaptureFixture[str]) -> None:
    outputs, first, second = two
    given = ["stage=inspect", f"outputs={outputs}", f"data.version={second.digest}"]
    train.run(typed(*given), outputs, Signals())
    assert f"digest: {second.digest}" in capsys.readouterr().out
    train.run(typed(*given, f"data.against={first.digest}"), outputs, Signals())
    assert "| count" in capsys.readouterr().out
