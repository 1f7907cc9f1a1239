"""A language model as judge: both orders count, and its agreement with people is measured."""

import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from data.scoring import model_judge
from data.scoring.instruction_scoring import InstructionScorer

Requests = list[list[dict[str, str]]]


def shorter(requests: Requests, schema: dict[str, Any]) -> list[str | None]:
    """A judge that prefers the shorter answer, says nothing of 'silent' ones and nonsense of 'odd' ones."""
    replies: list[str | None] = []
    for request in requests:
        shown = json.loads(request[-1]["content"])
        a, b = len(shown["A"]), len(shown["B"])
        choice = "neither" if a == b else ("A" if a < b else "B")
        reply: str | None = json.dumps({"better": choice})
        if shown["question"] == "silent":
            reply = None
        if shown["question"] == "odd":
            reply = "A, of course"
        replies.append(f"```json\n{reply}\n```" if shown["question"] == "fenced" else reply)
    return replies


def first(requests: Requests, schema: dict[str, Any]) -> list[str | None]:
    """A judge that always prefers what it reads first."""
    return ['{"better": "A"}'] * len(requests)


def test_both_orders_count() -> None:
    questions = ["q", "q", "q", "fenced", "silent", "odd", "q"]
    answers = ["no", "no, not at all", "same", "no", "x", "x", None]
    references = ["not", "no", "size", "never", "yy", "yy", "zz"]
    scores = model_judge.compare(shorter, questions, answers, references)
    assert scores == [1.0, 0.0, 0.5, 1.0, None, None, 0.0]
    assert model_judge.compare(first, questions[:3], answers[:3], references[:3]) == [0.5, 0.5, 0.5]


def labels(path: Path, wrong: int, count: int = 12) -> Path:
    rows = []
    for i in range(count):
        pair = ("no", "not so") if i % 2 else ("not so", "no")
        better = "answer" if i % 2 else "reference"
        row = {"question": f"q{i}", "answer": pair[0], "reference": pair[1], "better": better}
        rows.append(row | ({"better": "neither"} if i < wrong else {}))
    path.write_text("\n".join(map(json.dumps, rows)) + "\n", encoding="utf-8")
    return path


def test_agreement_with_people_is_measured(tmp_path: Path) -> None:
    """10 of 12, 6 and 6 by the judge, 5, 5 and 2 by people: kappa (10/12 - 60/144) / (1 - 60/144)."""
    pairs = model_judge.read_labels(str(labels(tmp_path / "labels.jsonl", wrong=2)))
    found = model_judge.agreement(shorter, pairs)
    assert (found.n, found.agreed) == (12, 10)
    assert found.kappa == pytest.approx((10 / 12 - 60 / 144) / (1 - 60 / 144))
    assert str(found).startswith("the judge agrees with people on 83.3% [55.2, 95.3] of 12 pairs")
    assert model_judge.agreement(shorter, pairs[2:]).kappa == 1.0


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "has 0 pairs; at least 10 are needed"),
        ('{"question": "q", "answer": "a", "reference": "r"}', "line 1 has no text better"),
        ('{"question": "q", "answer": "a", "reference": 3, "better": "x"}', "line 1 has no text reference"),
        (
            '{"question": "q", "answer": "a", "reference": "r", "better": "x"}',
            "line 1: better=x: must be",
        ),
        ("[1]", "line 1 has no text question, answer, reference, better"),
        ("{", "Expecting property name"),
    ],
)
def test_labels_that_cannot_be_used_are_named(text: str, told: str, tmp_path: Path) -> None:
    path = tmp_path / "labels.jsonl"
    path.write_text(text)
    with pytest.raises(ValueError, match=told):
        model_judge.read_labels(str(path))


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({}, "the metric judge needs evaluation.judge_model="),
        ({"judge_model": "m"}, "the metric judge needs evaluation.judge_labels=FILE"),
        ({"judge_model": "m", "judge_labels": "nowhere.jsonl"}, "nowhere.jsonl"),
        ({"metrics": ["chrf"], "judge_against": "run"}, "judge_against: is for the metric judge"),
    ],
)
def test_a_judge_without_its_settings_is_refused(settings: dict[str, str], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        InstructionScorer({"metrics": ["judge"], **settings}, None)


def asked(number: int) -> dict[str, Any]:
    text = f"q{number}"
    return {"messages": [{"role": "user", "content": text}], "question": text, "reference": "not so long"}


def scorer(folder: Path, against: Path) -> InstructionScorer:
    settings = {"metrics": ["judge"], "judge_model": "m", "judge_against": str(against)}
    settings["judge_labels"] = str(labels(folder / "labels.jsonl", wrong=0))
    return InstructionScorer(settings, shorter)


@pytest.mark.parametrize("named", ["run", "run/model"])
def test_answers_are_compared_with_those_of_another_run(tmp_path: Path, named: str) -> None:
    (tmp_path / "run/model").mkdir(parents=True)
    told = [("tuned", 0, "ab"), ("tuned", 1, "abcd"), ("untuned", 2, "a"), ("tuned", 3, None)]
    rows = [asked(number) | {"model": model, "prediction": text} for model, number, text in told]
    pl.DataFrame(rows).write_parquet(tmp_path / "run/predictions.parquet")
    judge = scorer(tmp_path, tmp_path / named)
    questions = pl.DataFrame([asked(number) for number in range(4)])
    judged = judge.score(questions, {"tuned": ["abc", "abc", "abc", "abc"]})
    assert judged["judge"].to_list() == [0.0, 1.0, None, None]
    assert judge.agreement.endswith(f"; it compares with the answers of {tmp_path / named}")
    with pytest.raises(ValueError, match="judge_against: that run has answered none of these questions"):
        judge.score(questions[2:], {"tuned": ["abc", "abc"]})


def test_damaged_answers_of_a_run_are_named(tmp_path: Path) -> None:
    (tmp_path / "predictions.parquet").write_bytes(b"PAR1 and then nothing")
    with pytest.raises(ValueError, match=r"judge_against=.*predictions\.parquet cannot be read"):
        scorer(tmp_path, tmp_path)


def test_a_folder_without_answers_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"judge_against=.*: must be the folder of an evaluated run"):
        scorer(tmp_path, tmp_path)
