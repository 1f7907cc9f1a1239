"""Chat requests as plain functions, for whoever writes questions or judges answers by a language model behind
an endpoint.
"""

import logging
from collections.abc import Callable
from pathlib import Path

from architectures.inference.answer_cache import AnswerCache
from architectures.inference.chat_client import ChatResults, Message, RequestSettings, request_all
from architectures.values import Settings

log = logging.getLogger(__name__)

JUDGE_TOKENS = 64  # of a judgement
# (requests, JSON schema) -> answers
ChatFunction = Callable[[list[list[Message]], Settings], list[str | None]]


def judge_function(evaluation: Settings, questions: Settings, cache: Path) -> ChatFunction:
    """`chat_function`, of a model that judges answers: deterministic, and without the budget of questions.

    Args:
        evaluation: fields of the configuration group `evaluation`. questions: those of `data.questions`.
    """
    limits = {"temperature": 0.0, "max_tokens": JUDGE_TOKENS, "max_requests": 0, "max_tokens_in_all": 0}
    own = {name: evaluation[name] for name in ("concurrency", "retries")}
    settings = questions | limits | own | {"served_model": evaluation.get("judge_model", "")}
    return chat_function(settings, cache, "judgements.jsonl", ("judgements", "request"))


def chat_function(
    settings: Settings,
    cache: Path,
    name: str = "written-questions.jsonl",
    units: tuple[str, str] = ("questions", "product"),
) -> ChatFunction:
    """(requests, JSON schema) -> answers, by the endpoint, each answer stored in ``cache``.

    Args:
        settings: fields of the configuration group `data.questions`. name: of the file there. units: what the
        progress bar counts: its name and its unit.
    """

    def answer(requests: list[list[Message]], schema: Settings) -> list[str | None]:
        from tqdm import tqdm

        s = settings
        how = RequestSettings(
            model=s["served_model"],
            temperature=s["temperature"],
            max_tokens=s["max_tokens"],
            concurrency=s["concurrency"],
            retries=s["retries"],
            timeout=s["timeout"],
            per_minute=s["per_minute"],
            max_requests=s["max_requests"],
            max_tokens_in_all=s["max_tokens_in_all"],
            schema=schema if s["structured"] else None,
        )
        store = AnswerCache(cache / name)
        with tqdm(total=len(requests), desc=units[0], unit=units[1]) as bar:
            results = request_all(requests, how, store, bar.update)
        _log_results(results, store.path)
        return results.answers

    return answer


def _log_results(results: ChatResults, path: Path) -> None:
    """Log what the requests cost. Raises ValueError if some failed that may succeed later."""
    log.info(
        "%d requests, %d input tokens, %d output tokens; %d answers were in the cache; all are in %s",
        results.requests, results.input_tokens, results.output_tokens, results.from_cache, path,
    )  # fmt: skip
    if results.failures:
        failed = f"{len(results.failures)} of {results.requests} requests failed ({results.failures[0]})"
        raise ValueError(
            f"{failed}; run the command again: answers are stored, and only the rest is requested"
        )
    if results.over_budget:
        missing = sum(answer is None for answer in results.answers)
        log.warning("the budget is spent: %d requests have no answer", missing)
