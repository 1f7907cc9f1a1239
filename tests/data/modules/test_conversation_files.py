"""Conversations of files that are read some rows at a time."""

from pathlib import Path

import polars as pl
import pytest

from data.catalogue import reading
from data.modules.instructions import InstructionData
from tests.data.modules.test_instructions import data_of, pairs

ROWS = 60


def splits(data: InstructionData) -> dict[str, list[str]]:
    """Split -> the answers in it, in order."""
    return {
        split: data.rows_of(split)["messages"].list.last().struct.field("content").to_list()
        for split in ("train", "validation", "test")
    }


@pytest.fixture
def whole(tmp_path: Path) -> InstructionData:
    """A file with repeated rows and empty ones, read at once."""
    rows = pl.concat([pairs(ROWS), pairs(10), pl.DataFrame({"prompt": ["Empty?"], "response": [""]})])
    rows.write_ndjson(tmp_path / "pairs.jsonl")
    return data_of(tmp_path, test=0.1)


@pytest.mark.parametrize("at_once", [1, 7, ROWS])
def test_rows_are_the_same_however_many_are_read_at_once(
    whole: InstructionData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at_once: int
) -> None:
    monkeypatch.setattr(reading, "BATCH_ROWS", at_once)
    batched = data_of(tmp_path, test=0.1, cache=tmp_path / "other")
    assert splits(batched) == splits(whole)
    assert batched.report == whole.report
    (count,) = batched.report["files"]
    assert (count["rows"], count["set_aside"], count["repeated"]) == (ROWS + 11, 1, 10)
    for split in ("train", "validation", "test"):
        assert batched.rows[split].ids.equal(whole.rows[split].ids)
    quarantine = pl.read_parquet(batched.folder / "quarantine.parquet")
    assert quarantine["row"].to_list() == [ROWS + 10]


def test_a_damaged_line_far_into_a_file_is_set_aside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pairs(ROWS).write_ndjson(tmp_path / "pairs.jsonl")
    lines = (tmp_path / "pairs.jsonl").read_text().splitlines()
    lines[40] = lines[40][:20]
    (tmp_path / "pairs.jsonl").write_text("\n".join(lines))
    monkeypatch.setattr(reading, "BATCH_ROWS", 9)
    data = data_of(tmp_path)
    (count,) = data.report["files"]
    assert (count["set_aside"], count["train"] + count["validation"]) == (1, ROWS - 1)
    assert pl.read_parquet(data.folder / "quarantine.parquet")["row"].to_list() == [41]


def test_a_row_of_a_later_file_that_repeats_one_is_left_out(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    pairs(20).write_ndjson(folder / "a.jsonl")
    pl.concat([pairs(20), pairs(10, "Other ")]).write_ndjson(folder / "b.jsonl")
    data = data_of(tmp_path, path=str(folder))
    said = splits(data)
    assert sum(map(len, said.values())) == 30
    assert [count["train"] + count["validation"] for count in data.report["files"]] == [20, 10]
