"""Many chat requests to an OpenAI-compatible endpoint: concurrent, rate-limited, within a budget, each answer
cached as it arrives.

The address and the key come from OPENAI_BASE_URL and OPENAI_API_KEY alone; the key appears in no file and no
message.
"""

import logging
import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from architectures.inference.answer_cache import AnswerCache, cache_key
from architectures.values import Settings

if TYPE_CHECKING:
    from openai import OpenAI

log = logging.getLogger(__name__)

Message = dict[str, str]
FATAL_STATUS = (401, 403, 404)  # no such key, model or address: the next request fails alike
REJECTED_STATUS = (400, 422)  # repeating the same request fails alike


@dataclass(frozen=True)
class RequestSettings:
    """How requests are sent.

    Args:
        model: the name under which the server serves it. temperature, max_tokens: of each answer.
        concurrency: requests
            at once. retries: after 429, 5xx, time-outs and broken connections, with exponential back-off (or
            when the server says). timeout: seconds that one attempt may take. per_minute: requests a minute
            at most; 0: no limit. max_requests, max_tokens_in_all: the budget; 0: no limit. schema: JSON
            schema that answers follow, where the server supports schemas; or None.
    """

    model: str
    temperature: float
    max_tokens: int
    concurrency: int
    retries: int
    timeout: float = 60.0
    per_minute: int = 0
    max_requests: int = 0
    max_tokens_in_all: int = 0
    schema: Settings | None = None

    def body(self, request: list[Message]) -> Settings:
        """The request as the API takes it."""
        limits = {"temperature": self.temperature, "max_tokens": self.max_tokens}
        return {"model": self.model, "messages": request, **limits}


@dataclass
class ChatResults:
    """Answers (None: not requested, or failed) and what they cost.

    requests, input_tokens, output_tokens: of this call. failures: requests that may succeed later; rejected:
    requests that will not (a content filter, a row that is too long). from_cache: answers that were there
    already.
    """

    answers: list[str | None] = field(default_factory=list)
    requests: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    failures: list[str] = field(default_factory=list)
    rejected: list[str] = field(default_factory=list)
    from_cache: int = 0
    over_budget: bool = False


def request_all(
    requests: list[list[Message]],
    settings: RequestSettings,
    cache: AnswerCache,
    advance: Callable[[int], object],
) -> ChatResults:
    """Answers in the order of the requests; those in the cache cost nothing.

    Args:
        advance: is called with the number of requests that are done, for a progress bar.

    Raises ValueError if there is no address, or the server does not know the model or the key.
    """
    keys = [_request_key(settings, request) for request in requests]
    pending = {key: request for key, request in zip(keys, requests, strict=True) if key not in cache}
    advance(len(requests) - len(pending))
    session = _ChatSession(settings, cache, advance)
    session.results.from_cache = len(requests) - len(pending)
    if pending:
        session.run(pending)
    session.results.answers = [cache.get(key) for key in keys]
    return session.results


def _request_key(settings: RequestSettings, request: list[Message]) -> str:
    """The cache key of a request: all that its answer depends on."""
    return cache_key(settings.model, settings.temperature, settings.max_tokens, settings.schema, request)


