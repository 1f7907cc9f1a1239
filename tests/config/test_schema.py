"""Every experiment composes and holds the published values; everything wrong is told at once, before
anything is loaded.
"""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hydra import compose, initialize_config_dir

from config import command_line, schema
from tests.conftest import ROOT, typed

EXPERIMENTS = sorted(path.stem for path in (ROOT / "config/experiment").glob("*.yaml"))
GROUPS = [
    (group, path.stem)
    for group in ("model", "data", "trainer")
    for path in sorted((ROOT / "config" / group).glob("*.yaml"))
]
PUBLISHED = {
    "trainer.epochs": (1, 2, 3, 4),
    "model.lora_r": (8, 8, 16, 32),
    "model.lora_alpha": (16, 16, 32, 64),
    "model.lora_dropout": (0.1, 0.1, 0.2, 0.3),
    "trainer.max_grad_norm": (0.3, 1, 1, 1),
    "trainer.learning_rate": (2e-4, 2e-5, 2e-4, 3e-4),
    "trainer.weight_decay": (0.001, 0.01, 0.005, 0.001),
    "trainer.warmup_ratio": (0.03, 0.1, 0.2, 0.3),
    "data.max_seq_length": (512, 1024, 2048, 8192),
}


def composed(*overrides: str) -> Any:
    with initialize_config_dir(str(ROOT / "config"), version_base="1.3"):
        return compose("train", list(overrides))


def wrong(*arguments: str) -> str:
    with pytest.raises(ValueError, match="nothing was started") as raised:
        command_line.check(list(arguments))
    return str(raised.value)


def test_all_experiments_are_there() -> None:
    assert {"base", "job-0", "job-1", "job-2", "quickstart", "rank-search", "pocket"} <= set(EXPERIMENTS)
    assert {
        "unfair-tos",
        "unfair-tos-multilabel",
        "tags",
        "imdb",
        "rotten-tomatoes",
        "labels",
        "instructions",
    } <= set(EXPERIMENTS)
    assert len(EXPERIMENTS) >= 13


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_experiment_composes(name: str) -> None:
    needed = {"preferences": ["data.preferences=README.md"]}
    needed |= {key: ["data.path=x.csv"] for key in ("tags", "labels", "instructions")}
    config = composed(f"+experiment={name}", *needed.get(name, []))
    assert schema.problems_of(config) == []
    assert schema.typed(config).experiment == name


@pytest.mark.parametrize(("group", "name"), GROUPS)
def test_group_composes(group: str, name: str) -> None:
    extra = []
    if group == "data" and name in ("flipkart", "table", "tags", "labelled", "instructions"):
        extra = ["data.path=x.csv", "data.columns.name=a", "data.columns.category=b"]
    if group == "model" and composed(f"{group}={name}").model.method != "fine-tune":
        extra = ["data=labelled", "data.path=x.csv"]
    config = composed(f"{group}={name}", *extra)
    assert schema.problems_of(config) == []
    if group == "model":
        assert config.model.name == name


@pytest.mark.parametrize("place", range(4))
def test_published_values(place: int) -> None:
    config = composed(f"+experiment={['base', 'job-0', 'job-1', 'job-2'][place]}")
    for key, values in PUBLISHED.items():
        group, name = key.split(".")
        assert config[group][name] == values[place], key


def test_unfair_tos_is_as_published() -> None:
    config = schema.typed(composed("+experiment=unfair-tos"))
    assert (config.model.base, config.model.adapter) == ("FacebookAI/roberta-base", "lora")
    t = config.trainer
    assert (config.data.max_seq_length, t.batch_size, t.learning_rate, t.epochs) == (128, 256, 2e-4, 10)
    assert (t.monitor, t.patience, t.min_delta, t.max_hours) == ("f1", 4, 0.005, 3.0)


def test_presets_of_encoders_name_layers_that_are_there() -> None:
    """The shapes of each encoder, built without weights, have the layers that its preset adapts."""
    from transformers import AutoConfig, AutoModel

    from architectures.models.lora import linear_names

    kinds = {
        "roberta-base": "roberta",
        "distilbert": "distilbert",
        "legal-bert": "bert",
        "scibert": "bert",
        "minilm": "bert",
    }
    for name, kind in kinds.items():
        net = AutoModel.from_config(
            AutoConfig.for_model(kind, vocab_size=10, num_hidden_layers=1, n_layers=1)
        )
        assert set(composed(f"model={name}").model.lora_targets) <= linear_names(net), name


