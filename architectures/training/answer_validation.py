"""A validation metric from answers: at each validation the model answers some questions, and the data layer
scores the answers. The best checkpoint, early stopping and pruning may go by it.
"""

import logging
import time
from typing import Protocol

import torch
from lightning import Callback, LightningModule, Trainer
from torch import Tensor

from architectures.inference.backend import Decoding
from architectures.inference.transformers_backend import generate_answers
from architectures.models.fine_tuned import FineTuned

log = logging.getLogger(__name__)

METRIC = "answer_score"  # as trainer.monitor names it
LARGE_SHARE = 0.2  # of the time of training, above which a smaller number of questions is proposed


class MonitoredQuestions(Protocol):
    """Questions, and the function that scores their answers.

    prompts: token ids that prediction starts from. batch_size: prompts in a forward pass.
    """

    prompts: list[list[int]]
    stop_ids: list[int]
    max_new_tokens: int
    batch_size: int

    def score(self, places: list[int], answers: list[list[int]]) -> list[float]:
        """Scores from 0 to 1 of the answers to the questions at some places. An answer that cannot be scored
        has none.
        """
        ...


class AnswerValidation(Callback):
    """Answers the questions at the end of each validation and logs ``validation/answer_score``, their mean
    score. Several processes share the questions.
    """

    def __init__(self, questions: MonitoredQuestions) -> None:
        self.questions = questions
        self.decoding = Decoding(questions.stop_ids, questions.max_new_tokens)
        self.begun, self.seconds, self.has_warned = 0.0, 0.0, False

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """The share of time is that of this attempt."""
        self.begun = time.perf_counter()

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Answer, score, log. The module logs its own figures afterwards."""
        if trainer.state.fn != "fit":
            return
        assert isinstance(pl_module, FineTuned)
        begun = time.perf_counter()
        places = list(range(trainer.global_rank, len(self.questions.prompts), trainer.world_size))
        prompts = [self.questions.prompts[place] for place in places]
        answers = generate_answers(pl_module.net, prompts, self.decoding, self.questions.batch_size)
        scores = self.questions.score(places, answers)
        sums = torch.tensor([sum(scores), len(scores)], dtype=torch.float64)
        total = trainer.strategy.reduce(sums.to(pl_module.device), reduce_op="sum")
        assert isinstance(total, Tensor)
        score = float(total[0] / total[1])
        pl_module.log(f"validation/{METRIC}", score, prog_bar=True)
        self.seconds += time.perf_counter() - begun
        if trainer.is_global_zero:
            self.report(score, time.perf_counter() - begun)

    def report(self, score: float, seconds: float) -> None:
        """Log a score and its time; propose fewer questions where they take long."""
        count, share = len(self.questions.prompts), self.seconds / (time.perf_counter() - self.begun)
        log.info(
            "answered %d validation questions in %.1f s (%.0f%% of the time so far): score %.1f%%",
            count, seconds, 100 * share, 100 * score,
        )  # fmt: skip
        if share > LARGE_SHARE and not self.has_warned:
            self.has_warned = True
            fewer = max(1, int(count * LARGE_SHARE / share))
            log.warning(
                "answering takes %.0f%% of the time; to lower that, set trainer.monitor_questions=%d or a"
                " larger trainer.validate_every", 100 * share, fewer,
            )  # fmt: skip
