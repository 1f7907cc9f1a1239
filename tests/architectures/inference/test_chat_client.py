"""Many requests to a server that misbehaves in every usual way: nothing is lost, nothing is paid for
twice, the key is nowhere.
"""

import json
import logging
import threading
import time
from collections import Counter
from collections.abc import Iterator
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import pytest

from architectures.inference.answer_cache import AnswerCache
from architectures.inference.chat_client import RequestSettings, request_all
from tests.json_server import JsonHandler

KEY = "sk-a-secret-of-this-test"


class Server(JsonHandler):
    """Chat completions; a request's text says what is to go wrong with its first try (or with all:
    'always').
    """

    seen: ClassVar[list[str]] = []
    times: ClassVar[list[float]] = []
    at_once: ClassVar[list[int]] = [0, 0]  # now, most
    schemas: ClassVar[list[bool]] = []
    knows_schemas = True
    lock = threading.Lock()

    def do_POST(self) -> None:
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        text = request["messages"][-1]["content"]
        with self.lock:
            self.seen.append(text)
            self.times.append(time.monotonic())
            self.schemas.append("response_format" in request)
            first = self.seen.count(text) == 1 or "always" in text
            self.at_once[0] += 1
            self.at_once[1] = max(self.at_once)
        try:
            self.answer(text, first, request)
        finally:
            with self.lock:
                self.at_once[0] -= 1

    def answer(self, text: str, first: bool, request: dict[str, Any]) -> None:
        if "response_format" in request and not self.knows_schemas:
            self.reply(400, {"error": {"message": "response_format is not known here"}})
        elif "key" in text:
            self.reply(
                401,
                {
                    "error": {
                        "message": f"no such key: {self.headers['Authorization'].removeprefix('Bearer ')}"
                    }
                },
            )
        elif "refused" in text:
            self.reply(400, {"error": {"message": "filtered"}})
        elif first and "busy" in text:
            self.reply(429, {"error": {"message": "slow down"}})
        elif first and "broken" in text:
            self.reply(503, {"error": {"message": "broken"}})
        elif first and "slow" in text:
            time.sleep(1.5)
            self.reply(200, {})
        elif first and "cut" in text:
            self.close_connection = True
            self.connection.close()
        else:
            time.sleep(0.02)
            self.complete(f"re {text}", 10, 5)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Server]]:
    fresh = {
        "seen": [],
        "times": [],
        "at_once": [0, 0],
        "schemas": [],
        "knows_schemas": True,
        "lock": threading.Lock(),
    }
    handler = type("Fresh", (Server,), fresh)
    place = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=place.serve_forever, daemon=True).start()
    monkeypatch.setenv("OPENAI_BASE_URL", f"http://127.0.0.1:{place.server_port}/v1")
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    yield handler
    place.shutdown()
    place.server_close()


def how(**changes: Any) -> RequestSettings:
    return RequestSettings(
        **{"model": "m", "temperature": 0.0, "max_tokens": 32, "concurrency": 4, "retries": 3, "timeout": 0.5}
        | changes
    )


def requests(*texts: str) -> list[list[dict[str, str]]]:
    return [[{"role": "user", "content": text}] for text in texts]


def test_a_server_that_misbehaves_costs_retries_and_nothing_else(
    server: type[Server], tmp_path: Path
) -> None:
    texts = ["plain", "busy", "broken", "slow", "cut", "plain two"]
    done: list[int] = []
    told = request_all(requests(*texts), how(), AnswerCache(tmp_path / "k"), done.append)
    assert told.answers == [f"re {text}" for text in texts]
    assert Counter(server.seen) == {text: 1 if "plain" in text else 2 for text in texts}
    assert (told.requests, told.input_tokens, told.output_tokens, told.failures, told.rejected) == (
        6,
        60,
        30,
        [],
        [],
    )
    assert sum(done) == 6


