"""Pairs of answers are read in the forms that TRL reads; what is no pair is set aside with the reason."""

import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from data.modules.preferences import preference_rows, read_pairs
from data.tokens.prompts import Renderer
from tests.conftest import POCKET, typed
from train import prepare

USER = {"role": "user", "content": "Is it red?"}
YES, NO = ({"role": "assistant", "content": text} for text in ("Yes.", "No."))


def written(path: Path, *rows: dict[str, Any]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


@pytest.mark.parametrize(
    "row",
    [
        {"prompt": "Is it red?", "chosen": "Yes.", "rejected": "No."},
        {"prompt": [USER], "chosen": [YES], "rejected": [NO]},
        {"chosen": [USER, YES], "rejected": [USER, NO]},
        {"prompt": "Is it red?", "chosen": "Yes. ", "rejected": "No.", "score": 3, "context": "unused"},
    ],
)
def test_forms(tmp_path: Path, row: dict[str, Any]) -> None:
    good, aside = read_pairs(written(tmp_path / "pairs.jsonl", row))
    assert good.rows() == [([USER, YES], [USER, NO])]
    assert aside.is_empty()


def test_what_is_no_pair_is_set_aside(tmp_path: Path) -> None:
    rows = [
        {"chosen": [USER, YES], "rejected": [USER, NO]},
        {"chosen": [USER, YES], "rejected": [USER, YES]},
        {"chosen": [USER, YES], "rejected": [{**USER, "content": "Is it blue?"}, NO]},
        {"chosen": [USER, YES], "rejected": [USER, NO, USER]},
        {"chosen": [USER, YES], "rejected": [NO]},
        {"chosen": None, "rejected": [USER, NO]},
    ]
    good, aside = read_pairs(written(tmp_path / "pairs.jsonl", *rows))
    assert good.height == 1
    assert dict(aside.select("row", "reason").rows()) == {
        1: "two answers that are the same",
        2: "two answers to different prompts",
        3: "a conversation that ends without an answer",
        4: "turns that do not alternate, the user's first",
        5: "no messages could be read",
    }


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([{"prompt": "a", "completion": "b"}], "there is no column chosen and no column rejected"),
        ([{"prompt": "a", "chosen": "b", "rejected": "b"}], "holds no pair of answers, for example: two"),
    ],
)
def test_a_file_without_pairs_is_one_error(tmp_path: Path, rows: list[Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read_pairs(written(tmp_path / "pairs.jsonl", *rows))


def test_the_last_answers_are_trained_after_the_same_prompt(tmp_path: Path) -> None:
    earlier = [USER, NO, {**USER, "content": "Really?"}]
    path = tmp_path / "pairs.parquet"
    pl.DataFrame({"prompt": [earlier], "chosen": [[YES]], "rejected": [[NO]]}).write_parquet(path)
    renderer = Renderer(str(POCKET))
    rows = preference_rows({"preferences": str(path), "max_seq_length": 200}, renderer)
    batch = rows.batch([0])
    first, second = batch["input_ids"].split(batch["lengths"])
    told = batch["targets"][batch["sequences"] == 0], batch["targets"][batch["sequences"] == 1]
    assert [renderer.decode(ids.tolist()) for ids in told] == ["Yes.", "No."]
    prompts = first[: -len(told[0])], second[: -len(told[1])]
    assert prompts[0].tolist() == prompts[1].tolist() == renderer.encoded(renderer.prompt_text(earlier))
    with pytest.raises(ValueError, match="no pair fits into"):
        preference_rows({"preferences": str(path), "max_seq_length": 10}, renderer)


def test_files_beside_the_table_are_read_before_it(tmp_path: Path) -> None:
    junk = tmp_path / "pairs.parquet"
    junk.write_bytes(b"PAR1 and no more")
    pairs = [f"data.preferences={junk}", "trainer.objective=dpo"]
    for chosen in (pairs, [f"+data.mixture={{{junk}: 1}}"]):
        config = typed(*chosen, f"outputs={tmp_path}", "data.path=nowhere.csv")
        with pytest.raises(ValueError, match=r"pairs\.parquet"):
            prepare(config)
