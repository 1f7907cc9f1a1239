"""Validation questions that a model answers while it is trained, so that the best checkpoint may be chosen by
its answers.
"""

from typing import TYPE_CHECKING, cast

import polars as pl

from data.scoring import summaries, text_metrics
from data.values import Settings

if TYPE_CHECKING:
    from data.modules.opening import AnyData, InstructionData, RetailData


class MonitoredQuestions:
    """The questions, with what scores the answers: 1 for a right one, or the first of ``evaluation.metrics``.

    Args:
        settings: fields of the configuration group `evaluation`. count: of the questions.

    Raises ValueError if there is no validation question that fits into data.max_seq_length.
    """

    def __init__(self, data: "RetailData | InstructionData", settings: Settings, count: int) -> None:
        self.data, first = data, {"metrics": settings["metrics"][:1]}
        is_retail = data.settings["task"] == "retail"
        self.metrics = {} if is_retail else text_metrics.metrics_of(settings | first)
        self.questions = data.validation_questions(count)
        reference = "answer" if is_retail else "reference"
        if not self.scores(self.questions, self.questions[reference].to_list()):
            raise ValueError(
                "trainer.monitor=answer_score: there is no validation question whose answer can be scored;"
                " set trainer.monitor=loss"
            )
        self.prompts = data.prompts(self.questions)
        self.stop_ids, self.max_new_tokens = data.renderer.stop_ids, data.max_new_tokens
        self.batch_size = int(settings["batch_size"])

    def score(self, places: list[int], answers: list[list[int]]) -> list[float]:
        """Scores from 0 to 1 of the answers to the questions at some places. An answer that cannot be scored
        has none.
        """
        if not places:  # of a process, where there are more processes than questions
            return []
        return self.scores(self.questions[places], [self.data.renderer.decode(ids) for ids in answers])

    def scores(self, questions: pl.DataFrame, answers: list[str | None]) -> list[float]:
        """Scores of answers; a question whose reference the metric cannot score has none."""
        if self.data.settings["task"] == "retail":
            judged = cast("RetailData", self.data).judge(questions, answers)
            return judged.select(summaries.RIGHT.cast(pl.Float64)).to_series().to_list()
        return text_metrics.judge(questions, answers, self.metrics)[:, -1].drop_nulls().to_list()


def monitored_questions(data: "AnyData", settings: Settings) -> MonitoredQuestions | None:
    """The questions that a model answers while it is trained; None unless their score is monitored.

    Args:
        settings: the whole configuration.
    """
    trainer = settings["trainer"]
    if trainer["monitor"] != "answer_score":
        return None
    answering = cast("RetailData | InstructionData", data)
    return MonitoredQuestions(answering, settings["evaluation"], trainer["monitor_questions"])
