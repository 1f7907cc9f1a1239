"""The cache and the batches: complete or absent, every row once, the same order for the same (seed,
epoch), resumable.
"""

from pathlib import Path

import pytest
import torch

from data.files import Cache, digest_of
from data.tokens import batches
from data.tokens import rows as token_rows
from data.tokens.batches import EvaluationBatches, TrainingBatches
from data.tokens.batching import Batching
from data.tokens.example import Example
from data.tokens.rows import TokenRows


def rows(count: int = 53) -> TokenRows:
    examples = [Example.turn(list(range(10, 10 + 5 + i % 17)), 3) for i in range(count)]
    return TokenRows.of([*examples, Example.turn([1, 2, 3], 3)], 16)


def taken(batches: object) -> list[list[int]]:
    return [batch["rows"].tolist() for batch in batches]  # type: ignore[attr-defined]


def test_batch_has_rows_on_end_and_answers_by_length() -> None:
    batch = TokenRows.of(
        [
            Example.turn([0, 1, 0, 7], 2),
            Example.turn([5, 6], 1),
            Example.turn([8, 9], 0),
            Example.turn([4, 4], 2),
        ],
        16,
    ).batch([0, 1, 2, 3])
    assert batch["input_ids"].tolist() == [0, 1, 0, 7, 5, 6, 8, 9, 4, 4]
    assert batch["lengths"] == [4, 2, 2, 2]
    assert batch["places"].tolist() == [1, 2, 4, 6]  # nothing predicts a first id
    assert batch["targets"].tolist() == [0, 7, 6, 9]
    assert batch["tokens"] == 10


def test_every_answer_of_a_conversation_is_trained_and_nothing_else() -> None:
    rows = TokenRows.of([Example([1, 2, 3, 4, 5, 6, 7], ((2, 4), (6, 7))), Example.turn([8, 9], 1)], 16)
    assert rows.sizes.tolist() == [3, 1]
    assert rows.batch([1, 0])["targets"].tolist() == [9, 3, 4, 7]
    assert rows.batch([0])["places"].tolist() == [1, 2, 5]
    assert TokenRows.of([Example([1, 2, 3, 4, 5, 6, 7], ((2, 4), (6, 7)))], 5).sizes.tolist() == [2]


def test_cut_rows_lose_their_end() -> None:
    cut = TokenRows.of([Example.turn([1, 2, 3, 4], 2), Example.turn([1, 2, 3, 4], 4)], 3)
    assert cut.lengths.tolist() == [3, 3]
    assert cut.sizes.tolist() == [1, 0]
    assert cut.trainable().tolist() == [0]


def shared(monkeypatch: pytest.MonkeyPatch, world: int, make: object) -> list[list[dict[str, torch.Tensor]]]:
    """The batches of each of ``world`` processes."""
    found = []
    for rank in range(world):
        monkeypatch.setattr(batches, "process_rank", lambda rank=rank: (rank, world))
        found.append(list(make()))  # type: ignore[operator]
        assert len(found[-1]) == len(make())  # type: ignore[operator]
    return found


@pytest.mark.parametrize(
    ("accumulate", "world"), [(1, 1), (3, 1), (8, 1), (1, 2), (2, 2), (1, 4), (3, 4), (1, 7)]
)
def test_every_row_occurs_once_an_epoch_and_steps_are_the_same_however_they_are_shared(
    monkeypatch: pytest.MonkeyPatch, accumulate: int, world: int
) -> None:
    plan = [step for epoch in (0, 1) for step in TrainingBatches(rows(), Batching(8, 1, 2), 1).plan(epoch)]
    assert (
        sorted(row for step in plan[:7] for row in step)
        == sorted(row for step in plan[7:] for row in step)
        == list(range(53))
    )
    parts = shared(monkeypatch, world, lambda: TrainingBatches(rows(), Batching(8, accumulate, 2), 1))
    assert {len(part) for part in parts} == {14 * accumulate}
    for number, step in enumerate(plan):
        mine = [part[number * accumulate + i] for i in range(accumulate) for part in parts]
        counted = [row for batch in mine for row in batch["rows"].tolist() if len(batch["targets"])]
        assert sorted(counted) == sorted(step)
        trained = sum(len(batch["targets"]) for batch in mine)
        assert {int(batch["step_size"]) for batch in mine} == {trained}
        assert all(len(batch["rows"]) for batch in mine)


