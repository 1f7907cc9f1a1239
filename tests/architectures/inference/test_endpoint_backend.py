"""Answers of an OpenAI-compatible endpoint: repeated requests, refusals, other models under the same name."""

import json
import threading
from collections.abc import Iterator
from http.server import ThreadingHTTPServer
from pathlib import Path

import pytest

from architectures.inference.backend import Decoding, cached_answers
from architectures.inference.endpoint_backend import EndpointBackend, EndpointSettings
from tests.architectures.inference.test_backends import PROMPTS
from tests.json_server import JsonHandler


class Served(JsonHandler):
    """A completions endpoint that fails in the ways that real ones do: every third request is too many,
    one prompt is always refused.
    """

    count = 0
    slow = threading.Lock()

    def do_GET(self) -> None:
        self.reply(200, {"object": "list", "data": [{"id": "shop", "object": "model"}]})

    def do_POST(self) -> None:
        given = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with Served.slow:
            Served.count += 1
            number = Served.count
        if given["prompt"] == [2, 20]:
            self.reply(400, {"error": {"message": "I will not"}})
        elif number % 3 == 0:
            self.reply(429, {"error": {"message": "too many"}})
        else:
            assert given["temperature"] == 0
            ids = {"token_ids": [7, *given["prompt"], 1]} if given["prompt"] != [2, 40, 41] else {}
            self.reply(
                200,
                {
                    "id": "x",
                    "object": "text_completion",
                    "choices": [{"index": 0, "text": "abc", "finish_reason": "stop", **ids}],
                },
            )


@pytest.fixture
def endpoint(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Served)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("OPENAI_BASE_URL", f"http://127.0.0.1:{server.server_port}/v1")
    monkeypatch.setenv("OPENAI_API_KEY", "secret-of-this-test")
    yield
    server.shutdown()


def test_an_endpoint_that_is_busy_is_asked_again_and_a_refusal_counts_as_failed(
    endpoint: None, tmp_path: Path
) -> None:
    backend = EndpointBackend(
        EndpointSettings("shop", 2, 4), [], Decoding([1], 12), lambda text: [ord(letter) for letter in text]
    )
    found = cached_answers(backend, PROMPTS, tmp_path, lambda n: None)
    assert found == [[7, 2, 10, 11, 12], None, [7, 2, 30, 31, 32, 33, 34, 35], [97, 98, 99]]
    assert all("secret" not in path.read_text() for path in tmp_path.iterdir())


def test_another_model_under_the_same_name_is_asked_anew(endpoint: None, tmp_path: Path) -> None:
    """A server may serve another adapter tomorrow; what it answered today is not that one's."""
    for digest in ("one", "two", "two"):
        cached_answers(
            EndpointBackend(EndpointSettings("shop", 2, 4), [digest], Decoding([1], 12), lambda text: []),
            [[2, 9]],
            tmp_path,
            lambda n: None,
        )
    assert len(list(tmp_path.glob("answers-*.jsonl"))) == 2


def test_a_model_that_the_endpoint_lacks_is_told_at_once(endpoint: None, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="serves shop"):
        cached_answers(
            EndpointBackend(EndpointSettings("other", 2, 0), [], Decoding([1], 12), lambda text: []),
            PROMPTS,
            tmp_path,
            lambda n: None,
        )


def test_an_endpoint_that_is_not_there(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:9/v1")
    monkeypatch.setenv("OPENAI_API_KEY", "x")
    with pytest.raises(ValueError, match="no answer from OPENAI_BASE_URL"):
        cached_answers(
            EndpointBackend(EndpointSettings("shop", 2, 0), [], Decoding([1], 12), lambda text: []),
            PROMPTS,
            tmp_path,
            lambda n: None,
        )