def test_rank_search_is_a_sweep_with_alpha_twice_the_rank() -> None:
    assert command_line.check(["+experiment=rank-search"])[0]
    config = schema.typed(composed("+experiment=rank-search", "model.lora_r=64"))
    assert (
        config.model.lora_alpha,
        config.data.validation,
        config.trainer.max_steps,
        config.trainer.validate_every,
    ) == (128, 0.2, 500, 50)


def test_yaml_states_only_differences() -> None:
    """No group repeats a default of the schema, but for the published table, which states itself whole."""
    from omegaconf import OmegaConf

    for group, name in GROUPS:
        content = OmegaConf.load(ROOT / "config" / group / f"{name}.yaml")
        same = [
            k
            for k, v in content.items()
            if k != "defaults" and OmegaConf.is_config(content) and schema.defaults()[group].get(k) == v
        ]  # type: ignore[union-attr]
        assert [k for k in same if k not in ("name", "base", "accelerator")] == [], f"{group}/{name}"


def test_everything_wrong_is_told_at_once() -> None:
    text = wrong(
        "trainer.lerning_rate=1",
        "+model.rank=3",
        "trainer.learning_rate=2e4",
        "model.lora_dropout=1",
        "data.limit=many",
        "data.max_seq_length=20",
        "model.lora_targets=[q_prj]",
        "stage=al",
        "data.columns.nme=x",
        "model.quantization=nf5",
    )
    for expected in (
        "trainer.lerning_rate: no such key; did you mean trainer.learning_rate?",
        "model.rank: no such key; did you mean model.lora_r?",
        "trainer.learning_rate=20000.0: must be at least 0 and below 1",
        "model.lora_dropout=1.0: must be at least 0 and below 1",
        "data.limit: Value 'many'",
        "data.max_seq_length=20: must be at least 64",
        "model.lora_targets: unknown layer 'q_prj'; did you mean q_proj?",
        "stage=al: must be one of inspect, prepare, images, show, plan, fit, all; did you mean all?",
        "data.columns.nme",
        "model.quantization=nf5: must be one of none, nf4; did you mean nf4?",
    ):
        assert expected in text, expected


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["+experiment=job-9"], "job-9"),
        (["model=gemma"], "gemma"),
        (["data=flipkart"], "data.path: no value is given"),
        (["data=table", "data.path=x.csv"], "data.columns.name: which column"),
        (["trainer.learning_rate="], "trainer.learning_rate"),
        (["trainer.learning_rate=nan"], "trainer.learning_rate=nan"),
        (["model=null"], "group override must be"),
        (["trainer.micro_batch=64"], "must not exceed trainer.batch_size"),
        (["trainer.micro_batch=0"], "must be auto, or a number of rows from 1 on"),
        (["trainer.micro_batch=few"], "must be auto, or a number of rows from 1 on"),
        (["model.adapter=none", "model.quantization=nf4"], "cannot be trained as a whole"),
        (["-m", "trainer.learning_rate=1e-4,7"], "trainer.learning_rate=7"),
        (["data.validation=0.5", "data.test=0.5"], "leave nothing to train on"),
        (["model=tfidf"], "model.method=tfidf needs texts with labels"),
        (["trainer.monitor=f1"], "trainer.monitor=f1: data.task=retail has loss and answer_score"),
        (
            ["trainer.monitor=answer_score", "trainer.strategy=fsdp"],
            "a sharded model does not answer during training",
        ),
        (["data=labelled"], "data.path: no value is given"),
        (
            ["data=instructions", "data.path=x", "+data.mixture={y.jsonl: 0}"],
            "data.mixture: y.jsonl has the weight 0",
        ),
        (["+data.mixture={nowhere.jsonl: 1}"], "data.mixture: there is no file or folder nowhere.jsonl"),
        (["trainer.objective=dpo"], "needs a file of pairs of answers: set data.preferences"),
        (["trainer.objective=dpo", "data.preferences=x"], "data.preferences: there is no file x"),
        (["data.preferences=README.md"], "data.preferences=README.md: is for trainer.objective=dpo"),
        (
            ["trainer.objective=dpo", "data.preferences=README.md", "data=labelled", "data.path=x"],
            "trainer.objective=dpo: is for data.task=retail and data.task=instructions",
        ),
        (
            ["data=labelled", "data.path=x", "+data.mixture={README.md: 1}"],
            "data.mixture: is for data.task=instructions and data.task=retail",
        ),
        (["data.quality.filters=[nera]"], "data.quality.filters: unknown 'nera'; did you mean near?"),
        (["data.quality.filters=[words]"], "data.quality.words: the filter words needs a file"),
        (
            ["data=labelled", "data.path=x", "data.quality.filters=[near]"],
            "are for data.task=retail and data.task=instructions",
        ),
        (["data.version=yesterday"], "must be a digest (16 hex digits) or the id of an MLflow run (32)"),
        (["data.against=0123456789abcdef"], "data.against: is for stage=inspect with data.version"),
        (["data/questions=endpoint"], "data.questions.served_model: what does the endpoint call the model"),
        (["evaluation.baselines=[tfid]"], "evaluation.baselines: unknown 'tfid'; did you mean tfidf?"),
        (["evaluation.backend=endpoint"], "evaluation.served_model: what does the endpoint call the model"),
        (["evaluation.backend=vlm"], "did you mean vllm?"),
        (["data=labelled", "data.path=x", "data.clean=[lowercas]"], "data.clean: unknown step 'lowercas'"),
        (["data=labelled", "data.path=x", "data.label_kind=any"], "label_kind=any needs two names"),
        (
            ["data=labelled", "data.path=x", "trainer.monitor=macro_f1_with_none"],
            "is for data.label_kind=multiple",
        ),
        (
            ["data=labelled", "data.path=x", "data.label_names=[a,b,c]", "trainer.monitor=f1"],
            "is the last label's of two",
        ),
        (
            ["data=labelled", "data.path=x", "data.folds=5", "data.fold=5"],
            "data.fold: must be below data.folds",
        ),
        (
            ["data=labelled", "data.path=x", "model=prompted", "prompting.backend=endpoint"],
            "what does the endpoint call the model",
        ),
        (["data=labelled", "data.path=x", "trainer.schedule=cosin"], "did you mean cosine?"),
        (
            ["data=labelled", "data.path=x", "model.base_dropout=1"],
            "model.base_dropout=1.0: must be at least 0 and below 1",
        ),
    ],
)
def test_a_mistake_is_told(arguments: list[str], expected: str) -> None:
    assert expected in wrong(*arguments)


