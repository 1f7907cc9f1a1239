"""Labels as people write them, and tables whose columns are called as this project's own."""

import logging
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from tests.data.modules.test_labelled_text import module


def table(folder: Path, **columns: list[Any]) -> Path:
    count = len(next(iter(columns.values())))
    pl.DataFrame({"text": [f"text number {i}" for i in range(count)], **columns}).write_parquet(
        folder / "rows.parquet"
    )
    return folder / "rows.parquet"


@pytest.mark.parametrize(
    "values",
    [
        ["a;b", "b", "a;c", "c", ""],
        ["a|b", "b", "a | c", "c", ""],
        ["a,b", "b", "a, c", "c", ""],
        ['["a", "b"]', '["b"]', "['a', 'c']", '["c"]', "[]"],
        [["a", "b"], ["b"], ["a", "c"], ["c"], []],
    ],
)
def test_several_labels_in_every_form(values: list[Any], tmp_path: Path) -> None:
    data = module(table(tmp_path, label=values * 12), tmp_path / "cache", label_kind="multiple")
    assert data.labels == ["a", "b", "c"]
    rows = pl.concat([data.rows_of(split) for split in ("train", "validation", "test")])
    assert sorted(set(map(tuple, rows["labels"].to_list()))) == [(), ("a", "b"), ("a", "c"), ("b",), ("c",)]


def test_a_row_with_two_labels_is_set_aside_where_one_is_asked_for(tmp_path: Path) -> None:
    labels = [["cat", "dog"], *[["cat"], ["dog"]] * 20]
    data = module(table(tmp_path, label=labels), tmp_path / "cache")
    assert data.report["set_aside"] == [["several labels under data.label_kind=single", 1]]


def test_empty_lists_are_no_label(tmp_path: Path) -> None:
    data = module(
        table(tmp_path, label=["[]", "['x']"] * 20),
        tmp_path / "cache",
        label_kind="any",
        label_names=["no", "yes"],
    )
    counts = data.report["splits"]["train"]["labels"]
    assert counts["no"] == counts["yes"] > 0


def test_labels_that_differ_in_case_are_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        data = module(table(tmp_path, label=["Dog", "dog", " cat ", "cat"] * 10), tmp_path / "cache")
    assert data.labels == ["Dog", "cat", "dog"]
    assert "the labels 'Dog', 'dog' differ in case alone" in caplog.text


def test_a_label_that_is_a_word_for_a_missing_value_is_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = table(tmp_path, label=["NULL", "dog", "cat", "dog"] * 10)
    with caplog.at_level(logging.WARNING):
        data = module(path, tmp_path / "cache", missing=["null", "nan"])
    assert data.labels == ["NULL", "cat", "dog"]
    assert "10  rows have the label 'NULL', which counts as a class" in caplog.text
    caplog.clear()
    module(path, tmp_path / "named", missing=["null"], label_names=["NULL", "cat", "dog"])
    assert "counts as a class" not in caplog.text


def test_the_only_row_of_a_label_stays_in_training_or_is_left_out(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = table(tmp_path, label=["rare", *["cat", "dog"] * 20])
    counts = module(path, tmp_path / "cache").report["splits"]
    assert [counts[split]["labels"]["rare"] for split in ("train", "validation", "test")] == [1, 0, 0]
    with caplog.at_level(logging.WARNING):
        without = module(path, tmp_path / "cache", min_label_rows=2)
    assert without.labels == ["cat", "dog"]
    assert "1  rows have the label 'rare', fewer than data.min_label_rows" in caplog.text


def test_columns_called_as_our_own_do_no_harm(tmp_path: Path) -> None:
    names = ["train"] * 20 + ["validation"] * 6 + ["test"] * 4
    own = {
        name: list(range(30))
        for name in ("row", "order", "file", "line", "index", "words", "labels", "reason")
    }
    path = table(tmp_path, label=["cat", "dog"] * 15, split=names, **own)
    data = module(path, tmp_path / "cache", split_by="split")
    assert [data.rows_of(split).height for split in ("train", "validation", "test")] == [20, 6, 4]
    first = data.rows_of("test").sort("line")
    assert first["table_row"].to_list() == [26, 27, 28, 29]
    assert first["index"].to_list() == [26, 27, 28, 29]


def test_a_list_of_words_is_a_text(tmp_path: Path) -> None:
    frame = pl.DataFrame({"text": [["some", "words", str(i)] for i in range(20)], "label": ["a", "b"] * 10})
    frame.write_parquet(tmp_path / "rows.parquet")
    data = module(tmp_path / "rows.parquet", tmp_path / "cache")
    assert all(text.startswith("some words ") for text in data.rows_of("train")["text"])


def test_the_folder_of_a_competition(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    pl.DataFrame({"text": [f"t {i}" for i in range(20)], "label": ["a", "b"] * 10}).write_csv(
        folder / "train.csv"
    )
    pl.DataFrame({"text": ["u"]}).write_csv(folder / "test.csv")
    with caplog.at_level(logging.WARNING):
        data = module(folder, tmp_path / "cache")
    assert data.rows_of("train").height + data.rows_of("validation").height == 20
    assert "test.csv has no column 'label' (it has text) and is left out" in caplog.text


def test_a_separator_between_labels_is_said_and_a_list_keeps_a_label_whole(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    labels = ["a, b", '["Toys, Games"]', "b", '["a"]'] * 10
    with caplog.at_level(logging.INFO):
        data = module(table(tmp_path, label=labels), tmp_path / "cache", label_kind="multiple")
    assert data.labels == ["Toys, Games", "a", "b"]
    assert "',' separates labels in 10 cells, as in 'a, b'" in caplog.text
    assert """write the cell as a list, as ["a, b"]""" in caplog.text
