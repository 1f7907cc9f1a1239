"""Score answers to instructions by the metrics that are chosen: functions of an answer and its reference, and
a language model as judge, which compares them with references or with the answers of another run.
"""

from pathlib import Path

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
        rival = settings.get("judge_against", "")
        if METRIC not in self.names:
            if rival:
                raise ValueError("evaluation.judge_against: is for the metric judge")
            return
        if not settings.get("judge_model"):
            raise ValueError("the metric judge needs evaluation.judge_model=NAME, as the endpoint serves it")
        labels = model_judge.read_labels(settings.get("judge_labels", ""))
        self.rivals = _answers_of_run(rival) if rival else None
        if chat:
            self.agreement = str(model_judge.agreement(chat, labels))
            self.agreement += f"; it compares with the answers of {rival}" if rival else ""

    def score(self, questions: pl.DataFrame, answers: dict[str, list[str | None]]) -> pl.DataFrame:
        """The answers of all models: the questions with ``prediction``, ``model``, and a column a metric."""
        frames = []
        for model, texts in answers.items():
            judged = text_metrics.judge(questions, texts, self.metrics)
            if METRIC in self.names:
                judged = judged.with_columns(self._compare(questions, texts).alias(METRIC))
            frames.append(judged.with_columns(model=pl.lit(model)))
        return pl.concat(frames)

    def _compare(self, questions: pl.DataFrame, texts: list[str | None]) -> pl.Series:
        """The judge's scores; null where the other run has no answer. Raises ValueError if it has none."""
        assert self.chat is not None
        others = questions["reference"]
        if self.rivals is not None:
            others = questions.join(self.rivals, on="messages", how="left", maintain_order="left")["rival"]
            if not others.drop_nulls().len():
                raise ValueError("evaluation.judge_against: that run has answered none of these questions")
        asked = questions["question"].to_list()
        return pl.Series(model_judge.compare(self.chat, asked, texts, others.to_list()), dtype=pl.Float64)


def _answers_of_run(run: str) -> pl.DataFrame:
    """The tuned model's answers in the folder of an evaluated run, or beside its model: messages, rival.
    Raises ValueError if there are none.
    """
    found = [folder / "predictions.parquet" for folder in (Path(run), Path(run).parent)]
    path = next((file for file in found if file.is_file()), None)
    try:
        rows = pl.read_parquet(path) if path else pl.DataFrame()
    except (OSError, pl.exceptions.PolarsError) as error:
        reason = str(error).splitlines()[0]
        raise ValueError(f"evaluation.judge_against={run}: {path} cannot be read ({reason})") from None
    if not {"messages", "model", "prediction"} <= set(rows.columns):
        raise ValueError(
            f"evaluation.judge_against={run}: must be the folder of an evaluated run of task instructions"
        )
    tuned = rows.filter(pl.col("model") == "tuned").unique("messages", maintain_order=True)
    return tuned.select("messages", rival="prediction").drop_nulls("rival")
