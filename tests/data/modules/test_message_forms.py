"""Instruction data as other tools write it: nothing that holds content is dropped unsaid."""

import json
import logging
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from data.catalogue.sources import find_files
from data.modules import conversations
from data.modules.instructions import InstructionData
from data.tokens.prompts import Renderer
from tests.conftest import POCKET
from tests.data.modules.test_instructions import data_of

ASKED, TOLD = "Name a colour.", "Blue."
USER, ASSISTANT = {"role": "user", "content": ASKED}, {"role": "assistant", "content": TOLD}


def read(rows: list[dict[str, Any]], folder: Path) -> conversations.Conversations:
    """Rows through a file of JSON lines, as users have them."""
    from data.catalogue.reading import read_table

    path = folder / "rows.jsonl"
    path.write_text("\n".join(json.dumps(row) for row in rows), encoding="utf-8")
    return conversations.read_conversations(read_table(path)[0])


@pytest.mark.parametrize(
    ("row", "turns"),
    [
        (
            {"instruction": ASKED, "context": "A sky.", "response": TOLD},
            [("user", f"{ASKED}\n\nA sky."), ("assistant", TOLD)],
        ),
        (
            {"Instruction": ASKED, "INPUT": "A sky.", " Output ": TOLD},  # in any case
            [("user", f"{ASKED}\n\nA sky."), ("assistant", TOLD)],
        ),
        (
            {"question": ASKED, "context": "A sky.", "answer": TOLD},
            [("user", f"{ASKED}\n\nA sky."), ("assistant", TOLD)],
        ),
        (
            {
                "system": "Be brief.",
                "conversations": [{"from": "human", "value": ASKED}, {"from": "gpt", "value": TOLD}],
            },
            [("system", "Be brief."), ("user", ASKED), ("assistant", TOLD)],
        ),
        (
            {"instruction": "And?", "output": "Red.", "history": [[ASKED, TOLD]]},
            [("user", ASKED), ("assistant", TOLD), ("user", "And?"), ("assistant", "Red.")],
        ),
        ({"prompt": [USER], "completion": [ASSISTANT]}, [("user", ASKED), ("assistant", TOLD)]),
        (
            {
                "messages": [
                    {"role": "developer", "content": "Be brief."},
                    {**USER, "role": "User "},
                    ASSISTANT,
                ]
            },
            [("system", "Be brief."), ("user", ASKED), ("assistant", TOLD)],
        ),
        (
            {"messages": [{"role": "user", "content": [{"type": "text", "text": ASKED}]}, ASSISTANT]},
            [("user", ASKED), ("assistant", TOLD)],
        ),
        ({"conversation": [ASKED, TOLD]}, [("user", ASKED), ("assistant", TOLD)]),
        ({"messages": f"[{USER}, {ASSISTANT}]"}, [("user", ASKED), ("assistant", TOLD)]),
        (
            {"instruction": ASKED, "output": {"a": 1, "b": "x"}},
            [("user", ASKED), ("assistant", '{"a": 1, "b": "x"}')],
        ),
        ({"instruction": ASKED, "output": ["x", "y"]}, [("user", ASKED), ("assistant", '["x", "y"]')]),
    ],
)
def test_forms_of_other_tools(row: dict[str, Any], turns: list[tuple[str, str]], tmp_path: Path) -> None:
    found = read([row], tmp_path)
    assert found.bad.is_empty(), found.bad
    assert [(m["role"], m["content"]) for m in found.good["messages"].to_list()[0]] == turns
    assert found.unused == {}


def test_content_of_different_forms_in_one_file(tmp_path: Path) -> None:
    parts = {"role": "user", "content": [{"type": "text", "text": "Parts?"}]}
    picture = {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "http://x"}}]}
    rows = [{"messages": [first, ASSISTANT]} for first in (USER, parts, picture)]
    found = read(rows, tmp_path)
    assert [row[0]["content"] for row in found.good["messages"].to_list()] == [ASKED, "Parts?"]
    assert found.bad["reason"].to_list() == ["a part that is no text, such as a picture"]


