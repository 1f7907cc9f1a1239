"""The cache and the batches: complete or absent, every row once, the same order for the same (seed, epoch), resumable."""

from pathlib import Path

import pytest
import torch

from data.prompts import Example
from data.tokens import IGNORED, Batches, Cache, TokenRows, digest_of


def rows(count: int = 53) -> TokenRows:
    examples = [Example(list(range(10, 10 + 5 + i % 17)), 3) for i in range(count)]
    return TokenRows.of([*examples, Example([1, 2, 3], 3)], 16)


def contents(batches: Batches) -> list[list[list[int]]]:
    return [batch["input_ids"].tolist() for batch in batches]


def test_batch_is_padded_and_masked_by_length() -> None:
    batch = TokenRows.of([Example([0, 1, 0, 7], 2), Example([5, 6], 1)], 16).batch([0, 1])
    assert batch["input_ids"].tolist() == [[0, 1, 0, 7], [5, 6, 0, 0]]
    assert batch["attention_mask"].tolist() == [[1, 1, 1, 1], [1, 1, 0, 0]]
    assert batch["labels"].tolist() == [[IGNORED, IGNORED, 0, 7], [IGNORED, 6, IGNORED, IGNORED]]


def test_cut_rows_lose_their_end() -> None:
    cut = TokenRows.of([Example([1, 2, 3, 4], 2), Example([1, 2, 3, 4], 4)], 3)
    assert cut.lengths.tolist() == [3, 3]
    assert cut.sizes.tolist() == [1, 0]
    assert cut.trainable().tolist() == [0]


@pytest.mark.parametrize("micro", [1, 3, 8])
def test_every_row_occurs_once_and_steps_know_their_tokens(micro: int) -> None:
    batches = Batches(rows(), 8, micro, seed=1, shuffle=True)
    plan = batches.plan(0)
    assert sorted(row for step in plan for part in step for row in part) == list(range(53))
    assert len(list(batches)) == len(batches) == sum(len(step) for step in plan)
    assert batches.steps == len(plan) == 7
    fresh = iter(Batches(rows(), 8, micro, seed=1, shuffle=True))
    for step in plan:
        parts = [next(fresh) for _ in step]
        trained = sum(int((part["labels"] != IGNORED).sum()) for part in parts)
        assert {int(part["step_size"]) for part in parts} == {trained}


def test_order_is_fixed_by_seed_and_epoch() -> None:
    first, second = Batches(rows(), 8, 4, 1, True), Batches(rows(), 8, 4, 1, True)
    epochs = [contents(first), contents(first)]
    assert epochs == [contents(second), contents(second)]
    assert epochs[0] != epochs[1]
    assert epochs[0] != contents(Batches(rows(), 8, 4, 2, True))
    held = Batches(rows(), 8, 4, 1, False)
    assert contents(held) == contents(held)


@pytest.mark.parametrize("stop", [0, 1, 5, 13, 14, 20])
def test_resume_goes_on_where_it_stopped(stop: int) -> None:
    whole = Batches(rows(), 8, 4, 1, True)
    expected = contents(whole) + contents(whole)
    first = Batches(rows(), 8, 4, 1, True)
    seen: list[list[list[int]]] = []
    while len(seen) < stop:
        for batch in first:
            seen.append(batch["input_ids"].tolist())
            if len(seen) == stop:
                break
    second = Batches(rows(), 8, 4, 1, True)
    second.load_state_dict(first.state_dict())
    while len(seen) < len(expected):
        seen += contents(second)
    assert seen == expected


def test_rows_of_like_length_share_a_batch() -> None:
    batches = Batches(rows(400), 16, 16, 1, True)
    padded = sum(batch["input_ids"].numel() for batch in batches)
    assert padded < 1.1 * int(rows(400).lengths.sum())


def test_saved_rows_come_back(tmp_path: Path) -> None:
    rows().save(tmp_path / "rows.pt")
    again = TokenRows.load(tmp_path / "rows.pt")
    assert all(torch.equal(getattr(again, name), getattr(rows(), name)) for name in ("ids", "starts", "prompt_lengths"))


def test_cache_is_complete_or_absent(tmp_path: Path) -> None:
    first, second = Cache(tmp_path, "x", "1"), Cache(tmp_path, "x", "1")
    (first.begin() / "half").write_text("left by a run that was killed")
    assert not first.ready
    (second.begin() / "file").write_text("whole")
    second.commit()
    assert [path.name for path in first.path.iterdir()] == ["file"]


def test_digest_tells_content_apart(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("1")
    (tmp_path / "b").write_text("1")
    assert digest_of(tmp_path / "a", {"x": 1, "y": 2}) == digest_of(tmp_path / "b", {"y": 2, "x": 1})
    assert digest_of(["a", "b"]) != digest_of("a", "b")
