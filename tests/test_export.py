"""What leaves the project: merged weights, adapter and tokenizer with the format's template, fewer bits,
fewer weights, GGUF, the Hub.
"""

import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import torch
from hydra import compose, initialize_config_dir

import evaluate
from architectures.inference import gguf_export
from architectures.models import compression, loading, lora
from architectures.models.run_file import model_digest
from architectures.training import checkpoints
from data.tokens.prompts import Renderer
from tests.conftest import ROOT

POCKET = ROOT / "architectures/pocket"


def configured(*overrides: str) -> Any:
    with initialize_config_dir(str(ROOT / "config"), version_base="1.3"):
        return compose("evaluate", overrides=list(overrides))


@pytest.fixture
def model(finished: tuple[Path, str]) -> Path:
    return finished[0] / "model"


def test_a_merged_model_is_base_and_adapter_in_sixteen_bits(model: Path, tmp_path: Path) -> None:
    evaluate.run(configured(f"ckpt={model}", "export=merged", f"to={tmp_path / 'merged'}"))
    back: Any = checkpoints.load_model(tmp_path / "merged")
    assert not lora.has_adapter(back.net)
    exact = lora.merge_adapter(str(POCKET), model, torch.float32).state_dict()
    for name, weight in back.net.state_dict().items():
        assert torch.equal(weight.bfloat16(), exact[name].bfloat16()), name
    saved = (tmp_path / "merged/README.md").read_text()
    assert saved.startswith("---\nlicense: other")
    assert "Intended use" in saved
    assert "whose licence applies" in saved


def test_a_model_that_answers_is_no_onnx_file(model: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="export=onnx: is for classifiers; set export=merged or gguf"):
        evaluate.run(configured(f"ckpt={model}", "export=onnx", f"to={tmp_path / 'onnx'}"))


