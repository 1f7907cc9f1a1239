"""How well an answer in free text meets its reference: one function a metric, the figures of several models,
and whether two of them differ.

A metric is (answer, reference) -> a score from 0 to 1, or None where the reference does not allow one.
To add a metric, add a function to `METRICS`, or to `METRICS_BY_SETTING` what makes one of a setting.
"""

import json
import re
import string
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl

from data.scoring.statistics import MeanDifference, mean_difference, mean_interval, wilson
from data.values import JsonObject, Settings

if TYPE_CHECKING:
    from sacrebleu.metrics import CHRF

Metric = Callable[[str, str], float | None]

NUMBER = re.compile(r"-?\d[\d,]*(?:\.\d+)?")


def words_of(text: str) -> list[str]:
    """Words in lower case without punctuation and articles, as SQuAD counts them (Rajpurkar et al. 2016,
    https://arxiv.org/abs/1606.05250).
    """
    plain = text.casefold().translate(str.maketrans("", "", string.punctuation))
    return [word for word in plain.split() if word not in ("a", "an", "the")]


def exact_match(answer: str, reference: str) -> float:
    """1 if both have the same words in the same order."""
    return float(words_of(answer) == words_of(reference))


def token_f1(answer: str, reference: str) -> float:
    """Harmonic mean of the precision and recall of words, as SQuAD counts them."""
    given, wanted = Counter(words_of(answer)), Counter(words_of(reference))
    if not given or not wanted:
        return float(given == wanted)
    return 2 * (given & wanted).total() / (given.total() + wanted.total())


def chrf(answer: str, reference: str) -> float:
    """F-score of character n-grams up to 6 (Popović 2015, https://aclanthology.org/W15-3049), from
    sacrebleu.
    """
    return _chrf_scorer().sentence_score(answer, [reference]).score / 100


@cache
def _chrf_scorer() -> "CHRF":
    """With sacrebleu's defaults."""
    from sacrebleu.metrics import CHRF

    return CHRF()


def number(answer: str, reference: str) -> float | None:
    """1 if the last number in the answer is the last one in the reference; None without one there."""
    wanted, given = NUMBER.findall(reference), NUMBER.findall(answer)
    if not wanted:
        return None
    return float(bool(given) and _as_number(given[-1]) == _as_number(wanted[-1]))


def _as_number(text: str) -> float:
    """A number as it is written, with commas between thousands."""
    return float(text.replace(",", ""))


def _json_match(answer: str, reference: str) -> float | None:
    """1 if the answer is JSON with the same value as the reference; None where the reference is no JSON
    object or list.
    """
    wanted = _as_json(reference)
    return None if wanted is None else float(_as_json(answer) == wanted)


def _as_json(text: str) -> object:
    """The JSON object or list of a text, which may stand in a Markdown code block; None if it is none."""
    block = re.fullmatch(r"```(?:json)?\s*(.*?)\s*```", text.strip(), re.DOTALL)
    try:
        value = json.loads(block[1] if block else text)
    except ValueError:
        return None
    return value if isinstance(value, dict | list) else None


def _pattern_metric(pattern: str) -> Metric:
    """1 if the whole answer, without white space at its ends, matches a regular expression. Raises ValueError
    for a text that is none.
    """
    try:
        compiled = re.compile(pattern, re.DOTALL)
    except re.error as error:
        raise ValueError(f"evaluation.pattern={pattern}: no regular expression: {error}") from None
    return lambda answer, reference: float(compiled.fullmatch(answer.strip()) is not None)


def _schema_metric(path: str) -> Metric:
    """1 if the answer is JSON that a JSON Schema, a file, allows. Raises ValueError if it cannot be read."""
    from jsonschema import SchemaError, validators
    from referencing.exceptions import Unresolvable

    try:
        schema = json.loads(Path(path).read_text(encoding="utf-8"))
        checker = validators.validator_for(schema)
        checker.check_schema(schema)
        validator = checker(schema)
        for reference in _references(schema):
            validator.evolve(schema={"$ref": reference}).is_valid(None)  # raises if it leads nowhere
    except (OSError, ValueError, SchemaError, Unresolvable) as error:
        reason = error.message if isinstance(error, SchemaError) else error
        raise ValueError(f"evaluation.json_schema={path}: no JSON Schema: {reason}") from None

    def is_valid(answer: str, reference: str) -> float:
        value = _as_json(answer)
        return float(value is not None and validator.is_valid(value))

    return is_valid


