"""Shared fixtures: the project's root, real data where it is there, and tiny random models of real
architectures.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

import architectures  # sets how OpenMP waits, before torch is loaded

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ.pop("MLFLOW_TRACKING_URI", None)

ROOT = Path(architectures.__file__).resolve().parents[1]
DATASETS = ROOT.parent / "shared" / "datasets"
POCKET = ROOT / "architectures" / "pocket"
EVALUATE_KEYS = list(map(str, OmegaConf.load(ROOT / "config/evaluate.yaml")))
SMALL = [
    "data.limit=60",
    "data.max_details=2",
    "data.grounding_rows=2",
    "trainer.batch_size=4",
    "trainer.max_steps=6",
    "trainer.log_every=1",
    "evaluation.questions=6",
]
SMALL += [
    "trainer.precision=32-true",
    "tracking.system_metrics=false",
    "tracking.also=[csv]",
    "evaluation.baselines=[same-product,tfidf,untuned]",
]


def _share_cpus() -> None:
    """Give each worker of ``pytest -n`` CPUs of its own, so that none waits for another's threads."""
    worker = os.environ.get("PYTEST_XDIST_WORKER", "")  # gw0, gw1, ...
    if worker and hasattr(os, "sched_setaffinity"):
        cpus = sorted(os.sched_getaffinity(0))
        own = cpus[int(worker[2:]) % len(cpus) :: int(os.environ["PYTEST_XDIST_WORKER_COUNT"])]
        os.sched_setaffinity(0, own)


_share_cpus()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The files of whole runs, which take longest, come first, so that several workers end together."""
    items.sort(key=lambda item: item.path.parent != ROOT / "tests")


def typed(*overrides: str) -> Any:
    """A configuration, checked, as train.py would have it."""
    from hydra import compose, initialize_config_dir

    from config import command_line, schema

    assert command_line.HERE == ROOT / "config"
    with initialize_config_dir(str(ROOT / "config"), version_base="1.3"):
        config = compose("train", list(overrides))
    assert schema.problems_of(config) == []
    return schema.typed(config)


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """One whole small run: (its folder, what it printed). It is left as it is."""
    import contextlib
    import io

    import train
    from architectures.training.signals import Signals

    outputs = tmp_path_factory.mktemp("outputs")
    folder = outputs / "run"
    folder.mkdir()
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed), contextlib.chdir(ROOT):
        train.run(typed("+experiment=quickstart", f"outputs={outputs}", *SMALL), folder, Signals())
    return folder, printed.getvalue()


@pytest.fixture(scope="module")
def good(finished: tuple[Path, str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run whose answers were all right: a real run's, with its predictions replaced by the
    truth, and judged anew.
    """
    import json
    import shutil

    import polars as pl

    from data.modules.retail import RetailData
    from data.scoring import summaries

    outputs = tmp_path_factory.mktemp("good")
    folder = outputs / "runs" / "good"
    shutil.copytree(finished[0], folder)
    scores = json.loads((folder / "scores.json").read_text())
    data = RetailData(
        scores["origin"]["data"],
        str(ROOT / "architectures/pocket"),
        finished[0].parent / "cache",
        scores["origin"]["seed"],
    )
    data.prepare_data()
    questions = data.evaluation_questions(scores["origin"]["evaluation"]["questions"])
    rows = pl.read_parquet(folder / "predictions.parquet").filter(pl.col("model") != "tuned")
    tuned = data.judge(questions, questions["answer"].to_list()).with_columns(model=pl.lit("tuned"))
    judged = pl.concat([rows, tuned])
    judged.write_parquet(folder / "predictions.parquet")
    scores |= summaries.score_models(judged, data.questions("train")["answer"], 0)
    (folder / "scores.json").write_text(json.dumps(scores))
    return folder


@pytest.fixture(autouse=True)
def at_root(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Everything is run from the project's root, and no test leaves a tracking server to the next."""
    monkeypatch.chdir(ROOT)
    yield
    os.environ.pop("MLFLOW_TRACKING_URI", None)  # MLflow sets it where a model is registered


def real(name: str) -> Path:
    """A file of the real data sets; the test is skipped where they are not at hand."""
    path = DATASETS / name
    if not path.exists():
        pytest.skip(f"real data is not at hand: {path}")
    return path


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A function that writes a small random model of a kind ('gemma2', 'llama', 'qwen3', 'bert', ...)."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForMaskedLM

    made: dict[str, str] = {}

    def make(kind: str) -> str:
        if kind not in made:
            shape = {
                "hidden_size": 32,
                "num_hidden_layers": 2,
                "intermediate_size": 48,
                "num_attention_heads": 2,
            }
            shape |= {
                "num_key_value_heads": 1,
                "head_dim": 16,
                "vocab_size": 4096,
                "max_position_embeddings": 512,
            }
            shape |= {"pad_token_id": 0, "eos_token_id": 1, "bos_token_id": 2}
            torch.manual_seed(0)
            if kind == "distilbert":
                shape |= {"dim": 32, "n_layers": 2, "n_heads": 2, "hidden_dim": 48}
            encoder = kind in ("bert", "roberta", "distilbert")
            net = (AutoModelForMaskedLM if encoder else AutoModelForCausalLM).from_config(
                AutoConfig.for_model(kind, **shape)
            )
            made[kind] = str(tmp_path_factory.mktemp(kind))
            net.save_pretrained(made[kind])
        return made[kind]

    return make


@pytest.fixture
def model_settings(tiny_model: Any) -> Any:
    """model_settings(kind, **changes) -> arguments of `building.build_net` for a tiny model."""

    def make(kind: str = "gemma2", **changes: Any) -> dict[str, Any]:
        return {
            "base": tiny_model(kind),
            "init": "pretrained",
            "adapter": "lora",
            "lora_r": 4,
            "lora_alpha": 8,
            "lora_dropout": 0.0,
            "lora_targets": ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"],
            "quantization": "none",
            "dtype": "float32",
            "attention": "auto",
            "gradient_checkpointing": False,
            "base_dropout": None,
        } | changes

    return make