@pytest.mark.slow
def test_what_was_exported_is_what_is_evaluated(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The merged folder by itself, and the merged model in the adapter's table, give the same answers."""
    outputs = f"outputs={model.parents[1]}"
    evaluate.run(configured(f"ckpt={model}", "export=merged", f"to={tmp_path / 'merged'}"))
    evaluate.run(configured(f"ckpt={tmp_path / 'merged'}", "baselines=[]", "batch_size=8", outputs))
    evaluate.run(
        configured(
            f"ckpt={model}", "baselines=[]", "batch_size=8", "variants=[merged,nf4,int8,pruned-0.9]", outputs
        )
    )
    tables = sorted(
        (model.parents[1] / "evaluations").glob("*/predictions.parquet"),
        key=lambda path: path.stat().st_mtime,
    )[-2:]
    alone, together = (pl.read_parquet(path) for path in tables)
    assert set(together["model"]) == {"tuned", "merged", "nf4", "int8", "pruned-0.9"}
    of = {
        name: frame["prediction"].to_list()
        for (name,), frame in together.partition_by("model", as_dict=True).items()
    }
    assert of["pruned-0.9"] != of["merged"]
    assert alone["prediction"].to_list() == of["merged"]
    assert "pruned-0.9" in capsys.readouterr().out


def test_pruning_takes_the_smallest_weights_of_each_layer(tmp_path: Path) -> None:
    net = loading.load_base(loading.BaseSettings(str(POCKET), dtype="float32"))
    before = {name: weight.clone() for name, weight in net.state_dict().items()}
    compression.prune(net, 0.3)
    name = "model.layers.0.mlp.up_proj.weight"
    after = net.state_dict()
    assert (after[name] == 0).float().mean().item() == pytest.approx(0.3, abs=0.01)
    kept, lost = before[name][after[name] != 0].abs().min(), before[name][after[name] == 0].abs().max()
    assert lost <= kept
    assert torch.equal(after["model.embed_tokens.weight"], before["model.embed_tokens.weight"])


def test_a_servers_template_makes_the_ids_of_training(tmp_path: Path) -> None:
    from transformers import AutoTokenizer

    renderer = Renderer(str(POCKET))
    renderer.save(tmp_path)
    tokenizer = AutoTokenizer.from_pretrained(tmp_path)
    asked = {"role": "user", "content": " Context:Online shopping for Tops\nWhich fabric?"}
    found = tokenizer.apply_chat_template(
        [asked], tokenize=True, add_generation_prompt=True, return_dict=False
    )
    assert found == renderer.render("Online shopping for Tops", "Which fabric?", None).ids
    answered = [
        asked,
        {"role": "assistant", "content": "Cotton."},
        {"role": "user", "content": " Context:Online shopping for Tops\nAnd this?"},
    ]
    found = tokenizer.apply_chat_template(
        answered, tokenize=True, add_generation_prompt=True, return_dict=False
    )
    assert found == renderer.conversation(
        "Online shopping for Tops", [("Which fabric?", "Cotton.")], "And this?"
    )
    text = tokenizer.apply_chat_template([{"role": "system", "content": "Be kind."}, asked], tokenize=False)
    assert text.count("Be kind.\n\n Context:") == 1
    assert (tmp_path / "chat_template.jinja").read_text() == renderer.chat_template


def test_an_exported_adapter_is_the_model(model: Path, tmp_path: Path) -> None:
    evaluate.run(configured(f"ckpt={model}", "export=adapter", f"to={tmp_path / 'adapter'}"))
    assert model_digest(tmp_path / "adapter") == model_digest(model)
    assert {
        "adapter_config.json",
        "adapter_model.safetensors",
        "tokenizer.json",
        "chat_template.jinja",
        "README.md",
    } <= {path.name for path in (tmp_path / "adapter").iterdir()}
    with pytest.raises(ValueError, match="is not empty"):
        evaluate.run(configured(f"ckpt={model}", "export=adapter", f"to={tmp_path / 'adapter'}"))


def test_a_folder_that_cannot_be_written_is_one_error(model: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(ValueError, match=r"to=.*file: cannot be written to"):
        evaluate.run(configured(f"ckpt={model}", "export=adapter", f"to={tmp_path / 'file'}"))


def test_gguf_is_left_to_its_converter(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not there: said plainly. There: it gets the merged model with its tokenizer. Failing: its last
    words.
    """
    monkeypatch.setenv("LLAMA_CPP", str(tmp_path))
    with pytest.raises(ValueError, match=r"export=gguf: .*convert_hf_to_gguf.py is not there"):
        evaluate.run(configured(f"ckpt={model}", "export=gguf", f"to={tmp_path / 'a'}"))
    script = "import sys, pathlib, json\nfolder = pathlib.Path(sys.argv[1])\n"
    script += (
        "names = sorted(path.name for path in"
        " folder.iterdir())\npathlib.Path(sys.argv[3]).write_text(json.dumps(names))"
    )
    (tmp_path / gguf_export.SCRIPT).write_text(script)
    evaluate.run(configured(f"ckpt={model}", "export=gguf", f"to={tmp_path / 'b'}"))
    assert {"model.safetensors", "tokenizer.json", "config.json"} <= set(
        json.loads(next((tmp_path / "b").glob("*.gguf")).read_text())
    )
    (tmp_path / gguf_export.SCRIPT).write_text("raise SystemExit('unknown architecture')")
    with pytest.raises(ValueError, match="unknown architecture"):
        evaluate.run(configured(f"ckpt={model}", "export=gguf", f"to={tmp_path / 'c'}"))


def test_a_push_that_fails_leaves_what_was_exported(model: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="the upload failed"):
        evaluate.run(
            configured(f"ckpt={model}", "export=adapter", f"to={tmp_path / 'adapter'}", "hub=nobody/nothing")
        )
    assert (tmp_path / "adapter/adapter_model.safetensors").is_file()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["export=onyx"], "export=onyx: must be one of adapter, merged, gguf, gguf-q8_0, onnx"),
        (["variants=[int4]"], "variants: unknown 'int4'"),
        (["variants=[pruned-1.5]"], "variants: unknown 'pruned-1.5'"),
        (["hub=me/it"], "hub: is for export"),
    ],
)
def test_mistakes_are_told_at_once(words: list[str], message: str) -> None:
    assert message in "\n".join(evaluate.problems_of(configured("ckpt=x", *words)))
