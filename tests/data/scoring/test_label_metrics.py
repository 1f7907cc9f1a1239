"""Figures equal scikit-learn's; intervals equal a bootstrap over rows; nothing that is always right for a
lazy model.
"""

import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import torch
from sklearn import metrics

from data.reports import label_report
from data.scoring import behaviour, label_metrics

LABELS = ["a", "b", "c"]


def rows(count: int, seed: int, labels: list[str] = LABELS, right: float = 0.6) -> pl.DataFrame:
    draw = torch.Generator().manual_seed(seed)
    truth = torch.randint(len(labels), (count,), generator=draw)
    guess = torch.where(
        torch.rand(count, generator=draw) < right, truth, torch.randint(len(labels), (count,), generator=draw)
    )
    return pl.DataFrame({"labels": [[labels[i]] for i in truth], "predicted": [[labels[i]] for i in guess]})


def several(count: int, seed: int) -> tuple[pl.DataFrame, Any, Any]:
    draw = torch.Generator().manual_seed(seed)
    truth = (torch.rand(count, 3, generator=draw) < torch.tensor([0.3, 0.1, 0.05])).long()
    guess = torch.where(torch.rand(count, 3, generator=draw) < 0.8, truth, 1 - truth)
    names = [
        [[label for label, x in zip(LABELS, row, strict=True) if x] for row in one.tolist()]
        for one in (truth, guess)
    ]
    return (
        pl.DataFrame(
            {"labels": names[0], "predicted": names[1]},
            schema=dict.fromkeys(("labels", "predicted"), pl.List(pl.String)),
        ),
        truth,
        guess,
    )


@pytest.mark.parametrize("labels", [["a", "b"], LABELS, ["a", "b", "c", "never"]])
def test_figures_of_one_label_a_row_equal_scikit_learn(labels: list[str]) -> None:
    frame = rows(200, 1, labels[:3])
    found = label_metrics.score(frame, labels, False, 0)
    truth, guess = (frame[column].list.first().to_list() for column in ("labels", "predicted"))
    assert found["n"] == 200
    assert found["accuracy"] == pytest.approx(metrics.accuracy_score(truth, guess))
    for average in label_metrics.AVERAGES:
        p, r, f, _ = metrics.precision_recall_fscore_support(truth, guess, average=average, zero_division=0)
        assert [found[f"{average}_{name}"] for name in ("precision", "recall", "f1")] == pytest.approx(
            [p, r, f]
        )
    if len(labels) == 2:
        assert found["f1"] == pytest.approx(metrics.f1_score(truth, guess, pos_label="b"))
    each = label_metrics.by_class(frame, labels)
    expected = metrics.f1_score(truth, guess, average=None, labels=labels, zero_division=0)
    assert [each[label]["f1"] for label in labels] == pytest.approx(list(expected))


def test_figures_of_several_labels_equal_scikit_learn() -> None:
    frame, truth, guess = several(300, 2)
    found = label_metrics.score(frame, LABELS, True, 0)
    assert found["accuracy"] == pytest.approx(metrics.accuracy_score(truth, guess))
    for average in label_metrics.AVERAGES:
        assert found[f"{average}_f1"] == pytest.approx(
            metrics.f1_score(truth, guess, average=average, zero_division=0)
        )
    wider = [torch.cat([x, (x.sum(1, keepdim=True) == 0).long()], 1) for x in (truth, guess)]
    for average in ("macro", "micro"):
        assert found[f"{average}_f1_with_none"] == pytest.approx(
            metrics.f1_score(*wider, average=average, zero_division=0)
        )


def test_intervals_are_those_of_a_bootstrap_over_rows() -> None:
    frame = rows(150, 3)
    found = label_metrics.score(frame, LABELS, False, 0)
    draws = [
        label_metrics.label_pairs(frame.sample(150, with_replacement=True, seed=i), LABELS)
        for i in range(400)
    ]
    values = torch.tensor(
        [float(label_metrics.measures(t, p, c[None], False)["macro_f1"][0]) for t, p, c in draws],
        dtype=torch.float64,
    )
    low, high = values.quantile(torch.tensor([0.025, 0.975], dtype=torch.float64)).tolist()
    assert found["macro_f1_low"] == pytest.approx(low, abs=0.02)
    assert found["macro_f1_high"] == pytest.approx(high, abs=0.02)
    assert found["macro_f1_low"] < found["macro_f1"] < found["macro_f1_high"]
    assert label_metrics.score(frame, LABELS, False, 0) == found


def test_a_model_that_always_says_the_same_is_visibly_worse() -> None:
    truth = [["fair"]] * 90 + [["unfair"]] * 10
    lazy = pl.DataFrame({"labels": truth, "predicted": [["fair"]] * 100})
    found = label_metrics.score(lazy, ["fair", "unfair"], False, 0)
    assert found["accuracy"] == 0.9
    assert found["f1"] == found["f1_high"] == 0
    assert found["macro_f1"] < 0.5


