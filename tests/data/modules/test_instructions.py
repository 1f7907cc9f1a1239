"""Instruction data: every form becomes the same conversations, what is unsound is set aside, splits keep
twins together.
"""

import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from data.modules import conversations
from data.modules.instructions import InstructionData
from tests.conftest import POCKET, real

ASKED, TOLD = "Name a colour.", "Blue."
WANTED = [{"role": "user", "content": ASKED}, {"role": "assistant", "content": TOLD}]
TURNS = [("user", "a"), ("assistant", "b"), ("user", "c"), ("assistant", "d")]


def messages(turns: list[tuple[str, str]]) -> list[dict[str, str]]:
    return [{"role": role, "content": content} for role, content in turns]


@pytest.mark.parametrize(
    "row",
    [
        {"instruction": ASKED, "input": "", "output": TOLD},
        {"instruction": ASKED, "input": None, "output": f" {TOLD}<|endoftext|>\n"},
        {"prompt": f"{ASKED}\n\n", "completion": TOLD},
        {"prompt": ASKED, "response": TOLD},
        {"question": ASKED, "answer": f"{TOLD}</s>"},
        {"messages": WANTED},
        {"messages": [{"role": "system", "content": " "}, *WANTED]},
        {"messages": [*WANTED, {"role": "user", "content": "And?"}]},
        {"conversations": [{"from": "human", "value": ASKED}, {"from": "gpt", "value": TOLD}]},
        {"conversations": json.dumps([{"from": "human", "value": ASKED}, {"from": "gpt", "value": TOLD}])},
    ],
)
def test_every_form_is_the_same_conversation(row: dict[str, Any]) -> None:
    read = conversations.read_conversations(pl.DataFrame([row], strict=False))
    good, bad = read.good, read.bad
    assert bad.height == 0
    assert good["messages"].to_list() == [WANTED]


def test_an_input_stands_below_its_instruction_and_a_system_text_before_all() -> None:
    good = conversations.read_conversations(
        pl.DataFrame([{"system": "Be brief.", "instruction": "Sum up:", "input": "long", "output": "short"}])
    ).good
    turns = [("system", "Be brief."), ("user", "Sum up:\n\nlong"), ("assistant", "short")]
    assert good["messages"].to_list() == [messages(turns)]


@pytest.mark.parametrize(
    ("turns", "reason"),
    [
        ([], "no messages could be read"),
        ([("user", "a"), ("tool", "b")], "a role that is none of"),
        ([("user", "a"), ("assistant", " ")], "an empty turn"),
        ([("user", "a"), ("assistant", "</s>")], "an empty turn"),
        ([("user", "a")], "no answer"),
        ([("assistant", "b"), ("user", "a")], "do not alternate"),
        ([("user", "a"), ("user", "a"), ("assistant", "b")], "do not alternate"),
        ([*TURNS[:2], ("system", "s"), *TURNS[2:]], "a system turn that is not the first"),
    ],
)
def test_what_cannot_be_learnt_is_set_aside_with_the_reason(
    turns: list[tuple[str, str]], reason: str
) -> None:
    frame = pl.DataFrame(
        {"messages": pl.Series([messages(turns), messages(TURNS)], dtype=conversations.MESSAGES)}
    )
    read = conversations.read_conversations(frame)
    good, bad = read.good, read.bad
    assert good["messages"].to_list() == [messages(TURNS)]
    assert reason in bad["reason"][0]
    assert bad["row"].to_list() == [0]


