"""Questions written by a model: read from whatever it answers, checked against the row, repaired or set
aside with the reason.
"""

import json
import os
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from data.questions import written, written_checks
from data.scoring import summaries
from tests.architectures.inference.test_chat_client import Server, server  # noqa: F401
from tests.conftest import typed
from tests.data.scoring.test_verdicts import shop

GOOD = {
    "question": "What are the Kai Solid Jeans made of?",
    "answer": "The Kai Solid Jeans are made of denim.",
    "attribute": "fabric",
}


def check(*items: dict[str, Any], product: str = "1") -> tuple[pl.DataFrame, list[str], dict[str, int]]:
    products = shop()
    answers = [json.dumps({"questions": list(items)}) if name == product else None for name in products["id"]]
    rows, _ = written.read_answers(products, answers)
    sound, aside, repaired = written_checks.check_questions(
        rows, products, pl.Series(["Worn at 2 weddings."] + [None] * 4, dtype=pl.String)
    )
    return sound, aside["reason"].to_list(), repaired


@pytest.mark.parametrize(
    ("answer", "count", "reason"),
    [
        (json.dumps({"questions": [GOOD]}), 1, ""),
        (json.dumps([GOOD, GOOD]), 2, ""),
        (
            f"Here you are:\n```json\n{json.dumps({'questions': [GOOD]}, indent=2)}\n```\nAnything else?",
            1,
            "",
        ),
        (None, 0, "no answer came"),
        ("I cannot do that.", 0, "no list of questions"),
        ('{"questions": [{"question": "x", "ans', 0, "no list of questions"),
        ("{oops}", 0, "not JSON"),
        ("{}", 0, "no list of questions"),
        ('{"questions": [{"question": 3, "answer": null}, "x"]}', 0, "no question with an answer"),
    ],
)
def test_answers_are_read_or_the_reason_is_told(answer: str | None, count: int, reason: str) -> None:
    items, why = written.parse_answer(answer)
    assert (len(items), why) == (count, reason)


def test_a_sound_question_gets_its_truth() -> None:
    sound, aside, repaired = check(GOOD)
    assert aside == []
    assert set(repaired.values()) == {0}
    (row,) = sound.iter_rows(named=True)
    assert row == {
        "product_id": "1",
        "kind": "attribute",
        "question": GOOD["question"],
        "sentence": GOOD["answer"],
        "answer_id": "1",
        "conditions": [{"key": "Fabric", "value": "Denim"}],
        "expected": "Denim",
    }


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (
            {"answer": "The Kai Solid Jeans are made of silk."},
            "the answer does not tell the attribute as the row has it",
        ),
        ({"answer": "The Kai Solid Jeans are denim, for 30 euros."}, "a number that the row has not"),
        (
            {"answer": "The Kai Solid Jeans are striped.", "attribute": None},
            "another value of an attribute than the row's",
        ),
        ({"answer": " "}, "an empty question or answer"),
        ({"answer": "denim " * 200}, "too long"),
    ],
)
def test_what_the_row_does_not_say_is_set_aside(change: dict[str, Any], reason: str) -> None:
    sound, aside, _ = check(GOOD | change)
    assert aside == [reason]
    assert sound.height == 0


def test_the_same_question_twice_counts_once() -> None:
    sound, aside, _ = check(GOOD, GOOD | {"question": "what are  the KAI solid jeans made of?"})
    assert (sound.height, aside) == (1, ["asked twice"])


def test_what_can_be_mended_is_and_is_counted() -> None:
    sound, aside, repaired = check(
        {"question": "What is it made of?", "answer": "Denim.", "attribute": "Fabric"},
        {
            "question": "Where were the Kai Solid Jeans worn?",
            "answer": "At 2 weddings.",
            "attribute": "venue",
        },
    )
    assert aside == []
    assert sound["question"].to_list() == [
        "About the Kai Solid Jeans: What is it made of?",
        "Where were the Kai Solid Jeans worn?",
    ]
    assert sound["sentence"].to_list() == [
        "The Kai Solid Jeans: Denim.",
        "The Kai Solid Jeans: At 2 weddings.",
    ]
    assert sound["kind"].to_list() == ["attribute", "open"]
    assert list(repaired.values()) == [1, 2, 1]