def test_what_fails_for_good_is_told_and_the_rest_is_kept(server: type[Server], tmp_path: Path) -> None:
    told = request_all(
        requests("plain", "always broken", "refused"),
        how(retries=1),
        AnswerCache(tmp_path / "k"),
        lambda n: None,
    )
    assert told.answers == ["re plain", None, None]
    assert len(told.failures) == len(told.rejected) == 1
    server.seen.clear()
    told = request_all(
        requests("plain", "always broken", "refused"),
        how(retries=0),
        AnswerCache(tmp_path / "k"),
        lambda n: None,
    )
    assert "plain" not in server.seen
    assert told.from_cache == 1


def test_a_second_run_costs_nothing_and_another_model_is_asked_anew(
    server: type[Server], tmp_path: Path
) -> None:
    request_all(requests("a", "b"), how(), AnswerCache(tmp_path / "k"), lambda n: None)
    server.seen.clear()
    assert request_all(requests("b", "a"), how(), AnswerCache(tmp_path / "k"), lambda n: None).answers == [
        "re b",
        "re a",
    ]
    assert server.seen == []
    request_all(requests("a"), how(model="other"), AnswerCache(tmp_path / "k"), lambda n: None)
    assert server.seen == ["a"]


def test_a_budget_of_requests_and_of_tokens(server: type[Server], tmp_path: Path) -> None:
    texts = [f"text {i}" for i in range(9)]
    told = request_all(requests(*texts), how(max_requests=4), AnswerCache(tmp_path / "k"), lambda n: None)
    assert (len(server.seen), told.over_budget, sum(a is not None for a in told.answers)) == (4, True, 4)
    told = request_all(
        requests(*texts),
        how(max_tokens_in_all=30, concurrency=1),
        AnswerCache(tmp_path / "k"),
        lambda n: None,
    )
    assert (len(server.seen), told.over_budget) == (6, True)
    told = request_all(requests(*texts), how(), AnswerCache(tmp_path / "k"), lambda n: None)
    assert (len(server.seen), told.over_budget, told.from_cache) == (9, False, 6)


def test_concurrency_and_pace(server: type[Server], tmp_path: Path) -> None:
    request_all(
        requests(*map(str, range(24))), how(concurrency=6), AnswerCache(tmp_path / "k"), lambda n: None
    )
    assert 3 <= server.at_once[1] <= 6
    server.times.clear()
    request_all(
        requests(*(f"slowly {i}" for i in range(6))),
        how(per_minute=600),
        AnswerCache(tmp_path / "k"),
        lambda n: None,
    )
    assert server.times[-1] - server.times[0] >= 0.45  # five gaps of a tenth of a second


def test_a_server_without_schemas_is_asked_without(
    server: type[Server], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    server.knows_schemas = False
    texts = [f"t{i}" for i in range(5)]
    told = request_all(
        requests(*texts),
        how(schema={"type": "object"}, concurrency=1),
        AnswerCache(tmp_path / "k"),
        lambda n: None,
    )
    assert told.answers == [f"re {text}" for text in texts]
    assert server.schemas == [True] + [False] * 5
    assert caplog.text.count("accepts no JSON schema") == 1
    server.knows_schemas, server.schemas[:] = True, []
    request_all(requests("new"), how(schema={"type": "object"}), AnswerCache(tmp_path / "k"), lambda n: None)
    assert server.schemas == [True]


def test_a_wrong_key_ends_it_at_once_and_stands_nowhere(
    server: type[Server], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    with pytest.raises(ValueError, match="the endpoint refuses") as error:
        request_all(
            requests("key", *(f"more {i}" for i in range(40))),
            how(concurrency=1),
            AnswerCache(tmp_path / "k"),
            lambda n: None,
        )
    assert server.seen == ["key"]
    assert KEY not in str(error.value)
    assert KEY not in "".join(
        record.getMessage()
        for record in caplog.records
        if record.name.startswith(("architectures", "strata"))
    )
    assert not (tmp_path / "k").exists() or KEY not in (tmp_path / "k").read_text()


def test_no_address_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with pytest.raises(ValueError, match="OPENAI_BASE_URL"):
        request_all(requests("x"), how(), AnswerCache(tmp_path / "k"), lambda n: None)