def test_json_that_is_none_is_set_aside() -> None:
    read = conversations.read_conversations(
        pl.DataFrame({"messages": ["[{", "3", "[3]", None, json.dumps(WANTED)]})
    )
    good, bad = read.good, read.bad
    assert (good.height, bad["reason"].unique().to_list()) == (1, ["no messages could be read"])


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        ({"text": ["x"]}, "no instructions in the columns text"),
        ({"messages": [3]}, "holds Int64, not a list of messages"),
        ({"messages": [[{"who": "x", "said": "y"}]]}, "have who, said"),
    ],
)
def test_other_tables_are_refused(frame: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        conversations.read_conversations(pl.DataFrame(frame))


def pairs(count: int, prefix: str = "") -> pl.DataFrame:
    return pl.DataFrame(
        {
            "prompt": [f"{prefix}Question {i // 2}?" for i in range(count)],
            "response": [f"Answer {i}." for i in range(count)],
        }
    )


def split_rows(most: int) -> pl.DataFrame:
    """200 conversations, two of each opening, with their splits: 20% validation, 10% test."""
    good = conversations.read_conversations(pairs(200)).good
    keyed = pl.concat([good, conversations.conversation_keys(good, 1)], how="horizontal")
    return conversations.split_conversations(keyed, 0.2, 0.1, most)


def test_no_more_is_held_out_than_is_asked_for() -> None:
    counts = dict(split_rows(5).group_by("split").len().rows())
    assert counts == {"train": 180, "validation": 10, "test": 10}


def test_the_same_opening_never_stands_on_both_sides() -> None:
    rows = split_rows(0)
    sides = (
        rows.with_columns(opening=pl.col("messages").list.first().struct.field("content"))
        .group_by("opening")
        .agg(pl.col("split").n_unique())
    )
    assert sides["split"].to_list() == [1] * 100
    assert dict(rows.group_by("split").len().rows()) == {"train": 140, "validation": 40, "test": 20}


def test_weights_count_training_rows_alone() -> None:
    rows = split_rows(0)
    for weight, count in ((0.5, 70), (1, 140), (2.25, 315)):
        made = dict(conversations.weight_rows(rows, weight, 1).group_by("split").len().rows())
        assert made == {"train": count, "validation": 40, "test": 20}


def data_of(folder: Path, cache: Path | None = None, **settings: Any) -> InstructionData:
    given = {
        "path": str(folder / "pairs.jsonl"),
        "mixture": {},
        "validation": 0.2,
        "test": 0.0,
        "held_out_rows": 0,
        "limit": 0,
        "encoding": "",
        "separator": "",
        "max_seq_length": 64,
        "quality": {"filters": []},
    }
    data = InstructionData(given | settings, str(POCKET), cache or folder / "cache", 1)
    data.prepare_data()
    data.setup()
    return data


def test_the_module_trains_on_answers_of_all_turns(tmp_path: Path) -> None:
    frame = pl.DataFrame(
        {
            "messages": pl.Series(
                [messages([(r, f"{c} {i}") for r, c in TURNS]) for i in range(10)],
                dtype=conversations.MESSAGES,
            )
        }
    )
    frame.write_ndjson(tmp_path / "pairs.jsonl")
    data = data_of(tmp_path)
    assert [len(data.rows[split]) for split in ("train", "validation", "test")] == [8, 2, 0]
    batch = data.rows["train"].batch([0])
    said = data.tokenizer.decode(batch["targets"])
    (row,) = data.rows_of("train").head(1)["messages"].to_list()
    assert said == f"{row[1]['content']}\n<end_of_turn>{row[3]['content']}\n<end_of_turn><eos>"
    again = data_of(tmp_path)
    assert again.digest == data.digest
    assert data_of(tmp_path, validation=0.3).digest != data.digest


def test_a_mixture_shares_no_opening_between_training_and_validation(tmp_path: Path) -> None:
    pairs(100).write_ndjson(tmp_path / "pairs.jsonl")
    pl.concat([pairs(100), pairs(50, "Other ")]).write_parquet(tmp_path / "more.parquet")
    data = data_of(tmp_path, mixture={str(tmp_path / "more.parquet"): 2.0})
    rows = data.rows_of("train")
    more = rows.filter(pl.col("source") == str(tmp_path / "more.parquet"))
    assert more.height == 2 * more.unique("messages").height > 60
    openings = {
        split: set(data.rows_of(split)["messages"].list.first().struct.field("content"))
        for split in ("train", "validation")
    }
    assert not openings["train"] & openings["validation"]


def test_nothing_to_learn_is_told(tmp_path: Path) -> None:
    pl.DataFrame({"prompt": ["a", "b"], "response": ["", None]}).write_ndjson(tmp_path / "pairs.jsonl")
    with pytest.raises(
        ValueError,
        match=r"no conversation is left for train of 2 rows \(2 were set aside, for example: an empty turn",
    ):
        data_of(tmp_path)
    pairs(20, "word " * 200).write_ndjson(tmp_path / "pairs.jsonl")
    with pytest.raises(ValueError, match="max_seq_length=64"):
        data_of(tmp_path)


def test_real_instruction_data(tmp_path: Path) -> None:
    data = data_of(tmp_path, path=str(real("instructions/t0_15k.jsonl.gz")), limit=300, max_seq_length=512)
    (count,) = data.report["files"]
    assert (count["rows"], count["end_tokens"]) == (15_000, 15_000)
    assert count["train"] == pytest.approx(240, abs=3)
    assert (
        not data.rows_of("train")["messages"]
        .list.last()
        .struct.field("content")
        .str.contains("endoftext")
        .any()
    )
