"""Prompted: likelihoods of a local model equal those of whole sequences; an endpoint is asked, retried,
resumed and counted.
"""

import json
import threading
from collections.abc import Iterator
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import torch

from architectures.baselines.prompted import Prompted, answer_log_likelihood, normalise_label
from architectures.training import checkpoints
from tests.conftest import POCKET
from tests.json_server import JsonHandler

LABELS = ["computer-vision", "Natural Language", "other"]


def made(tmp_path: Path, multi_label: bool = False, **settings: Any) -> Prompted:
    common = {
        "method": "prompted",
        "monitor": "accuracy",
        "seed": 1,
        "base": str(POCKET),
        "max_seq_length": 64,
        "dtype": "float32",
        "quantization": "none",
        "attention": "auto",
        "batch_size": 8,
        "backend": "local",
        "served_model": "m",
        "shots": 0,
        "choice": "fixed",
        "concurrency": 3,
        "retries": 3,
        "input_price": 1.0,
        "output_price": 2.0,
        "answers": str(tmp_path / "answers.jsonl"),
    }
    model = Prompted(common | settings, LABELS, multi_label, {})
    texts = [
        "a photo of a cat",
        "an image of a dog",
        "a long poem",
        "a short story",
        "a game of chess",
        "a walk",
    ]
    model.fit(texts, torch.eye(3)[[0, 0, 1, 1, 2, 0]] if multi_label else torch.tensor([0, 0, 1, 1, 2, 0]))
    return model


# the prompt


def test_a_zero_shot_prompt_names_every_label(tmp_path: Path) -> None:
    (prompt,) = made(tmp_path).prompts(["some text"])
    assert all(label in prompt for label in LABELS)
    assert prompt.endswith("Text: some text\nLabel:")
    assert prompt.count("Text:") == 1


def test_fixed_examples_are_as_many_of_each_label(tmp_path: Path) -> None:
    model = made(tmp_path, shots=1)
    first, second = model.prompts(["x", "y"])
    for label in LABELS:
        assert first.count(f"Label: {label}") == 1
    assert first.rsplit("Text:", 1)[0] == second.rsplit("Text:", 1)[0]


def test_nearest_examples_are_the_most_similar_ones(tmp_path: Path) -> None:
    (prompt,) = made(tmp_path, shots=1, choice="nearest").prompts(["a poem about chess"])
    shown = [block for block in prompt.split("\n\n") if block.startswith("Text:")][:-1]
    assert len(shown) == 3
    assert {"a long poem", "a game of chess"} <= {
        block.split("\n")[0].removeprefix("Text: ") for block in shown
    }


# a local causal LM


@pytest.mark.parametrize("kind", ["gemma2", "llama"])
def test_likelihood_is_that_of_the_whole_sequence(tiny_model: Any, kind: str) -> None:
    """Padded in a batch, only the answer's tokens through the head: the same as one by one through
    transformers' own logits.
    """
    from architectures.models import loading

    net: Any = loading.load_base(loading.BaseSettings(tiny_model(kind), dtype="float32")).eval()
    pairs = [([5, 6, 7], [8, 9]), ([5, 6, 7, 11, 12, 13], [20]), ([9], [10, 11, 12])]
    with torch.inference_mode():
        found = answer_log_likelihood(net, pairs, on_end=True)
        for value, (start, end) in zip(found, pairs, strict=True):
            logits = net(input_ids=torch.tensor([start + end])).logits[0].log_softmax(1)
            expected = sum(float(logits[len(start) - 1 + i, token]) for i, token in enumerate(end))
            assert float(value) == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("multi_label", [False, True])
def test_a_local_model_scores_every_label(tmp_path: Path, multi_label: bool) -> None:
    model = made(tmp_path, multi_label, shots=1)
    likely = model.predict_proba(["a photo of a bird", "an essay"])
    assert likely.shape == (2, 3)
    assert ((likely >= 0) & (likely <= 1)).all()
    if not multi_label:
        torch.testing.assert_close(likely.sum(1), torch.ones(2))
    model.save(tmp_path / "model")
    again = checkpoints.load_model(tmp_path / "model")
    assert isinstance(again, Prompted)
    torch.testing.assert_close(again.predict_proba(["a photo of a bird", "an essay"]), likely)