def test_a_mistake_ends_the_program_without_a_traceback() -> None:
    command = [sys.executable, "train.py", "trainer.lerning_rate=1", "+data.lmit=3"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "Traceback" not in done.stderr
    assert "did you mean trainer.learning_rate?" in done.stderr
    assert "did you mean data.limit?" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "experiment"),
    [
        ([], "quickstart"),
        (["data.limit=64"], "quickstart"),
        (["data=table", "data.path=shop.csv"], "quickstart"),
        (["model=gemma-2-9b-it"], "assistant"),
        (["model.base=folder", "data=flipkart"], "assistant"),
        (["-m", "model=gemma-2-9b-it,qwen3-8b"], "assistant"),
        (["-m", "data=sample,flipkart"], "quickstart"),
        (["-m", "data=sample,tags"], ""),
        (["data=tags", "model=minilm"], ""),
        (["data=unfair-tos-multilabel"], ""),
        (["data.task=instructions", "model=smollm2-135m"], ""),
        (["-m", "+experiment=base,job-0"], ""),
    ],
)
def test_a_catalogue_has_an_experiment_by_default(arguments: list[str], experiment: str) -> None:
    added = [f"+experiment={experiment}"] if experiment else []
    assert command_line.with_experiment(arguments) == arguments + added


@pytest.mark.parametrize("path", sorted((ROOT / "config/data").glob("*.yaml")), ids=lambda path: path.stem)
def test_the_task_of_a_table_is_seen_without_composing(path: Path) -> None:
    columns = ["data.columns.name=a", "data.columns.category=b"] if path.stem == "table" else []
    composed = typed(f"data={path.stem}", "data.path=x", *columns)
    assert command_line._tasks({"data": path.stem}) == {composed.data.task}