@pytest.mark.parametrize("world", [1, 2, 3, 60])
def test_evaluation_takes_every_row_once(monkeypatch: pytest.MonkeyPatch, world: int) -> None:
    parts = shared(monkeypatch, world, lambda: EvaluationBatches(rows(), 8))
    assert len({len(part) for part in parts}) == 1
    counted = [
        row for part in parts for batch in part for row in batch["rows"].tolist() if len(batch["targets"])
    ]
    assert sorted(counted) == list(range(53))


def test_order_is_fixed_by_seed_and_epoch() -> None:
    first = taken(TrainingBatches(rows(), Batching(8, 2, 2), 1))
    assert first == taken(TrainingBatches(rows(), Batching(8, 2, 2), 1))
    assert first[:14] != first[14:]
    assert first != taken(TrainingBatches(rows(), Batching(8, 2, 2), 2))
    assert first[:6] == taken(TrainingBatches(rows(), Batching(8, 2, 2, max_steps=3), 1))


@pytest.mark.parametrize("stop", [0, 1, 6, 7, 8, 13])
def test_resume_goes_on_where_it_stopped(stop: int) -> None:
    """Also with other micro-batches: the steps have the same rows."""
    whole = TrainingBatches(rows(), Batching(8, 2, 2), 1)
    expected = taken(TrainingBatches(rows(), Batching(8, 2, 2), 1))
    seen = [batch["rows"].tolist() for batch, _ in zip(whole, range(2 * stop), strict=False)]
    state = whole.state_dict()
    assert state == {"steps": stop}
    again, other = (
        TrainingBatches(rows(), Batching(8, 2, 2), 1),
        TrainingBatches(rows(), Batching(8, 1, 2), 1),
    )
    again.load_state_dict(state)
    other.load_state_dict(state)
    assert seen + taken(again) == expected
    assert taken(other) == [expected[i] + expected[i + 1] for i in range(2 * stop, 28, 2)]


def test_rows_of_like_length_share_a_batch() -> None:
    batches = TrainingBatches(rows(400), Batching(16), 1)
    padded = sum(batch["input_ids"].numel() for batch in batches)
    assert padded < 1.1 * int(rows(400).lengths.sum())


def test_saved_rows_come_back(tmp_path: Path) -> None:
    rows().save(tmp_path / "rows.pt")
    again = TokenRows.load(tmp_path / "rows.pt")
    assert all(
        torch.equal(getattr(again, name), getattr(rows(), name)) for name in ("ids", "starts", "trained")
    )


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


@pytest.mark.parametrize("in_memory", [True, False])
def test_rows_made_in_parts_are_those_made_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, in_memory: bool
) -> None:
    monkeypatch.setattr(token_rows, "COUNTED_AT_ONCE", 4)
    examples = [Example.turn(list(range(10, 10 + 5 + i % 7)), 3) for i in range(9)]
    whole = TokenRows.of(examples, 9)
    some = [TokenRows.of(few, 9) for few in ([], examples[:4], examples[4:])]
    path = tmp_path / "rows.pt"
    if in_memory:
        TokenRows.joined(some).save(path)
        parts = TokenRows.load(path)
    else:
        parts = TokenRows.write(iter(some), path)
    assert [file.name for file in tmp_path.iterdir()] == ["rows.pt"]
    assert parts.sizes.tolist() == [min(5 + i % 7, 9) - 3 for i in range(9)]
    assert torch.equal(parts.ids, whole.ids)
    assert torch.equal(parts.starts, whole.starts)
    assert torch.equal(parts.trained, whole.trained)
    assert parts.ids.dtype == torch.int32