class _ChatSession:
    """Requests under way, and what they have given so far."""

    def __init__(
        self, settings: RequestSettings, cache: AnswerCache, advance: Callable[[int], object]
    ) -> None:
        self.settings, self.cache, self.advance = settings, cache, advance
        self.results = ChatResults()
        self.limiter = _RateLimiter(settings.per_minute)
        self.lock, self.stopped, self.schema_rejected = threading.Lock(), threading.Event(), threading.Event()
        self.fatal: list[str] = []

    def run(self, pending: dict[str, list[Message]]) -> None:
        """Send all requests. Raises ValueError if the server refuses all of them."""
        client = connect(self.settings)
        with ThreadPoolExecutor(self.settings.concurrency) as pool:
            try:
                list(pool.map(lambda item: self.send(client, *item), pending.items()))
            except BaseException:
                self.stopped.set()  # waiting requests are not started
                raise
        if self.fatal:
            raise ValueError(
                f"the endpoint refuses: {self.fatal[0]}; check OPENAI_BASE_URL, OPENAI_API_KEY and"
                f" the model's name"
                f" {self.settings.model!r}"
            )

    def send(self, client: "OpenAI", key: str, request: list[Message]) -> None:
        """Send one request, and store what came of it."""
        from openai import APIStatusError, OpenAIError

        if self.stopped.is_set() or not self.within_budget():
            return
        self.limiter.wait()
        results = self.results
        try:
            answer, read, written = _request_one(client, self.settings, request, self.schema_rejected)
        except APIStatusError as error:
            self.fail(error.status_code, error_message(error))
        except OpenAIError as error:
            with self.lock:
                results.failures.append(error_message(error))
        else:
            self.cache.add(key, answer, read=read, written=written)
            with self.lock:
                results.input_tokens, results.output_tokens = (
                    results.input_tokens + read,
                    results.output_tokens + written,
                )
                self.advance(1)

    def fail(self, status: int, message: str) -> None:
        """A request that the server answered with an error."""
        if status in FATAL_STATUS:
            self.fatal.append(message)
            self.stopped.set()
            return
        with self.lock:
            if status in REJECTED_STATUS:
                self.results.rejected.append(message)
                self.advance(1)
            else:
                self.results.failures.append(message)

    def within_budget(self) -> bool:
        """Whether the budget has room for one more request; if so, it is counted."""
        settings, results = self.settings, self.results
        with self.lock:
            tokens = results.input_tokens + results.output_tokens
            spent = 0 < settings.max_requests <= results.requests
            spent = spent or 0 < settings.max_tokens_in_all <= tokens
            if spent:
                results.over_budget = True
            else:
                results.requests += 1
            return not spent


def connect(settings: RequestSettings) -> "OpenAI":
    """A client of the endpoint. Raises ValueError without an address or a key."""
    from openai import OpenAI, OpenAIError

    try:
        return OpenAI(max_retries=settings.retries, timeout=settings.timeout)
    except OpenAIError as error:
        raise ValueError(f"{error_message(error)}; set OPENAI_BASE_URL to the endpoint's address") from None


class _RateLimiter:
    """A number of turns a minute, evenly spread; 0: no limit."""

    def __init__(self, per_minute: int) -> None:
        self.gap = 60 / per_minute if per_minute else 0.0
        self.next, self.lock = 0.0, threading.Lock()

    def wait(self) -> None:
        """Return when it is this caller's turn."""
        if not self.gap:
            return
        with self.lock:
            now = time.monotonic()
            turn = max(self.next, now)
            self.next = turn + self.gap
        time.sleep(turn - now)


def error_message(error: Exception) -> str:
    """The first line of an error, without the key."""
    lines = str(error).splitlines() or [type(error).__name__]
    key = os.environ.get("OPENAI_API_KEY", "")
    return lines[0].replace(key, "***") if key else lines[0]


def _request_one(
    client: "OpenAI", settings: RequestSettings, request: list[Message], schema_rejected: threading.Event
) -> tuple[str, int, int]:
    """(answer, input tokens, output tokens). A server that rejects a JSON schema gets none from then on."""
    from openai import BadRequestError

    body = settings.body(request)
    if settings.schema and not schema_rejected.is_set():
        schema = {"name": "answer", "schema": settings.schema, "strict": True}
        form: Settings = {"response_format": {"type": "json_schema", "json_schema": schema}}
        try:
            completion = client.chat.completions.create(**body, **form)
        except BadRequestError as error:
            # If this fails too, the schema was not the reason.
            completion = client.chat.completions.create(**body)
            if not schema_rejected.is_set():
                log.warning("the endpoint accepts no JSON schema (%s); sending none", error_message(error))
            schema_rejected.set()
    else:
        completion = client.chat.completions.create(**body)
    usage, text = completion.usage, completion.choices[0].message.content or ""
    return (text, usage.prompt_tokens, usage.completion_tokens) if usage else (text, 0, 0)
