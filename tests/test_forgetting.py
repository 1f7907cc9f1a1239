"""What a tuned model has forgotten: its loss on general text beside its base's, in tables and the gate."""

import json
import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

import train
from architectures.inference.losses import row_losses, tuned_and_base_losses
from architectures.models.causal_lm import CausalLM
from architectures.training.checkpoints import check_task
from architectures.training.signals import Signals
from data.modules.general import general_examples
from data.reports import forgetting_report
from data.scoring.forgetting import compare_losses
from data.tokens.prompts import Renderer
from tests.conftest import EVALUATE_KEYS, POCKET, SMALL, typed
from tests.verdict_runs import LIMITS, run

TEXTS = ["Say it again: red coat", "Which is first?", "the blue jacket of the shop", "cotton"]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("general")
    texts, chats = folder / "texts.jsonl", folder / "chats.jsonl"
    texts.write_text("\n".join(json.dumps({"text": text}) for text in TEXTS), encoding="utf-8")
    rows = [{"instruction": f"Say it again: {text}", "output": text} for text in TEXTS]
    chats.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    return texts, chats


def test_rows_are_texts_or_conversations(files: tuple[Path, Path], tmp_path: Path) -> None:
    renderer = Renderer(str(POCKET))
    texts, chats = (general_examples(str(path), renderer, 3, 100) for path in files)
    assert (len(texts), len(chats)) == (3, 3)
    assert [row.spans for row in texts] == [((1, len(row.ids)),) for row in texts]
    assert renderer.decode(texts[0].ids) == TEXTS[0]
    begin, end = chats[0].spans[0]
    assert renderer.decode(chats[0].ids[begin:end]) == TEXTS[0]
    with pytest.raises(ValueError, match="no row of at most 1 tokens"):
        general_examples(str(files[0]), renderer, 3, 1)
    with pytest.raises(ValueError, match="there is no file"):
        general_examples(str(tmp_path / "none.jsonl"), renderer, 3, 100)
    (other := tmp_path / "other.csv").write_text("a,b\n1,2\n", encoding="utf-8")
    with pytest.raises(ValueError, match="no column 'text'"):
        general_examples(str(other), renderer, 3, 100)


def test_a_loss_is_that_of_transformers(files: tuple[Path, Path], model_settings: Any) -> None:
    module = CausalLM(model_settings(), {}, {})
    module.configure_model()
    for name, parameter in module.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.3)
    vocabulary = module.net.config.vocab_size
    rows = general_examples(str(files[1]), Renderer(str(POCKET)), 4, 100)
    small = [type(row)([i % vocabulary for i in row.ids], row.spans) for row in rows]
    tuned, base = tuned_and_base_losses(module, small, "test")
    for row, loss in zip(small, tuned, strict=True):
        labels = [i if trained else -100 for i, trained in zip(row.ids, row.mask, strict=True)]
        inputs = torch.tensor([row.ids]), torch.tensor([labels])
        with torch.no_grad():
            theirs = module.net(input_ids=inputs[0], labels=inputs[1]).loss
        assert loss == pytest.approx(float(theirs), abs=1e-4)
    assert max(abs(a - b) for a, b in zip(tuned, base, strict=True)) > 1e-3
    assert row_losses(module, small) == tuned  # the adapter is switched on again


def test_a_model_trained_whole_is_compared_with_its_base_loaded_anew(
    files: tuple[Path, Path], model_settings: Any
) -> None:
    settings = model_settings(adapter="none")
    whole = CausalLM(settings, {}, {"settings": {"model.base": settings["base"]}})
    whole.configure_model()
    size = whole.net.config.vocab_size
    rows = general_examples(str(files[0]), Renderer(str(POCKET)), 4, 100)
    small = [type(row)([i % size for i in row.ids], row.spans) for row in rows]
    before = row_losses(whole, small)
    with torch.no_grad():
        for parameter in whole.parameters():
            parameter.add_(torch.randn_like(parameter), alpha=0.1)
    tuned, base = tuned_and_base_losses(whole, small, "test")
    assert base == pytest.approx(before, abs=1e-4)
    assert tuned != pytest.approx(before, abs=1e-2)


def test_a_rise_closes_the_gate() -> None:
    row = compare_losses("chat.jsonl", [2.0, 2.2, 2.1, 2.3], [1.0, 1.1, 1.2, 1.0], seed=0)
    assert row["rise"] == pytest.approx(1.075)
    assert row["rise_low"] < 1.075 < row["rise_high"]
    scores = {"general": [row]}
    assert [one.passed for one in forgetting_report.criteria(scores, 0.0)] == [True]
    assert [one.passed for one in forgetting_report.criteria(scores, 0.5)] == [False]
    assert [one.passed for one in forgetting_report.criteria(scores, 2.0)] == [True]
    assert not forgetting_report.criteria({}, 0.5)[0].passed
    nothing = {"general": [row | {"rise_high": math.nan}]}
    assert not forgetting_report.criteria(nothing, 2.0)[0].passed


def test_a_file_without_text_is_refused_before_training_and_before_answering(
    finished: tuple[Path, str], tmp_path: Path
) -> None:
    (other := tmp_path / "other.csv").write_text("a,b\n1,2\n", encoding="utf-8")
    outputs = finished[0].parent
    config = typed("+experiment=quickstart", f"outputs={outputs}", *SMALL, f"evaluation.general=[{other}]")
    with pytest.raises(ValueError, match="no column 'text'"):
        train.run(config, tmp_path, Signals())
    assert not (tmp_path / "checkpoints").exists()
    before = set((outputs / "evaluations").glob("*/*"))
    with pytest.raises(ValueError, match="no column 'text'"):
        run(ckpt=finished[0] / "model", outputs=outputs, general=str(other), baselines="tfidf")
    assert not {path.name for path in set((outputs / "evaluations").glob("*/*")) - before} & {
        "predictions.parquet"
    }


def test_what_cannot_be_used_is_left_out_and_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "texts.jsonl"
    rows = [*({"text": text} for text in TEXTS), {"text": ""}, {"text": None}]
    path.write_text("\n".join(map(json.dumps, rows)) + '\n{"text": "cut o', encoding="utf-8")
    with caplog.at_level("WARNING"):
        assert len(general_examples(str(path), Renderer(str(POCKET)), 10, 100)) == len(TEXTS)
    assert "3 rows are damaged, empty, repeated or no conversation" in caplog.text


def test_general_text_is_not_for_classifiers() -> None:
    model: Any = SimpleNamespace(origin={"data": {"task": "labels"}})
    given = dict.fromkeys(EVALUATE_KEYS) | {"general": ["chat.jsonl"]}
    with pytest.raises(ValueError, match="general: is for models of another task"):
        check_task("x", model, given)


def test_an_evaluation_tells_it_and_a_limit_closes_the_gate(
    finished: tuple[Path, str], files: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    folder, outputs = finished[0], finished[0].parent
    given: dict[str, Any] = {
        "ckpt": folder / "model",
        "outputs": outputs,
        "questions": 2,
        "baselines": ["tfidf"],
    }
    given |= {"general": [str(path) for path in files], "gate": True}
    with pytest.raises(SystemExit):
        run(**given, limits=LIMITS | {"general": 1e-6})
    printed = capsys.readouterr().out
    assert "| texts.jsonl  | loss   |    4 |" in printed
    assert "FAILED | general text, chats.jsonl" in printed