# an endpoint


class Endpoint(JsonHandler):
    """Answers chat completions as a server does; says 429 and 500 to the first tries of each text, and 400
    to some texts.
    """

    failures, asked, answers = 1, [], {}  # type: ignore[var-annotated]
    lock = threading.Lock()

    def do_POST(self) -> None:
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        text = request["messages"][-1]["content"].rsplit("Text: ", 1)[1].removesuffix("\nLabel:")
        with self.lock:
            self.asked.append(text)
            tries = self.asked.count(text)
        if "refuse" in text:
            self.reply(400, {"error": {"message": "no such thing"}})
        elif tries <= self.failures:
            self.reply(429 if tries % 2 else 500, {"error": {"message": "busy"}})
        else:
            self.complete(self.answers.get(text, "other"), 10, 2)


@pytest.fixture
def endpoint(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Endpoint]]:
    handler = type("Fresh", (Endpoint,), {"asked": [], "answers": {}, "failures": 0})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("OPENAI_BASE_URL", f"http://127.0.0.1:{server.server_port}/v1")
    monkeypatch.setenv("OPENAI_API_KEY", "test")
    yield handler
    server.shutdown()
    server.server_close()


def test_answers_are_cleaned_and_unknown_ones_counted(tmp_path: Path, endpoint: type[Endpoint]) -> None:
    endpoint.answers |= {"a": ' "Computer-Vision". ', "b": "Label: natural language", "c": "something else"}
    model = made(tmp_path, backend="endpoint")
    assert model.predict(["a", "b", "c", "d"]).argmax(1).tolist() == [0, 1, 0, 2]
    assert model.state["unknown"] == 1
    assert (
        "4 requests, 40 input tokens, 8 output tokens, cost 0.0001; 1 answers were no label and"
        " count as computer-vision"
    ) in model.explain()


def test_several_labels_are_read_from_one_answer(tmp_path: Path, endpoint: type[Endpoint]) -> None:
    endpoint.answers |= {"a": "computer-vision; Other", "b": "None", "c": "?"}
    model = made(tmp_path, True, backend="endpoint")
    assert model.predict(["a", "b", "c"]).tolist() == [[1, 0, 1], [0, 0, 0], [1, 0, 0]]
    assert model.state["unknown"] == 1


def test_a_busy_endpoint_is_asked_again(tmp_path: Path, endpoint: type[Endpoint]) -> None:
    endpoint.failures = 2
    assert made(tmp_path, backend="endpoint").predict(["a", "b"]).argmax(1).tolist() == [2, 2]
    assert sorted(endpoint.asked) == ["a"] * 3 + ["b"] * 3


def test_what_was_answered_is_not_asked_again(tmp_path: Path, endpoint: type[Endpoint]) -> None:
    model = made(tmp_path, backend="endpoint")
    with pytest.raises(
        ValueError, match=r"1 of 3 requests failed .*run the command again: the answers so far are cached"
    ):
        model.predict(["a", "please refuse", "b"])
    with (tmp_path / "answers.jsonl").open("a") as file:
        file.write('{"key": "cut o')
    again = made(tmp_path, backend="endpoint")
    done: list[int] = []
    assert again.predict_proba(["a", "b", "c"], done.append).argmax(1).tolist() == [2, 2, 2]
    assert sorted(endpoint.asked) == ["a", "b", "c", "please refuse"]
    assert sum(done) == 3
    assert again.state["requests"] == 1


def test_a_missing_key_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with pytest.raises(ValueError, match="OPENAI_API_KEY"):
        made(tmp_path, backend="endpoint").predict(["a"])


@pytest.mark.parametrize(
    ("answer", "expected"),
    [("'X y'", "x y"), ("**Other.**", "other"), ("Label: a-b\n", "a-b"), ("`none`", "none"), ("", "")],
)
def test_plain(answer: str, expected: str) -> None:
    assert normalise_label(answer) == expected
