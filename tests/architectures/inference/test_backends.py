"""Greedy answers: in batches as one at a time, ended where they should, kept, asked again, from three back
ends alike.
"""

import importlib.util
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from architectures.inference import vllm_backend
from architectures.inference.backend import Decoding, Sampling, cached_answers
from architectures.inference.endpoint_backend import EndpointBackend, EndpointSettings
from architectures.inference.transformers_backend import TransformersBackend, generate_batch
from architectures.inference.vllm_backend import VllmBackend, VllmModel
from architectures.models import building, lora
from tests.conftest import POCKET
from tests.vllm_server import vllm_python, vllm_server

PROMPTS = [[2, 10, 11, 12], [2, 20], [2, 30, 31, 32, 33, 34, 35], [2, 40, 41]]


def whole(
    net: Any, prompts: list[list[int]], batch_size: int, stop: list[int], most: int
) -> list[list[int] | None]:
    found = dict(TransformersBackend(net, [], False, Decoding(stop, most), batch_size).answer(prompts))
    return [found[place] for place in range(len(prompts))]


def test_batched_equals_one_by_one(model_settings: Any) -> None:
    for kind in ("gemma2", "llama"):
        net = building.build_net(**model_settings(kind))
        assert whole(net, PROMPTS, 3, [1], 12) == whole(net, PROMPTS, 1, [1], 12)


def test_cached_equals_uncached(model_settings: Any) -> None:
    net: Any = building.build_net(**model_settings()).eval()
    ids = list(PROMPTS[0])
    with torch.no_grad():
        for _ in range(8):
            ids.append(int(net(input_ids=torch.tensor([ids]), use_cache=False).logits[0, -1].argmax()))
    assert generate_batch(net, [PROMPTS[0]], Decoding([1], 8))[0] == ids[4:]


def test_any_stop_id_ends_an_answer_and_is_not_part_of_it(model_settings: Any) -> None:
    net = building.build_net(**model_settings()).eval()
    free = generate_batch(net, [PROMPTS[0]], Decoding([1], 12))[0]
    stopped = generate_batch(net, [PROMPTS[0]], Decoding([1, free[5]], 12))[0]
    assert stopped == free[: free.index(free[5])]


def test_training_mode_is_left_as_it_was(model_settings: Any) -> None:
    net = building.build_net(**model_settings()).train()
    whole(net, PROMPTS[:1], 1, [1], 2)
    assert net.training


class Flaky:
    """Fails for the prompts in ``bad``, ``times`` times each; counts what it was asked."""

    name = "flaky"

    def __init__(self, bad: list[int], times: int, stop_after: int = 99) -> None:
        self.identity = ["flaky"]
        self.bad = dict.fromkeys(bad, times)
        self.asked: list[list[int]] = []
        self.stop_after = stop_after

    def answer(self, prompts: list[list[int]]) -> Iterator[tuple[int, list[int] | None]]:
        for place, prompt in enumerate(prompts):
            if len(self.asked) == self.stop_after:
                raise KeyboardInterrupt
            self.asked.append(prompt)
            if self.bad.get(prompt[1], 0):
                self.bad[prompt[1]] -= 1
                yield place, None
            else:
                yield place, [7, *prompt]


def test_a_failed_request_is_asked_again(tmp_path: Path) -> None:
    done: list[int] = []
    backend = Flaky([20], 1)
    assert cached_answers(backend, PROMPTS, tmp_path, done.append) == [[7, *prompt] for prompt in PROMPTS]
    assert len(backend.asked) == 5
    assert sum(done) == 4