def _references(schema: object) -> Iterator[str]:
    """Every reference in a JSON Schema to another part of it."""
    if isinstance(schema, dict):
        if isinstance(schema.get("$ref"), str):
            yield schema["$ref"]
        schema = list(schema.values())
    for part in schema if isinstance(schema, list) else ():
        yield from _references(part)


METRICS: dict[str, Metric] = {
    "exact_match": exact_match,
    "token_f1": token_f1,
    "chrf": chrf,
    "number": number,
    "json": _json_match,
}
METRICS_BY_SETTING: dict[str, Callable[[str], Metric]] = {  # metric and its setting -> what makes it
    "pattern": _pattern_metric,
    "json_schema": _schema_metric,
}


def metrics_of(settings: Settings) -> dict[str, Metric]:
    """The metrics that the settings name. Raises ValueError for one whose own setting is missing or wrong.

    Args:
        settings: fields of the configuration group `evaluation`.
    """
    chosen: dict[str, Metric] = {}
    for name in settings["metrics"]:
        if name in METRICS:
            chosen[name] = METRICS[name]
            continue
        if name not in METRICS_BY_SETTING:
            raise ValueError(f"the metric {name} is for evaluations, not for trainer.monitor")
        if not settings.get(name):
            raise ValueError(f"the metric {name} needs evaluation.{name}=...")
        chosen[name] = METRICS_BY_SETTING[name](settings[name])
    return chosen


def judge(questions: pl.DataFrame, answers: list[str | None], metrics: Mapping[str, Metric]) -> pl.DataFrame:
    """Questions (column reference) with ``prediction`` and a column for each metric. An answer that failed
    scores 0.
    """
    pairs = list(zip(answers, questions["reference"], strict=True))
    columns = [pl.Series("prediction", answers, dtype=pl.String)]
    for name, metric in metrics.items():
        scores = [metric(answer or "", reference) for answer, reference in pairs]
        columns.append(pl.Series(name, scores, dtype=pl.Float64))
    return questions.with_columns(columns)


def interval(values: pl.Series, seed: int) -> tuple[float, float]:
    """95% interval of a mean: the bootstrap's, and where every score is 0 or 1 at least Wilson's."""
    if not len(values):
        return 0.0, 1.0
    low, high = mean_interval(values.to_torch(), seed)
    if values.is_in([0.0, 1.0]).all():
        narrow = wilson(float(values.sum()), len(values))
        low, high = min(low, narrow[0]), max(high, narrow[1])
    return low, high


def summarise(judged: pl.DataFrame, metrics: list[str], seed: int) -> dict[str, float]:
    """n, requests that failed, and the mean of each metric with the ends of its 95% interval."""
    found: dict[str, float] = {"n": judged.height, "failed": judged["prediction"].null_count()}
    for name in metrics:
        scores = judged[name].drop_nulls()
        low, high = interval(scores, seed)
        mean = float(scores.sum()) / len(scores) if len(scores) else float("nan")
        found |= {name: mean, f"{name}_low": low, f"{name}_high": high, f"{name}_n": len(scores)}
    return found


def paired(a: pl.DataFrame, b: pl.DataFrame, metric: str, seed: int = 0) -> MeanDifference:
    """Compare two models' judged answers row by row. Raises ValueError if they share no row."""
    keys = ["split", "row"]
    rows = a.select(*keys, a=metric).join(b.select(*keys, b=metric), on=keys).drop_nulls()
    if not rows.height:
        raise ValueError(f"no row has a score of both models for {metric}: evaluate them on the same data")
    return mean_difference((rows["a"] - rows["b"]).to_torch(), seed)


def score_models(judged: pl.DataFrame, metrics: list[str], seed: int) -> dict[str, JsonObject]:
    """'model, split' -> its figures."""
    groups = judged.group_by("model", "split", maintain_order=True)
    return {f"{model}, {split}": summarise(rows, metrics, seed) for (model, split), rows in groups}
