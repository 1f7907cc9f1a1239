"""Finished runs that answered questions: read, find, choose the best."""

import json
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import polars as pl

from data.reports.answer_files import JUDGED
from data.values import Json, JsonObject, Settings

ARTIFACTS = (".parquet", ".png", ".md", ".html")
RECORDS = ("scores.json", "results.json", "metrics.jsonl", JUDGED)  # by which runs are compared
QUESTION_KEY = ["split", "product_id", "question"]  # columns that say which question an answer is to
CLASSIFIERS = "classifiers"
KINDS = {  # key of the scores -> what such runs trained
    "splits": CLASSIFIERS,
    "grounded": "models that answer questions about a catalogue",
    "texts": "models trained on instructions",
}
# What `evaluation` of a run lacks: fields of later versions, and what only evaluate.py can set.
LATER_FIELDS: Settings = {
    "metrics": ["chrf", "token_f1", "exact_match"],
    "pattern": "",
    "json_schema": "",
    "judge_model": "",
    "judge_labels": "",
    "judge_against": "",
    "general": [],
    "general_rows": 200,
    "variants": [],
    "speed": False,
    "price": 0,
}


@dataclass(frozen=True)
class EvaluatedRun:
    """What a run's folder holds: scores, training results ({} where only predictions are there), judged
    answers, metrics by step.
    """

    folder: Path
    name: str
    scores: JsonObject
    results: JsonObject
    rows: pl.DataFrame
    metrics: list[dict[str, float]]

    @property
    def validation(self) -> str:
        """The figure that chose the best checkpoint, or a dash where it is not known."""
        return f"{self.results['monitor']} {self.results['validation']:.4f}" if self.results else "-"

    @property
    def deciding_split(self) -> str:
        """The rows that decide: those of a user's own file, else the test rows, else the validation rows,
        which also chose the best checkpoint.
        """
        present = set(self.rows["split"])
        return next(split for split in ("other", "test", "validation") if split in present)

    @property
    def tuned(self) -> pl.DataFrame:
        """The tuned model's judged answers."""
        return self.rows.filter(pl.col("model") == "tuned")


def run_name(origin: Settings) -> str:
    """What a run is called in tables: its experiment, and the rank of its adapter."""
    settings = origin["settings"]
    rank = f" r={settings['model.lora_r']}" if settings["model.adapter"] == "lora" else ""
    return f"{origin['experiment']}{rank}"


def evaluation_settings(origin: Settings) -> Settings:
    """The fields of `evaluation` that a run with that origin was made with."""
    return LATER_FIELDS | origin["evaluation"]


