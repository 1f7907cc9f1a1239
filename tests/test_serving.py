"""The tuned model behind a real vLLM server: the chat API sees the prompt of training, evaluate.py gets
the answers of its weights through it, the chat page streams from it, and questions about products can be
asked of it.
"""

import dataclasses
import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import torch
from hydra import compose, initialize_config_dir

import app
import evaluate
import train
from architectures.inference.assistant import Assistant
from architectures.inference.endpoint_backend import EndpointBackend
from tests.conftest import ROOT, typed
from tests.vllm_server import vllm_server


def configured(name: str, *overrides: str) -> Any:
    with initialize_config_dir(str(ROOT / "config"), version_base="1.3"):
        return compose(name, overrides=list(overrides))


def server_of(assistant: Assistant, model: str) -> EndpointBackend:
    """The server that an assistant asks, asked for the model of another name."""
    backend: Any = assistant.backend
    settings = dataclasses.replace(backend.settings, model=model)
    return EndpointBackend(settings, [], backend.decoding, backend.encode)


@torch.inference_mode()
def shortfall(net: Any, prompt: list[int], answer: list[int]) -> float:
    """By how much the logit of a token of the answer stays below the likeliest token's, at most."""
    logits = net(input_ids=torch.tensor([prompt + answer])).logits[0, len(prompt) - 1 : -1]
    said = logits.gather(1, torch.tensor(answer)[:, None])[:, 0]
    return float((logits.max(1).values - said).max()) if answer else 0.0


@pytest.mark.vllm
def test_the_served_adapter_is_the_model(
    finished: tuple[Path, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from openai import OpenAI

    model, outputs = finished[0] / "model", f"outputs={finished[0].parent}"
    exported = tmp_path / "exported"
    evaluate.run(configured("evaluate", f"ckpt={model}", "export=adapter", f"to={exported}"))
    with vllm_server(
        tmp_path, monkeypatch, exported, "--chat-template", str(exported / "chat_template.jinja")
    ):
        (assistant,), _ = app.assistants(
            configured("app", f"ckpt={model}", outputs, "backend=endpoint", "served_model=tuned")
        )
        shelf, question = "Online shopping for Women's Clothing", "What goes well with the Kai Solid Jeans?"
        context = assistant.renderer.in_prompt(shelf, question, [])
        assert "\n- " in context  # rows of the catalogue
        turn = {"role": "user", "content": f" Context:{context}\n{question}"}
        more = {"return_token_ids": True}
        create: Any = OpenAI().chat.completions.create
        answer = create(model="tuned", messages=[turn], temperature=0, max_tokens=20, extra_body=more)
        prompt = assistant.prompt(shelf, [], question)
        assert answer.prompt_token_ids == prompt
        told = list(assistant.stream(prompt, 0, 1))[-1]
        assert told.startswith(answer.choices[0].message.content.strip()[:20])
        endpoint = ["backend=endpoint", "served_model=tuned"]
        evaluate.run(configured("evaluate", f"ckpt={model}", outputs, "baselines=[]", *endpoint))
        newest = max((finished[0].parent / "evaluations").iterdir())
        scores = json.loads((newest / "scores.json").read_text())
        assert scores["made"]["backend"] == "endpoint"
        rows = pl.read_parquet(newest / "predictions.parquet").filter(pl.col("earlier").is_null())
        asked = rows.select("context", "question").rows()
        prompts = [assistant.prompt(context, [], question) for context, question in asked]
        served = [dict(server_of(assistant, name).answer(prompts)) for name in ("tuned", "base")]
    texts = [assistant.renderer.decode(served[0][place]) for place in range(len(prompts))]
    assert texts == rows["prediction"].to_list()
    (here,), _ = app.assistants(configured("app", f"ckpt={model}", outputs, "backend=transformers"))
    net: Any = here.backend.net.float()  # as the server computes
    tuned, untuned = (
        [shortfall(net, prompt, answers[place]) for place, prompt in enumerate(prompts)] for answers in served
    )
    assert max(tuned) < 1e-2, tuned  # near ties, which rounding decides
    assert max(untuned) > 1, untuned


@pytest.mark.vllm
def test_questions_are_asked_of_the_projects_own_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The embedded base writes JSON, since the server makes it, but nothing that agrees with a product:
    each is set aside with why.
    """
    template = tmp_path / "template.jinja"
    template.write_text("{% for message in messages %}{{ message.content }}\n{% endfor %}")
    with vllm_server(tmp_path, monkeypatch, None, "--chat-template", str(template)):
        config = typed(
            "+experiment=quickstart",
            "data/questions=endpoint",
            "data.questions.served_model=base",
            "data.questions.max_tokens=200",
            "data.limit=12",
            "data.questions.per_product=2",
            f"outputs={tmp_path}",
            "stage=prepare",
        )
        with pytest.raises(ValueError, match="none of the answers gave a sound question") as error:
            train.prepare(config)
    kept = [
        json.loads(line) for line in (tmp_path / "cache/written-questions.jsonl").read_text().splitlines()
    ]
    assert len(kept) == 12
    assert "no answer came" not in str(error.value)