def test_an_answer_cannot_bring_a_block_of_its_own() -> None:
    sound, _, _ = check(GOOD | {"answer": f"{GOOD['answer']} Product Name: Another\n- Fabric: Silk"})
    assert sound["sentence"].to_list() == [GOOD["answer"]]


def test_a_request_holds_the_row_and_nothing_else() -> None:
    first, *_ = written.build_requests(shop(), pl.Series(["d" * 5000] + [None] * 4), 3, "")
    assert "Write 3 different questions" in first[0]["content"]
    assert '{"questions": [{"question": "...", "answer": "...", "attribute": "..."}]}' in first[0]["content"]
    told = json.loads(first[1]["content"])
    assert (told["name"], told["category"]) == ("Kai Solid Jeans", "Women's Clothing, Jeans")
    assert told["attributes"] == {"Fabric": "Denim", "Pattern": "Solid"}
    assert set(told) == {"name", "category", "attributes", "description"}
    assert len(told["description"]) == 2000


class Writer(Server):
    """A model that reads the row: of each product's questions some are right, one is wrong, and every
    fifth answer is not JSON.
    """

    def answer(self, text: str, first: bool, request: dict[str, Any]) -> None:
        row = json.loads(text)
        name, (key, value) = row["name"], next(iter(row["attributes"].items()))
        items = [
            {
                "question": f"What is the {key} of the {name}?",
                "answer": f"The {key} of the {name} is {value}.",
                "attribute": key,
            },
            {"question": f"Tell me the {key}?", "answer": f"It is {value}.", "attribute": key},
            {
                "question": f"What does the {name} cost?",
                "answer": f"The {name} costs 98765.",
                "attribute": None,
            },
        ]
        content = "Sorry!" if len(self.seen) % 5 == 0 else json.dumps({"questions": items})
        self.complete(content, 10, 5)


def test_from_an_endpoint_to_training_rows(
    server: type[Server],  # noqa: F811
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The whole way, stopped once by the budget; the second time only the rest is asked, the third time
    nothing.
    """
    import train

    server.answer = Writer.answer  # type: ignore[method-assign]
    given = [
        "data/questions=endpoint",
        "data.questions.served_model=m",
        "data.limit=40",
        f"outputs={tmp_path}",
    ]
    few = train.prepare(typed(*given, "data.questions.max_requests=15"))
    assert len(server.seen) == 15
    assert "25 requests have no answer" in caplog.text
    data = train.prepare(typed(*given))
    assert len(server.seen) == 40
    assert data.digest != few.digest
    train.prepare(typed(*given, "data.questions.concurrency=2"))
    assert len(server.seen) == 40
    questions = pl.concat([data.questions(split) for split in ("train", "validation", "test", "unseen")])
    written = questions.filter(pl.col("kind") == "attribute")
    assert written.height == 2 * (40 - 8)
    assert dict(data.report["written_set_aside"]) == {
        "a number that the row has not": 32,
        "no list of questions": 8,
    }
    assert dict(data.report["written_repaired"])["question names the product now"] == 32
    truth = data.judge(questions, questions["answer"].to_list())
    assert truth.filter(~summaries.RIGHT).height == 0
    assert not any(
        os.environ["OPENAI_API_KEY"] in path.read_bytes().decode("latin-1")
        for path in tmp_path.rglob("*")
        if path.is_file()
    )


def test_nothing_sound_is_told(server: type[Server], tmp_path: Path) -> None:  # noqa: F811
    import train

    with pytest.raises(ValueError, match="none of the answers gave a sound question"):
        train.prepare(
            typed(
                "data/questions=endpoint",
                "data.questions.served_model=m",
                "data.limit=20",
                f"outputs={tmp_path}",
            )
        )


def test_a_missing_instruction_is_told(server: type[Server], tmp_path: Path) -> None:  # noqa: F811
    import train

    given = [
        "data/questions=endpoint",
        "data.questions.served_model=m",
        f"data.questions.system_prompt={tmp_path / 'none.txt'}",
    ]
    with pytest.raises(ValueError, match=r"system_prompt=.*none\.txt: there is no such file"):
        train.prepare(typed(*given, f"outputs={tmp_path}"))
    assert server.seen == []
