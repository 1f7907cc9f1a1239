"""One question of each kind, for people to read."""

from typing import Any

import polars as pl

from data.questions.listing import one_of_each_kind


def test_each_kind_is_shown_once_with_its_earlier_turns() -> None:
    earlier = [{"question": "Which colour?", "answer": "Red."}]
    goes_on = {"kind": "follow_up", "context": "Shop", "question": "And the size?", "answer": "Small."}
    rows: list[dict[str, Any]] = [
        {"kind": "search", "context": "Shop", "question": "Any mug?", "answer": "Yes.\n Product Name: Mug"},
        {"kind": "search", "context": "Shop", "question": "Any jug?", "answer": "Yes."},
        goes_on | {"earlier": earlier},
    ]
    text = one_of_each_kind(pl.DataFrame(rows))
    assert text == (
        "follow_up (Shop)\n    ? Which colour?\n    Red.\n    ? And the size?\n    Small.\n\n"
        "search (Shop)\n    ? Any mug?\n    Yes.\n     Product Name: Mug"
    )