def read_json(path: Path) -> Json:
    """A JSON file. Raises ValueError that names it, if it is damaged."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is damaged ({error}): run the evaluation, or the sweep, again") from None


def kind_of(folder: Path) -> str:
    """What the evaluated run in a folder trained, by its scores."""
    scores = read_json(folder / "scores.json")
    return next(kind for key, kind in KINDS.items() if key in scores)


def read_run(folder: Path, label: str = "") -> EvaluatedRun:
    """Read what an evaluation wrote; ``label`` is added to the run's name. Raises ValueError if the folder
    holds no scored answers.
    """
    try:
        scores = json.loads((folder / "scores.json").read_text(encoding="utf-8"))
        rows = pl.read_parquet(folder / "predictions.parquet")
        name = f"{scores['name']} ({label})" if label else str(scores["name"])
        path = folder / "results.json"
        results = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
        path = folder / "metrics.jsonl"
        lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
        metrics = [json.loads(line) for line in lines]
    except (OSError, ValueError, KeyError, pl.exceptions.PolarsError) as error:
        raise ValueError(
            f"{folder} holds no scored answers of a model ({error!r:.200}): evaluate it first"
        ) from None
    return EvaluatedRun(folder, name, scores, results, rows, metrics)


def baseline_classifiers(run: EvaluatedRun, outputs: Path) -> list[EvaluatedRun]:
    """The newest finished run of each classifier that is not fine-tuned, on the data of a classifier's run;
    [] for a model that answers.
    """
    if "splits" not in run.scores:
        return []
    digest = run.scores["data_digest"]
    newest: dict[str, EvaluatedRun] = {}
    places = [*outputs.glob("runs/*/scores.json"), *outputs.glob("sweeps/*/*/scores.json")]
    for path in sorted(places, key=lambda place: place.stat().st_mtime):
        scores = read_json(path)
        settings = scores.get("origin", {}).get("settings", {})
        is_baseline = settings.get("model.method", "fine-tune") != "fine-tune"
        if "splits" in scores and is_baseline and scores["data_digest"] == digest:
            newest[scores["name"]] = read_run(path.parent)
    return list(newest.values())


def copy_training_record(model: Path, folder: Path) -> None:
    """Copy the results and metrics of the run that trained a model into an evaluation's folder, where they
    are at hand.
    """
    for name in ("results.json", "metrics.jsonl"):
        for place in (model.parent, model.parent.parent):
            if (place / name).is_file():
                shutil.copy(place / name, folder / name)
                break


def artifacts(folder: Path) -> list[Path]:
    """The files of an evaluation that the tracking server gets, in order of their names."""
    paths = [path for path in folder.iterdir() if path.suffix in ARTIFACTS or path.name in RECORDS]
    return sorted(paths)


def _find_runs(name: str, outputs: Path) -> list[Path]:
    """Folders of the evaluated runs that a name stands for: a run's or a sweep's folder, or its name, or that
    of a data set.

    Raises ValueError if there are none.
    """
    places = [Path(name), outputs / "sweeps" / name, outputs / "runs" / name]
    place = next((path for path in places if path.is_dir()), None)
    if place and (place / "ledger.json").is_file():
        folders = [Path(row["folder"]) for row in read_json(place / "ledger.json")]
    elif place:
        folders = [place]
    else:
        results = [*outputs.glob("runs/*/results.json"), *outputs.glob("sweeps/*/*/results.json")]
        results.sort(key=lambda path: path.stat().st_mtime)
        folders = [path.parent for path in results if read_json(path).get("data") == name]
    folders = [path for path in folders if (path / "scores.json").is_file()]
    if not folders:
        raise ValueError(
            f"compare={name}: no evaluated run there; give the folder of a run or a sweep, an"
            f" MLflow run, or a data set's"
            " name"
        )
    return folders


def find_all(names: list[str], outputs: Path, remote: Callable[[str, Path], list[Path]]) -> list[Path]:
    """Folders of the evaluated runs that names stand for, each once.

    Args:
        remote: downloads the runs of an MLflow run's id.
    """
    folders: dict[Path, None] = {}
    for name in names:
        folders |= dict.fromkeys(remote(name, outputs) if is_run_id(name) else _find_runs(name, outputs))
    return list(folders)


def is_run_id(name: str) -> bool:
    """Whether a name is the id of an MLflow run."""
    return re.fullmatch(r"[0-9a-f]{32}", name) is not None


def best_run(runs: list[EvaluatedRun]) -> EvaluatedRun:
    """The best by validation; the first where not all were validated alike."""
    monitors = {run.results.get("monitor") for run in runs}
    if len(monitors) > 1 or None in monitors:
        return runs[0]
    sign = 1 if monitors == {"loss"} else -1
    return min(runs, key=lambda run: sign * float(run.results["validation"]))


def _with_distinct_names(runs: list[EvaluatedRun]) -> list[EvaluatedRun]:
    """The runs under names of their own: those that share one get a number."""
    names = [run.name for run in runs]
    seen: dict[str, int] = {}
    renamed = []
    for run in runs:
        seen[run.name] = seen.get(run.name, 0) + 1
        name = f"{run.name} #{seen[run.name]}" if names.count(run.name) > 1 else run.name
        renamed.append(replace(run, name=name))
    return renamed


def ask_the_same(one: EvaluatedRun, other: EvaluatedRun) -> bool:
    """Whether two runs answered the same questions: of the same prepared data, or of data that were prepared
    otherwise, such as with rows of the catalogue in their prompts and without.
    """
    if one.scores["data_digest"] == other.scores["data_digest"]:
        return True
    if not set(QUESTION_KEY) <= set(one.rows.columns) & set(other.rows.columns):
        return False
    asked, asked_there = (run.tuned.select(QUESTION_KEY).sort(QUESTION_KEY) for run in (one, other))
    return asked.equals(asked_there)


def side_by_side(
    runs: list[EvaluatedRun], incumbent: EvaluatedRun | None
) -> tuple[list[EvaluatedRun], EvaluatedRun, list[EvaluatedRun]]:
    """(the runs under names of their own, the best, those on the same questions that it is compared with and
    the incumbent)
    """
    runs = _with_distinct_names(runs)
    best = best_run(runs)
    others = [run for run in runs if run is not best and ask_the_same(run, best)]
    if incumbent:
        others.append(incumbent)
    return runs, best, others
