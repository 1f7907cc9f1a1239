"""The evaluation of a model that answers, by the task of its data: questions about a catalogue, whose answers
are checked against its rows, or instructions, whose answers are compared with a reference.
"""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import polars as pl

from data.reports import (
    comparison,
    forgetting_report,
    instruction_report,
    label_evaluation,
    label_report,
    tables,
)
from data.reports.evaluated_runs import CLASSIFIERS, EvaluatedRun, kind_of, read_run
from data.scoring import forgetting, instruction_baselines, lookups, summaries, text_metrics
from data.scoring.lookups import AskBase, Nearest

# Lightning, which these import, takes seconds, and a mistake on the command line is reported at once.
if TYPE_CHECKING:
    from data.modules.opening import AnyData, InstructionData, LabelledText, RetailData
    from data.tokens.example import Example

Answers = dict[str, list[str | None]]  # by model
Settings = dict[str, Any]
Losses = Callable[["list[Example]", str], tuple[list[float], list[float]]]


def baseline_answers(
    data: "RetailData | InstructionData",
    settings: Settings,
    questions: pl.DataFrame,
    nearest: Nearest,
    ask_base: AskBase | None,
) -> Answers:
    """Baseline -> its answers.

    Args:
        settings: fields of the configuration group `evaluation`. nearest, ask_base: see
        `data.scoring.lookups`.
    """
    names, shots = settings["baselines"], settings["shots"]
    if data.settings["task"] == "retail":
        retail = cast("RetailData", data)
        catalogue = lookups.Catalogue(retail.products, retail.questions("train"), shots, data.seed)
        return lookups.baseline_answers(names, questions, catalogue, nearest, ask_base)
    training = cast("InstructionData", data).training_questions
    drawn = {"shots": shots, "seed": data.seed}
    return instruction_baselines.baseline_answers(names, questions, training, drawn, nearest, ask_base)


def judge_answers(
    data: "RetailData | InstructionData", settings: Settings, questions: pl.DataFrame, answers: Answers
) -> tuple[pl.DataFrame, Settings]:
    """(the judged answers of all models, their scores)"""
    if data.settings["task"] == "retail":
        return _judge_about_catalogue(cast("RetailData", data), questions, answers)
    return _judge_instructions(cast("InstructionData", data), list(settings["metrics"]), questions, answers)


def _judge_about_catalogue(
    data: "RetailData", questions: pl.DataFrame, answers: Answers
) -> tuple[pl.DataFrame, Settings]:
    """Answers about products, checked against the catalogue."""
    judged = data.judge_all(questions, answers)
    scores = summaries.score_models(judged, data.questions("train")["answer"], data.seed)
    return judged, scores | {"leakage": data.report["leakage"], "retrieval": data.retrieval}


def _judge_instructions(
    data: "InstructionData", metrics: list[str], questions: pl.DataFrame, answers: Answers
) -> tuple[pl.DataFrame, Settings]:
    """Answers to instructions, compared with their references."""
    frames = []
    for name, texts in answers.items():
        frames.append(text_metrics.judge(questions, texts, metrics).with_columns(model=pl.lit(name)))
    judged = pl.concat(frames)
    figures = text_metrics.score_models(judged, metrics, data.seed)
    known = data.training_questions.select("messages")
    shared = questions.join(known, on="messages", how="semi").height
    leakage = {"shared": shared, "rows": questions.height}
    return judged, {"metrics": metrics, "texts": figures, "leakage": leakage}


def check_evaluation(data: "AnyData", settings: Settings) -> None:
    """Read the files that an evaluation needs, before the work. Raises ValueError for a mistake in one."""
    if data.settings["task"] == "labels":
        labelled = cast("LabelledText", data)
        label_evaluation.read_checks(labelled, settings, labelled.rows_of("train"))
    else:
        general_rows(cast("RetailData | InstructionData", data), settings)


def general_rows(data: "RetailData | InstructionData", settings: Settings) -> "dict[str, list[Example]]":
    """The rows of each file of general text."""
    return {path: data.general_examples(path, settings["general_rows"]) for path in settings["general"]}


def compare_general(
    data: "RetailData | InstructionData", settings: Settings, losses: Losses
) -> list[dict[str, Any]]:
    """How the loss on each file of general text differs from the base's.

    Args:
        losses: (rows, name) -> losses of the tuned model and of its base.
    """
    found = []
    for path, rows in general_rows(data, settings).items():
        found.append(forgetting.compare_losses(Path(path).name, *losses(rows, path), data.seed))
    return found


def evaluation_text(scores: Settings) -> str:
    """The tables that an evaluation prints."""
    is_about_catalogue = "grounded" in scores
    text = tables.evaluation_text(scores) if is_about_catalogue else instruction_report.answers_table(scores)
    if scores.get("general"):
        text += f"\n\n{forgetting_report.forgetting_table(scores['general'])}"
    return text


def write_report(
    runs: list[EvaluatedRun], folder: Path, verdict: str = "", incumbent: EvaluatedRun | None = None
) -> str:
    """Write the page of runs of one task; the table of the runs. Arguments: see
    `data.reports.comparison.write_report`.
    """
    about_catalogue = "grounded" in runs[0].scores
    write = comparison.write_report if about_catalogue else instruction_report.write_report
    return write(runs, folder, verdict, incumbent)


def compare_folders(folders: list[Path], names: list[str], target: Path) -> tuple[str, list[EvaluatedRun]]:
    """Compare the evaluated runs of some folders on one page in ``target``. (their table, the runs whose
    models answer)

    Raises ValueError if they are of different tasks.
    """
    kinds = {kind_of(path) for path in folders}
    if len(kinds) > 1:
        listed = " and of ".join(sorted(kinds))
        raise ValueError(f"compare: these are runs of {listed}; compare each kind by itself")
    if kinds == {CLASSIFIERS}:
        return label_report.write_comparison(folders, ", ".join(names), target), []
    runs = [read_run(path) for path in folders]
    return write_report(runs, target), runs
