"""From the command line to prepared data: the cache, what is refused, what is cut off, real rows."""

from pathlib import Path

import polars as pl
import pytest
import torch

import train
from tests.conftest import SMALL, real, typed


def test_cached_data_equals_fresh_data(finished: tuple[Path, str], tmp_path: Path) -> None:
    config = typed("+experiment=quickstart", f"outputs={tmp_path}", *SMALL)
    fresh = train.prepare(config)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*") if path.is_file()}
    cached = train.prepare(config)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*") if path.is_file()} == before
    other = train.prepare(typed("+experiment=quickstart", f"outputs={finished[0].parent}", *SMALL))
    for data in (cached, other):
        assert data.digest == fresh.digest
        for split in ("train", "validation", "test"):
            assert torch.equal(data.rows[split].ids, fresh.rows[split].ids)
    changed = train.prepare(
        typed("+experiment=quickstart", f"outputs={tmp_path}", *SMALL, "data.max_details=3")
    )
    assert changed.digest != fresh.digest


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["data.path=nowhere.csv"], "no table at data.path=nowhere.csv"),
        (["data.columns.name=titel"], "no column 'titel'"),
        (["data.root=Shoes"], "no product is left"),
        (["data.limit=1", "data.unseen=0", "data.wording=published"], "data.validation"),
        (["model.base=nobody/nothing"], "no tokenizer for model.base=nobody/nothing"),
    ],
)
def test_data_that_nothing_can_be_learnt_from_is_refused(
    overrides: list[str], message: str, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match=message):
        train.prepare(typed("+experiment=quickstart", f"outputs={tmp_path}", *overrides))
    assert not [path for path in tmp_path.rglob("*") if path.suffix == ".ckpt"]


def test_too_little_data_says_what_was_set_aside(tmp_path: Path) -> None:
    rows = {"title": ["Blue Mug", None, None], "department": ["Kitchen", "Kitchen", None]}
    pl.DataFrame(rows).write_csv(tmp_path / "shop.csv")
    columns = [
        "data=table",
        f"data.path={tmp_path / 'shop.csv'}",
        "data.columns.name=title",
        "data.columns.category=department",
    ]
    with pytest.raises(ValueError, match=r"left for validation.*\. Set aside \(.*parquet\): 2 rows: .*name"):
        train.prepare(typed(*columns, f"outputs={tmp_path}"))


def test_prompts_that_leave_no_room_for_an_answer_are_refused(tmp_path: Path) -> None:
    """Every label would be masked, and the loss 0."""
    names = [f"Mug {'very ' * 60} large {i}" for i in range(20)]
    pl.DataFrame({"title": names, "department": "Kitchen"}).write_csv(tmp_path / "shop.csv")
    columns = [
        "data=table",
        f"data.path={tmp_path / 'shop.csv'}",
        "data.columns.name=title",
        "data.columns.category=department",
    ]
    with pytest.raises(ValueError, match="no training row has room for an answer"):
        train.prepare(typed(*columns, "data.max_seq_length=64", f"outputs={tmp_path}"))


def test_what_is_cut_off_is_counted(tmp_path: Path) -> None:
    data = train.prepare(typed("data.limit=30", "data.max_seq_length=90", f"outputs={tmp_path}"))
    counts = data.token_report["train"]
    assert 0 < counts["cut_off"] <= counts["rows"]
    assert int(data.rows["train"].lengths.max()) == 90


def test_real_rows_are_prepared(tmp_path: Path) -> None:
    table = real("flipkart/flipkart_raw15_first999.csv")
    data = train.prepare(typed("data=flipkart", f"data.path={table}", f"outputs={tmp_path}"))
    assert dict(data.report["counts"])["at least 10 rows in its level 4"] == 339
    assert data.token_report["train"]["rows"] > 1000
