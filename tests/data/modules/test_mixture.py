"""Instruction rows mixed into the training of a model for a catalogue."""

import json
from pathlib import Path
from typing import Any

import pytest

import train
from architectures.training.signals import Signals
from data.modules.mixture import with_mixture
from data.modules.retail import RetailData
from data.tokens.prompts import Renderer
from data.tokens.rows import TokenRows
from tests.conftest import POCKET, ROOT, typed

PAIRS = 20


def chat(path: Path, more: str = "") -> Path:
    lines = [json.dumps({"instruction": f"Say {i}.", "output": f"It is {i}."}) for i in range(PAIRS)]
    path.write_text("\n".join(lines) + more, encoding="utf-8")
    return path


def prepared(tmp_path: Path, *more: str) -> Any:
    return train.prepare(typed("data.limit=60", f"outputs={tmp_path}", *more))


@pytest.fixture(autouse=True)
def at_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)


@pytest.mark.parametrize(("weight", "rows"), [(1, PAIRS), (0.5, PAIRS // 2), (2.5, 5 * PAIRS // 2)])
def test_rows_follow_the_questions_as_often_as_the_weight_says(
    weight: float, rows: int, tmp_path: Path
) -> None:
    path = chat(tmp_path / "chat.jsonl")
    plain = prepared(tmp_path)
    mixed = prepared(tmp_path, f"+data.mixture={{{path}: {weight}}}")
    count = len(plain.rows["train"])
    assert len(mixed.rows["train"]) == count + rows
    first = [data.rows["train"].batch([0, 1])["targets"].tolist() for data in (plain, mixed)]
    assert first[0] == first[1]
    shown = mixed.renderer.tokenizer.decode(mixed.rows["train"].batch([count])["input_ids"].tolist())
    answer = mixed.renderer.tokenizer.decode(mixed.rows["train"].batch([count])["targets"].tolist())
    assert "Say " in shown and answer.startswith("It is ")
    # What is asked and judged stays as it is.
    assert len(mixed.rows["validation"]) == len(plain.rows["validation"])
    assert (mixed.max_new_tokens, mixed.digest) == (plain.max_new_tokens, plain.digest)
    assert mixed.describe_rows([0, count]).endswith("; 1 rows of data.mixture")
    assert mixed.describe_rows([0]) == plain.describe_rows([0])


def test_damaged_rows_are_left_out_and_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = chat(tmp_path / "chat.jsonl", '\n{"instruction": "x"\n')
    with caplog.at_level("INFO"):
        prepared(tmp_path, f"+data.mixture={{{path}: 1}}")
    assert f"1  rows of {path} are damaged or no conversation: left out" in caplog.text
    assert f"{PAIRS}  rows of {path} are mixed into training (weight 1)" in caplog.text


def test_a_file_without_conversations_is_one_error(tmp_path: Path) -> None:
    (tmp_path / "table.csv").write_text("a,b\n1,2\n")
    with pytest.raises(ValueError, match=r"data\.mixture: .*table\.csv"):
        prepared(tmp_path, f"+data.mixture={{{tmp_path / 'table.csv'}: 1}}")


def test_a_missing_file_is_named() -> None:
    rows, settings = TokenRows.of([], 8), {"mixture": {"nowhere.jsonl": 1.0}, "max_seq_length": 8}
    with pytest.raises(ValueError, match=r"data\.mixture: there is no file or folder nowhere\.jsonl"):
        with_mixture(rows, settings, Renderer(str(POCKET)), 0)


def test_an_evaluation_does_not_need_the_file(tmp_path: Path) -> None:
    import evaluate

    path = chat(tmp_path / "chat.jsonl")
    folder = tmp_path / "run"
    folder.mkdir()
    small = ["trainer.max_steps=2", "trainer.precision=32-true", "tracking.system_metrics=false", "stage=fit"]
    config = typed("data.limit=60", f"outputs={tmp_path}", f"+data.mixture={{{path}: 1}}", *small)
    train.run(config, folder, Signals())
    path.unlink()
    record = json.loads((folder / "model/run.json").read_text())
    data: RetailData = evaluate.open_data(record["origin"], record["model"]["base"], tmp_path)
    data.prepare_data()
    assert data.digest == record["origin"]["digest"]
    assert data.evaluation_questions(3).height
