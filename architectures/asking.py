"""Many chat requests to an OpenAI-compatible endpoint: at once, not too fast, within a budget, each answer on disk as it arrives.

The address and the key come from OPENAI_BASE_URL and OPENAI_API_KEY alone; the key stands in no file and no message.
"""

import logging
import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from architectures.kept import Kept, key_of

log = logging.getLogger(__name__)
Message = dict[str, str]
HOPELESS = (401, 403, 404)  # no such key, model or address: the next request would fare no better
REFUSED = (400, 422)  # this request would not fare better another time


@dataclass(frozen=True)
class Asking:
    """How to ask.

    Args:
        model: the name under which the server has it. temperature, max_tokens: of each answer. concurrency: requests at once.
        retries: further tries after 429, 5xx, time-outs and broken connections, with exponential back-off (or when the server says).
        timeout: seconds a try. per_minute: most requests a minute; 0: any. max_requests, max_tokens_in_all: the budget, 0: none.
        schema: JSON schema that answers are to follow, where the server knows how; or None.
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
    schema: dict[str, Any] | None = None


@dataclass
class Told:
    """What came of it: answers (None: not asked for, or failed), requests made, tokens read and written, what was kept before.

    failures: of requests that might do better later; refused: of those that would not (a filter of content, a row too long).
    """

    answers: list[str | None] = field(default_factory=list)
    asked: int = 0
    read: int = 0
    written: int = 0
    failures: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    known: int = 0
    over_budget: bool = False


def ask(requests: list[list[Message]], how: Asking, kept: Kept, advance: Callable[[int], object]) -> Told:
    """Answers in the order of the requests; those that are kept already cost nothing.

    Args:
        advance: told the number of requests that are done, for a progress bar.

    Raises ValueError if there is no address, or the server knows no such model or key.
    """
    from openai import APIStatusError, OpenAI, OpenAIError

    told = Told()
    keys = [key_of(how.model, how.temperature, how.max_tokens, how.schema, request) for request in requests]
    todo = {key: request for key, request in zip(keys, requests, strict=True) if key not in kept}
    told.known = len(requests) - len(todo)
    advance(told.known)
    try:
        client = OpenAI(max_retries=how.retries, timeout=how.timeout) if todo else None
    except OpenAIError as error:
        raise ValueError(f"{message_of(error)}; the address of the endpoint goes into OPENAI_BASE_URL") from None
    lock, pace, end, refuses = threading.Lock(), Pace(how.per_minute), threading.Event(), threading.Event()
    fatal: list[str] = []

    def allowed() -> bool:
        """Whether the budget has room for one more request; if so, it is counted."""
        with lock:
            spent = (how.max_requests and told.asked >= how.max_requests) or (
                how.max_tokens_in_all and told.read + told.written >= how.max_tokens_in_all
            )
            told.over_budget = told.over_budget or bool(spent)
            told.asked += not spent
            return not spent

    def one(item: tuple[str, list[Message]]) -> None:
        key, request = item
        if end.is_set() or not allowed():
            return
        pace.wait()
        try:
            answer, read, written = complete(client, how, request, refuses)
        except APIStatusError as error:
            if error.status_code in HOPELESS:
                fatal.append(message_of(error))
                end.set()
                return
            with lock:
                (told.refused if error.status_code in REFUSED else told.failures).append(message_of(error))
                advance(error.status_code in REFUSED)
            return
        except OpenAIError as error:
            with lock:
                told.failures.append(message_of(error))
            return
        kept.add(key, answer, read=read, written=written)
        with lock:
            told.read, told.written = told.read + read, told.written + written
            advance(1)

    with ThreadPoolExecutor(how.concurrency) as pool:
        try:
            list(pool.map(one, todo.items()))
        except BaseException:
            end.set()  # of those that wait, none is begun
            raise
    if fatal:
        raise ValueError(f"the endpoint refuses: {fatal[0]}; look at OPENAI_BASE_URL, OPENAI_API_KEY and the model's name {how.model!r}")
    told.answers = [kept.get(key) for key in keys]
    return told


class Pace:
    """So many turns a minute, evenly spread; 0: at once."""

    def __init__(self, per_minute: int) -> None:
        self.gap, self.next, self.lock = 60 / per_minute if per_minute else 0.0, 0.0, threading.Lock()

    def wait(self) -> None:
        """Until it is this caller's turn."""
        if not self.gap:
            return
        with self.lock:
            now = time.monotonic()
            turn = max(self.next, now)
            self.next = turn + self.gap
        time.sleep(turn - now)


def message_of(error: Exception) -> str:
    """The first line of an error, without the key."""
    text, key = (str(error).splitlines() or [type(error).__name__])[0], os.environ.get("OPENAI_API_KEY", "")
    return text.replace(key, "***") if key else text


def complete(client: Any, how: Asking, request: list[Message], refuses: threading.Event) -> tuple[str, int, int]:
    """One answer: (text, tokens read, tokens written). A server that knows no JSON schemas is asked without one from then on."""
    from openai import BadRequestError

    given: dict[str, Any] = {"model": how.model, "messages": request, "temperature": how.temperature, "max_tokens": how.max_tokens}
    if how.schema and not refuses.is_set():
        shape = {"type": "json_schema", "json_schema": {"name": "answer", "schema": how.schema, "strict": True}}
        try:
            done = client.chat.completions.create(**given, response_format=shape)
        except BadRequestError as error:
            done = client.chat.completions.create(**given)  # if this is refused too, the schema was not why
            if not refuses.is_set():
                log.warning("the endpoint takes no JSON schema (%s); asking without", message_of(error))
            refuses.set()
    else:
        done = client.chat.completions.create(**given)
    used = done.usage
    return done.choices[0].message.content or "", used.prompt_tokens if used else 0, used.completion_tokens if used else 0
