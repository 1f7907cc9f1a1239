"""The evaluation of a model that answers, by the task of its data: questions about a catalogue, whose answers
are checked against its rows, or instructions, whose answers are compared with a reference.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, cast

import polars as pl

from data.files import write_json
from data.questions import golden
from data.reports import (
    comparison,
    forgetting_report,
    golden_page,
    instruction_report,
    label_evaluation,
    label_report,
    speed_report,
    tables,
)
from data.reports.answer_files import write_answers
from data.reports.evaluated_runs import CLASSIFIERS, EvaluatedRun, kind_of, read_run, run_name
from data.scoring import forgetting, instruction_baselines, lookups, summaries, text_metrics
from data.scoring.instruction_scoring import InstructionScorer
from data.scoring.lookups import AskBase, Nearest
from data.scoring.model_judge import Chat
from data.values import JsonObject, Settings

# Lightning, which these import, takes seconds, and a mistake on the command line is reported at once.
if TYPE_CHECKING:
    from data.modules.opening import AnyData, InstructionData, LabelledText, RetailData
    from data.tokens.example import Example

TASK = "task:"  # before the name of a task of lm-eval in evaluation.general
Answers = dict[str, list[str | None]]  # by model
Judge = Callable[[pl.DataFrame, Answers], tuple[pl.DataFrame, Settings]]


def _baseline_answers(
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


class Answerer(Protocol):
    """Answers questions with a model.

    has_base: whether there is an untuned base that answers, too. speeds: of the models that have answered,
    where the settings let them be measured.
    """

    has_base: bool
    speeds: dict[str, Settings]

    def tuned(self, questions: pl.DataFrame) -> tuple[list[str | None], Settings]:
        """(the tuned model's answers, how they were made)"""
        ...

    def answers(self, prompts: list[list[int]]) -> list[str | None]:
        """The tuned model's answers to token ids."""
        ...

    def base(self, questions: pl.DataFrame, name: str) -> list[str | None]:
        """The untuned base's answers, with a progress bar under ``name``."""
        ...

    def variants(self, questions: pl.DataFrame) -> Answers:
        """The answers of the variants that the settings name."""
        ...


class ComparedModel(Protocol):
    """Compares the tuned model with its base on what it was not tuned for."""

    def losses(self, rows: "list[Example]", name: str, /) -> tuple[list[float], list[float]]:
        """(losses of the tuned model, of its base), one for each row."""
        ...

    def errors(self, task: str, count: int) -> list[tuple[str, str, list[float], list[float]]]:
        """(name, metric, errors of the tuned model, of its base) for each part of a task of lm-eval."""
        ...


@dataclass(frozen=True)
class JudgedModel:
    """What is judged, as functions. nearest: see `data.scoring.lookups`. chat: asks a language model that
    judges, if one is set.
    """

    answerer: Answerer
    compared: ComparedModel
    nearest: Nearest
    chat: Chat


def _answers_of(
    model: JudgedModel, data: "RetailData | InstructionData", settings: Settings, questions: pl.DataFrame
) -> tuple[Answers, Settings]:
    """(model or baseline -> its answers to the questions, how the tuned model's were made)

    Args:
        settings: fields of the configuration group `evaluation`.
    """
    tuned, made = model.answerer.tuned(questions)
    ask_base = model.answerer.base if model.answerer.has_base else None
    answers = _baseline_answers(data, settings, questions, model.nearest, ask_base)
    return answers | {"tuned": tuned} | model.answerer.variants(questions), made


def evaluate_answers(
    model: JudgedModel,
    data: "RetailData | InstructionData",
    settings: Settings,
    folder: Path,
    facts: Settings,
) -> Settings:
    """Answer and score into predictions.parquet and scores.json; the scores, with tables as ``text``.

    Args:
        settings: fields of the configuration group `evaluation`. facts: what the scores say of model and
        data.
    """
    judge = _judge_of(data, settings, model.chat)
    general = _compare_general(data, settings, model.compared)  # first: it reads files
    questions = data.evaluation_questions(settings["questions"])
    answers, made = _answers_of(model, data, settings, questions)
    judged, scores = judge(questions, answers)
    write_answers(judged, folder)
    scores |= facts | {"made": made, "general": general, "name": run_name(facts["origin"])}
    scores |= {"speed": model.answerer.speeds, "price": settings.get("price", 0)}
    write_json(folder / "scores.json", scores)
    return scores | {"text": evaluation_text(scores)}


def evaluate_golden(
    model: JudgedModel, data: "RetailData", settings: Settings, name: str, path: Path, folder: Path
) -> str:
    """Answer a file of the user's own questions, and write the page into ``folder``; its tables.

    Args:
        name: of the model.
    """
    questions = golden.read_golden(path, data.products)
    answers, _ = _answers_of(model, data, settings, questions)
    return golden_page.report_golden(questions, data.products, answers, name, folder)


def _judge_of(data: "RetailData | InstructionData", settings: Settings, chat: Chat | None) -> Judge:
    """(questions, answers) -> (the judged answers of all models, their scores). Raises ValueError for a
    metric that cannot be used as it is set.
    """
    if data.settings["task"] == "retail":
        return partial(_judge_about_catalogue, cast("RetailData", data))
    return partial(_judge_instructions, cast("InstructionData", data), InstructionScorer(settings, chat))


def _judge_about_catalogue(
    data: "RetailData", questions: pl.DataFrame, answers: Answers
) -> tuple[pl.DataFrame, Settings]:
    """Answers about products, checked against the catalogue."""
    judged = data.judge_all(questions, answers)
    scores = summaries.score_models(judged, data.questions("train")["answer"], data.seed)
    return judged, scores | {"leakage": data.report["leakage"], "retrieval": data.retrieval}


def _judge_instructions(
    data: "InstructionData", scorer: InstructionScorer, questions: pl.DataFrame, answers: Answers
) -> tuple[pl.DataFrame, Settings]:
    """Answers to instructions, compared with their references."""
    judged = scorer.score(questions, answers)
    figures = text_metrics.score_models(judged, scorer.names, data.seed)
    known = data.training_questions.select("messages")
    shared = questions.join(known, on="messages", how="semi").height
    leakage = {"shared": shared, "rows": questions.height}
    scores = {"metrics": scorer.names, "texts": figures, "leakage": leakage}
    return judged, scores | {"agreement": scorer.agreement}


def check_evaluation(data: "AnyData", settings: Settings) -> None:
    """Read the files that an evaluation needs, before the work. Raises ValueError for a mistake in one."""
    if data.settings["task"] == "labels":
        labelled = cast("LabelledText", data)
        label_evaluation.read_checks(labelled, settings, labelled.rows_of("train"))
    else:
        answering = cast("RetailData | InstructionData", data)
        _judge_of(answering, settings, None)
        general_rows(answering, settings)


def general_rows(data: "RetailData | InstructionData", settings: Settings) -> "dict[str, list[Example]]":
    """The rows of each file of general text."""
    files = [name for name in settings["general"] if not name.startswith(TASK)]
    return {path: data.general_examples(path, settings["general_rows"]) for path in files}


def _compare_general(
    data: "RetailData | InstructionData", settings: Settings, model: ComparedModel
) -> list[JsonObject]:
    """How the loss on each file of general text, and the errors on each task, differ from the base's."""
    found = []
    for path, rows in general_rows(data, settings).items():
        found.append(forgetting.compare_losses(Path(path).name, *model.losses(rows, path), data.seed))
    for name in settings["general"]:
        if name.startswith(TASK):
            for task, metric, tuned, base in model.errors(name.removeprefix(TASK), settings["general_rows"]):
                found.append(forgetting.compare_losses(task, tuned, base, data.seed, f"1 - {metric}"))
    return found


def evaluation_text(scores: Settings) -> str:
    """The tables that an evaluation prints."""
    is_about_catalogue = "grounded" in scores
    text = tables.evaluation_text(scores) if is_about_catalogue else instruction_report.answers_table(scores)
    if scores.get("speed"):
        text += f"\n\n{speed_report.speed_table(scores['speed'], scores['price'])}"
    if scores.get("general"):
        text += f"\n\n{forgetting_report.forgetting_table(scores['general'])}"
    return text


def write_report(
    runs: list[EvaluatedRun], folder: Path, verdict: str = "", incumbent: EvaluatedRun | None = None
) -> str:
    """Write the page of runs of one task; the table of the runs. Arguments: see
    `data.reports.comparison.write_report`.
    """
    writers = {"grounded": comparison, "texts": instruction_report, "splits": label_report}
    writer = next(module for key, module in writers.items() if key in runs[0].scores)
    text: str = writer.write_report(runs, folder, verdict, incumbent)
    return text


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