def test_confusion_counts_every_row_once() -> None:
    frame = rows(80, 4)
    matrix = label_metrics.confusion(frame, LABELS, False)
    assert matrix.sum() == 80
    expected = metrics.confusion_matrix(
        frame["labels"].list.first(), frame["predicted"].list.first(), labels=LABELS
    )
    assert matrix.tolist() == expected.tolist()


def test_confusion_of_several_labels_knows_none() -> None:
    frame = pl.DataFrame({"labels": [["a"], [], ["a", "b"], []], "predicted": [["a"], ["c"], ["a"], []]})
    assert label_metrics.confusion(frame, LABELS, True).tolist() == [
        [2, 0, 0, 0],
        [0, 0, 0, 1],
        [0, 0, 0, 0],
        [0, 0, 1, 1],
    ]


def test_checks_are_judged() -> None:
    checks = [
        {"kind": "invariance", "text": "x", "changed": "y"},
        {"kind": "direction", "text": "x", "label": "a", "changed": "z", "changed_label": "b"},
        {"kind": "minimum", "text": "z", "label": "b"},
        {"kind": "minimum", "text": "z", "label": "a"},
        {"kind": "invariance", "text": "x", "changed": "z"},
    ]  # fmt: skip
    judged = behaviour.judge_checks(checks, {"x": "a", "y": "a", "z": "b"})
    assert judged["passed"].to_list() == [True, True, True, False, False]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"kind": "minimum", "text": "x"}', "line 1: it lacks label"),
        ('{"kind": "minimum", "text": "x", "label": "d"}', "'d' is no label"),
        ('{"kind": "magic", "text": "x"}', "kind must be one of invariance, direction, minimum"),
        ("not json", "line 1: not a check"),
    ],
)
def test_a_wrong_check_is_named(line: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "checks.jsonl").write_text(line)
    with pytest.raises(ValueError, match=message):
        behaviour.read_checks(tmp_path / "checks.jsonl", LABELS)


@pytest.mark.parametrize(
    ("name", "labels"),
    [
        ("tags", ["computer-vision", "mlops", "natural-language-processing", "other"]),
        ("unfair-tos", ["fair", "unfair"]),
    ],
)
def test_the_shipped_checks_are_sound(name: str, labels: list[str]) -> None:
    assert len(behaviour.read_checks(Path(f"data/checks/{name}.jsonl"), labels)) >= 5


def test_a_slice_that_cannot_be_read_is_named() -> None:
    frame = pl.DataFrame({"text": ["a b", "c"], "words": [2, 1]})
    assert label_report.split_slices(frame, {"short": "words < 2"})["short"]["text"].to_list() == ["c"]
    with pytest.raises(ValueError, match=r"evaluation\.slices.odd.*columns: text, words"):
        label_report.split_slices(frame, {"odd": "length_of(text) < 3 AND"})
    with pytest.raises(ValueError, match=r"evaluation\.slices.odd"):
        label_report.split_slices(frame, {"odd": "nothing > 3"})


def finished(folder: Path, model: str, frame: pl.DataFrame, fold: list[int]) -> Path:
    (folder / "model").mkdir(parents=True)
    frame.with_columns(split=pl.lit("test")).write_parquet(folder / "predictions.parquet")
    record = {"labels": LABELS, "origin": {"data": {"label_kind": "single"}}}
    (folder / "model/run.json").write_text(json.dumps(record))
    done = {"data": "d", "model": model, "fold": fold, "monitor": "macro_f1", "seconds": 1.0, "scores": {}}
    (folder / "results.json").write_text(json.dumps(done))
    return folder


def test_folds_are_put_together_and_models_stand_side_by_side(tmp_path: Path) -> None:
    good = [finished(tmp_path / f"good{i}", "good", rows(40, i, right=0.9), [i, 3]) for i in range(3)]
    bad = [finished(tmp_path / f"bad{i}", "bad", rows(40, i, right=0.1), [i, 3]) for i in range(3)]
    again = finished(tmp_path / "again", "good", rows(40, 0, right=0.9), [0, 3])
    text = label_report.compare_models([*bad, *good, again], tmp_path / "comparison")
    lines = text.splitlines()
    assert len(lines) == 4
    assert "3 folds" in lines[2]
    assert lines[2].index("good") and "bad" in lines[3]
    assert lines[2].split("|")[4].strip() == "120"
    assert (tmp_path / "comparison/models.png").read_bytes()[:4] == b"\x89PNG"
    with pytest.raises(ValueError, match="no finished run of a classifier"):
        label_report.compare_models([], tmp_path)