def test_pictures_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="the column image holds pictures"):
        read([{"instruction": ASKED, "output": TOLD, "image": "a.png"}], tmp_path)


def test_answers_of_weight_zero_are_not_trained(tmp_path: Path) -> None:
    bad, good = {**ASSISTANT, "content": "BAD", "weight": 0}, {**ASSISTANT, "weight": 1}
    found = read([{"messages": [USER, bad, USER, good]}, {"messages": [USER, bad]}], tmp_path)
    assert found.good["untrained"].to_list() == [[0]]
    assert found.bad["reason"].to_list() == ["every answer has the weight 0"]
    renderer = Renderer(str(POCKET))
    (example,) = renderer.render_conversations(
        found.good["messages"].to_list(), found.good["untrained"].to_list()
    )
    trained = [i for i, is_trained in zip(example.ids, example.mask, strict=True) if is_trained]
    assert renderer.decode(trained) == TOLD
    assert "BAD" in renderer.decode(example.ids)


def pairs(first: int, count: int) -> pl.DataFrame:
    numbers = range(first, first + count)
    return pl.DataFrame(
        {"prompt": [f"Say {i}." for i in numbers], "response": [f"It is {i}." for i in numbers]}
    )


def module(path: Path, cache: Path, **changes: Any) -> InstructionData:
    return data_of(path, cache, path=str(path), **changes)


def test_a_file_called_test_is_never_trained_on(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    pairs(0, 20).write_ndjson(folder / "train.jsonl")
    pairs(15, 10).write_ndjson(folder / "test.jsonl")
    data = module(folder, tmp_path / "cache")
    said = {
        split: set(data.rows_of(split)["messages"].list.last().struct.field("content"))
        for split in ("train", "test")
    }
    assert said["test"] == {f"It is {i}." for i in range(15, 25)}
    assert not said["train"] & said["test"]
    assert data.rows_of("validation").height > 0


def test_a_column_that_is_not_used_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    pairs(0, 10).with_columns(category=pl.lit("qa"), empty=pl.lit("")).write_ndjson(tmp_path / "rows.jsonl")
    with caplog.at_level(logging.INFO):
        module(tmp_path / "rows.jsonl", tmp_path / "cache").log_summary()
    assert "10  rows of" in caplog.text and "have a column 'category', which is not used" in caplog.text
    assert "'empty'" not in caplog.text
    assert "read from the columns prompt, response" in caplog.text


def test_one_first_question_for_all_still_gives_every_split(tmp_path: Path) -> None:
    rows = pairs(0, 20).with_columns(prompt=pl.lit("Hello!"))
    rows.write_ndjson(tmp_path / "rows.jsonl")
    data = module(tmp_path / "rows.jsonl", tmp_path / "cache")
    assert [data.rows_of(split).height for split in ("train", "validation")] == [16, 4]


def test_files_of_one_name_have_weights_of_their_own(tmp_path: Path) -> None:
    for name, first in (("a", 0), ("b", 100)):
        (tmp_path / name).mkdir()
        pairs(first, 10).write_ndjson(tmp_path / name / "rows.jsonl")
    other = tmp_path / "b" / "rows.jsonl"
    data = module(tmp_path / "a" / "rows.jsonl", tmp_path / "cache", mixture={str(other): 3.0})
    counts = dict(data.rows_of("train").group_by("source").len().rows())
    assert counts[str(other)] == 3 * counts[str(tmp_path / "a" / "rows.jsonl")] > 0


def test_the_hub_layout_is_found(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    pairs(0, 3).write_parquet(tmp_path / "data" / "train-00000-of-00001.parquet")
    (tmp_path / "dataset_infos.json").write_text("{}")
    (tmp_path / "README.md").write_text("x")
    assert [file.name for file in find_files(str(tmp_path), [])] == ["train-00000-of-00001.parquet"]
