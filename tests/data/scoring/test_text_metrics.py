"""Metrics of free text: what each one counts, how sure a mean is, and whether two models differ."""

import json
import math
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from config.schema import run
from data.scoring import instruction_baselines, instruction_scoring, text_metrics


@pytest.mark.parametrize(
    ("metric", "answer", "reference", "score"),
    [
        ("exact_match", "The Eiffel Tower.", "eiffel tower", 1.0),
        ("exact_match", "Eiffel", "Eiffel Tower", 0.0),
        ("token_f1", "a red, warm coat", "a warm coat", 0.8),
        ("token_f1", "", "coat", 0.0),
        ("token_f1", "the", "a", 1.0),
        ("chrf", "cotton", "cotton", 1.0),
        ("chrf", "", "cotton", 0.0),
        ("number", "12 items at 3 are 1,236.50", "= 1236.5", 1.0),
        ("number", "It is -4.", "4", 0.0),
        ("number", "none", "4", 0.0),
        ("number", "4", "none", None),
        ("json", '```json\n{"b": [1], "a": 2}\n```', '{"a": 2, "b": [1]}', 1.0),
        ("json", '{"a": 2', '{"a": 2}', 0.0),
        ("json", '{"a": 2}', "two", None),
    ],
)
def test_what_a_metric_counts(metric: str, answer: str, reference: str, score: float | None) -> None:
    found = text_metrics.METRICS[metric](answer, reference)
    assert found is None if score is None else found == pytest.approx(score)


SIZE = {"$ref": "#/$defs/size"}
SCHEMA = {"type": "object", "required": ["size"], "properties": {"size": SIZE}}
SCHEMA["$defs"] = {"size": {"enum": ["S", "M"]}}


def test_metrics_that_need_a_setting(tmp_path: Path) -> None:
    (tmp_path / "schema.json").write_text(json.dumps(SCHEMA))
    settings = {"metrics": ["pattern", "json_schema", "chrf"], "pattern": "(yes|no)[.!]?"}
    settings["json_schema"] = str(tmp_path / "schema.json")
    metrics = text_metrics.metrics_of(settings)
    assert list(metrics) == settings["metrics"]
    assert [metrics["pattern"](text, "") for text in (" yes.\n", "no", "yes and no", "")] == [1, 1, 0, 0]
    answers = ['{"size": "M"}', '```json\n{"size": "S"}\n```', '{"size": "L"}', "{}", "size M", "[]"]
    assert [metrics["json_schema"](text, "") for text in answers] == [1, 1, 0, 0, 0, 0]


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"metrics": ["pattern"]}, "the metric pattern needs evaluation.pattern="),
        (
            {"metrics": ["pattern"], "pattern": "("},
            r"evaluation.pattern=\(: no regular expression: missing \)",
        ),
        ({"metrics": ["json_schema"], "json_schema": "nowhere.json"}, "No such file"),
        ({"metrics": ["json_schema"], "json_schema": "bad.json"}, "no JSON Schema: 'objct' is not valid"),
        ({"metrics": ["json_schema"], "json_schema": "dangling.json"}, "no JSON Schema: .*nowhere"),
        ({"metrics": ["json_schema"], "json_schema": "noise.json"}, "no JSON Schema: .*decode"),
    ],
)
def test_a_metric_whose_setting_is_wrong_is_named(
    settings: dict[str, Any], told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("dangling.json").write_text('{"properties": {"a": {"$ref": "#/nowhere"}}}')
    Path("bad.json").write_text('{"type": "objct"}')
    Path("noise.json").write_bytes(b"\x80\x81")
    with pytest.raises(ValueError, match=told):
        text_metrics.metrics_of(settings)


def test_chrf_is_that_of_the_paper() -> None:
    """Counted by hand for "ab" and "abc", over the orders that both have: mean precision (2/2 + 1/1) / 2,
    mean recall (2/3 + 1/2) / 2, beta 2.
    """
    precision, recall = 1.0, (2 / 3 + 1 / 2) / 2
    wanted = 5 * precision * recall / (4 * precision + recall)
    assert text_metrics.chrf("ab", "abc") == pytest.approx(wanted)


def test_the_schema_names_all_metrics() -> None:
    assert set(run.METRICS) == set(instruction_scoring.NAMES)
    assert set(instruction_baselines.BASELINES) <= set(run.BASELINES)


def judged(scores: list[float | None], model: str = "tuned") -> pl.DataFrame:
    return pl.DataFrame(
        {"model": model, "split": "test", "row": range(len(scores)), "number": scores, "prediction": "x"},
        strict=False,
    )


def test_a_failed_answer_scores_nothing_and_a_reference_without_a_number_does_not_count() -> None:
    questions = pl.DataFrame({"split": "test", "row": [0, 1, 2], "reference": ["4", "none", "5"]})
    rows = text_metrics.judge(questions, ["4", "4", None], {"number": text_metrics.number})
    assert rows["number"].to_list() == [1.0, None, 0.0]
    figures = text_metrics.summarise(rows, ["number"], seed=0)
    assert (figures["n"], figures["failed"], figures["number"], figures["number_n"]) == (3, 1, 0.5, 2)


def test_all_right_is_not_certain() -> None:
    figures = text_metrics.summarise(judged([1.0] * 20), ["number"], seed=0)
    assert figures["number_low"] == pytest.approx(20 / (20 + 1.959964**2), abs=1e-4)  # Wilson's
    assert figures["number_high"] == 1.0
    assert math.isnan(text_metrics.summarise(judged([None, None]), ["number"], seed=0)["number"])


def test_models_are_compared_row_by_row() -> None:
    better = judged([1.0, 1.0, 0.0, None, *[1.0] * 16])
    worse = judged([1.0, 0.0, 0.0, 1.0, *[0.0] * 16]).sample(fraction=1, shuffle=True, seed=1)
    d = text_metrics.paired(better, worse, "number")
    assert (d.n, d.value) == (19, pytest.approx(17 / 19))
    assert 0 < d.low < d.value < d.high <= 1
    assert d.p < 0.001
    with pytest.raises(ValueError, match="on the same data"):
        text_metrics.paired(better, worse.with_columns(split=pl.lit("other")), "number")


def test_shots_stand_between_the_system_turn_and_the_question() -> None:
    user, system = {"role": "user", "content": "q"}, {"role": "system", "content": "s"}
    questions = pl.DataFrame({"messages": [[system, user]], "question": ["q"], "reference": ["a"]})
    training = pl.DataFrame(
        {
            "messages": [[{"role": "user", "content": text}] for text in ("one", "two", "a much longer one")],
            "question": ["one", "two", "a much longer one"],
            "reference": ["1", "2", "3"],
        }
    )
    (shown,) = instruction_baselines.with_shots(questions, training, 2, seed=0)["messages"].to_list()
    assert [shown[0], shown[-1]] == [system, user]
    assert {turn["content"] for turn in shown[1:-1:2]} == {"one", "two"}
    assert [turn["role"] for turn in shown[1:-1]] == ["user", "assistant"] * 2
