"""A registered model as MLflow serves it: a table of questions in, answers out."""

from typing import Any, Protocol

from architectures.inference.backend import Decoding
from architectures.inference.transformers_backend import generate_answers
from architectures.models.fine_tuned import FineTuned
from architectures.values import Settings


class _QuestionRenderer(Protocol):
    """What turns questions into token ids and ids into answers."""

    @property
    def stop_ids(self) -> list[int]:
        """Ids that end an answer."""
        ...

    def prompts(self, contexts: list[str], questions: list[str]) -> list[list[int]]:
        """The ids that prediction starts from."""
        ...

    def decode(self, ids: list[int]) -> str:
        """The text of an answer."""
        ...


class AnsweringModel:
    """What `mlflow.pyfunc.load_model` returns: a table with question and, possibly, context -> answers.

    Args:
        module: the model. renderer: of its prompts.
    """

    def __init__(self, module: FineTuned, renderer: _QuestionRenderer) -> None:
        self.module, self.renderer = module, renderer

    def predict(self, table: Any, params: Settings | None = None) -> list[str]:  # a pandas or Polars frame
        """One answer for each row of the table."""
        questions = [str(question) for question in table["question"]]
        contexts = map(str, table["context"]) if "context" in table.columns else [""] * len(questions)
        decoding = Decoding(self.renderer.stop_ids, self.module.origin["max_new_tokens"])
        prompts = self.renderer.prompts(list(contexts), questions)
        answers = generate_answers(self.module.net, prompts, decoding)
        return [self.renderer.decode(ids) for ids in answers]