def test_what_fails_again_counts_as_failed_and_is_asked_next_time(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert cached_answers(Flaky([20], 9), PROMPTS, tmp_path, lambda n: None)[1] is None
    assert "1 of 4 requests failed" in caplog.text
    again = Flaky([], 0)
    assert cached_answers(again, PROMPTS, tmp_path, lambda n: None)[1] == [7, 2, 20]
    assert again.asked == [[2, 20]]


def test_what_was_answered_before_a_stop_is_kept_and_a_damaged_line_is_not(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        cached_answers(Flaky([], 0, stop_after=2), PROMPTS, tmp_path, lambda n: None)
    (kept,) = tmp_path.glob("answers-*.jsonl")
    kept.write_text(kept.read_text() + '{"key": "cut o')
    done: list[int] = []
    again = Flaky([], 0)
    assert cached_answers(again, [*PROMPTS, PROMPTS[0]], tmp_path, done.append) == [
        [7, *prompt] for prompt in [*PROMPTS, PROMPTS[0]]
    ]
    assert again.asked == PROMPTS[2:]
    assert sum(done) == 5
    third = Flaky([], 0)
    cached_answers(third, PROMPTS, tmp_path, lambda n: None)
    assert third.asked == []


def test_vllm_that_cannot_start_is_one_error(tmp_path: Path) -> None:
    job = (VllmModel(str(POCKET), None, "auto"), [], Decoding([1], 12))
    with pytest.raises(ValueError, match=r"evaluation\.vllm_python=/no/such"):
        cached_answers(VllmBackend(*job, "/no/such", 1), PROMPTS, tmp_path, lambda n: None)
    if importlib.util.find_spec("vllm") is None:
        with pytest.raises(ValueError, match=r"(?s)vLLM could not answer.*No module named 'vllm'"):
            cached_answers(VllmBackend(*job, "", 1), PROMPTS, tmp_path, lambda n: None)


def test_what_vllm_answered_before_it_died_is_kept_and_the_rest_is_asked_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """An interpreter that stands in for vLLM's: it answers two prompts, half of a third, and dies of
    memory.
    """
    script = tmp_path / "python"
    script.write_text(f"""#!{sys.executable}
import json, pathlib, sys
job = json.loads(pathlib.Path(sys.argv[3]).read_text())
with open({str(tmp_path / "asked")!r}, "a") as file:
    file.write(f"{{len(job['prompts'])}}\\n")
lines = [json.dumps([place, [7, *prompt]]) + "\\n" for place, prompt in enumerate(job["prompts"])]
pathlib.Path(job["done"]).write_text("".join(lines[:2]) + (lines[2][:5] if len(lines) > 2 else ""))
sys.exit("killed: out of memory" if len(lines) > 2 else 0)
""")
    script.chmod(0o755)
    backend = VllmBackend(VllmModel(str(POCKET), None, "auto"), [], Decoding([1], 12), str(script), 1)
    assert cached_answers(backend, PROMPTS, tmp_path, lambda n: None) == [[7, *prompt] for prompt in PROMPTS]
    assert (tmp_path / "asked").read_text() == "4\n2\n"
    assert "after 2 of 4 answers" in caplog.text
    assert "killed: out of memory" in caplog.text


# a real vLLM, in an environment of its own (make .venv-vllm/done)


@pytest.fixture(scope="module")
def tuned(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Path, list[list[int]], Decoding]:
    """The embedded model with an adapter that changes its answers: (net, exported adapter, prompts,
    decoding)
    """
    from data.tokens.prompts import Renderer

    torch.manual_seed(0)
    settings: dict[str, Any] = {
        "base": str(POCKET),
        "init": "pretrained",
        "adapter": "lora",
        "lora_r": 24,
        "lora_alpha": 48,
    }
    settings |= {
        "lora_dropout": 0.0,
        "lora_targets": ["q_proj", "v_proj", "down_proj"],
        "quantization": "none",
        "dtype": "float32",
    }
    settings |= {"attention": "auto", "gradient_checkpointing": False, "base_dropout": None}
    net: Any = building.build_net(**settings).eval()
    for name, parameter in net.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.1)
    folder = tmp_path_factory.mktemp("adapter")
    lora.save_net(net, folder, torch.float32)
    renderer = Renderer(str(POCKET))
    asked = [
        "What goes well with the Kai Solid Women's Jeans?",
        "Which fabric is the Lu Printed Women's Top made of?",
        "Hello!",
        "Is there something like the Kai Solid Women's Jeans?",
    ]
    context = """Online shopping for Women's Clothing
- Kai Solid Women's Jeans | Jeans | Fabric: Denim; Pattern: Solid; Fit: Slim Fit
- Lu Printed Women's Top | Top | Fabric: Cotton; Pattern: Printed; Sleeve: Cap Sleeve"""
    prompts = [renderer.render(context, question, None).ids for question in asked]
    return net, folder, prompts, Decoding(renderer.stop_ids, 40)


@pytest.mark.vllm
def test_vllm_answers_as_transformers_does_with_adapter_base_and_merged(tuned: Any, tmp_path: Path) -> None:
    net, folder, prompts, decoding = tuned
    expected = {
        untuned: cached_answers(
            TransformersBackend(net, [], untuned, decoding, 4), prompts, tmp_path, lambda n: None
        )
        for untuned in (False, True)
    }
    assert expected[False] != expected[True]
    merged = tmp_path / "merged"
    lora.merge_adapter(str(POCKET), folder, torch.float32).save_pretrained(merged)
    for model, adapter, untuned in (
        (str(POCKET), folder, False),
        (str(POCKET), None, True),
        (str(merged), None, False),
    ):
        backend = VllmBackend(VllmModel(model, adapter, "auto"), [model], decoding, vllm_python(), 1)
        assert backend.job["max_lora_rank"] == (32 if adapter else 0)
        done: list[int] = []
        assert cached_answers(backend, prompts, tmp_path, done.append) == expected[untuned], model
        assert sum(done) == len(prompts)


@pytest.mark.vllm
def test_a_running_vllm_server_answers_as_transformers_does(
    tuned: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    net, folder, prompts, decoding = tuned
    with vllm_server(tmp_path, monkeypatch, folder, "--max-model-len", "256"):
        backend = EndpointBackend(EndpointSettings("tuned", 4, 2), [], decoding, lambda text: [])
        found = cached_answers(backend, prompts, tmp_path, lambda n: None)
        streamed = [
            list(backend.stream(prompt, Sampling(0, 1, decoding.max_new_tokens)))[-1]
            for prompt in prompts[:2]
        ]
    expected = cached_answers(
        TransformersBackend(net, [], False, decoding, 4), prompts, tmp_path, lambda n: None
    )
    assert found == expected
    assert streamed == expected[:2]


def test_the_worker_stands_alone() -> None:
    """The interpreter that has vLLM has nothing of this project's."""
    source = vllm_backend.WORKER.read_text()
    assert "import architectures" not in source
    assert "from architectures" not in source


@pytest.mark.parametrize("untuned", [False, True])
def test_a_streamed_answer_is_the_answer(tuned: Any, untuned: bool) -> None:
    net, _, prompts, decoding = tuned
    backend = TransformersBackend(net, [], untuned, decoding, 1)
    expected = dict(backend.answer(prompts[:2]))
    for place in range(2):
        seen = [list(ids) for ids in backend.stream(prompts[place], Sampling(0, 1, decoding.max_new_tokens))]
        assert seen[-1] == expected[place]
        assert [len(ids) for ids in seen] == list(range(1, len(seen) + 1)), "one token after the other"


def test_a_stream_that_nobody_reads_stops(tuned: Any) -> None:
    net, _, prompts, _ = tuned
    coming = TransformersBackend(net, [], False, Decoding([0], 10_000), 1).stream(
        prompts[0], Sampling(1.0, 1.0, 10_000)
    )
    next(coming)
    before = threading.active_count()
    coming.close()
    assert threading.active_count() < before


def test_sampling_is_drawn(tuned: Any) -> None:
    net, _, prompts, decoding = tuned
    backend = TransformersBackend(net, [], False, decoding, 1)
    torch.manual_seed(0)
    answers = {tuple([*backend.stream(prompts[0], Sampling(4.0, 1.0, 20))][-1]) for _ in range(4)}
    assert len(answers) > 1
