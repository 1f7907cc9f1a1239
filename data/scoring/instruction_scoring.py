"""Score answers to instructions by the metrics that are chosen: functions of an answer and its reference, and
a language model as judge.
"""

import polars as pl

from data.scoring import model_judge, text_metrics
from data.scoring.model_judge import METRIC, Chat
from data.values import Settings

NAMES = (*text_metrics.METRICS, *text_metrics.METRICS_BY_SETTING, METRIC)  # of all metrics


class InstructionScorer:
    """Scores answers. Raises ValueError for a metric that cannot be used as it is set.

    Args:
        settings: fields of the configuration group `evaluation`. chat: asks the judge; None: nothing is
        scored, the settings alone are checked.
    """

    def __init__(self, settings: Settings, chat: Chat | None) -> None:
        self.names = list(settings["metrics"])
        others = [name for name in self.names if name != METRIC]
        self.metrics = text_metrics.metrics_of({**settings, "metrics": others})
        self.chat, self.agreement = chat, ""
        if METRIC not in self.names:
            return
        if not settings.get("judge_model"):
            raise ValueError("the metric judge needs evaluation.judge_model=NAME, as the endpoint serves it")
        labels = model_judge.read_labels(settings.get("judge_labels", ""))
        if chat:
            self.agreement = str(model_judge.agreement(chat, labels))

    def score(self, questions: pl.DataFrame, answers: dict[str, list[str | None]]) -> pl.DataFrame:
        """The answers of all models: the questions with ``prediction``, ``model``, and a column a metric."""
        frames = []
        for model, texts in answers.items():
            judged = text_metrics.judge(questions, texts, self.metrics)
            if METRIC in self.names:
                assert self.chat is not None
                shown = questions["question"].to_list(), texts, questions["reference"].to_list()
                scores = model_judge.compare(self.chat, *shown)
                judged = judged.with_columns(pl.Series(METRIC, scores, dtype=pl.Float64))
            frames.append(judged.with_columns(model=pl.lit(model)))
        return pl.concat(frames)
