"""The law of the layers, read from the imports of every module: who may import whom, and which packages."""

import ast
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT

LAYERS = ("architectures", "config", "data")
BESIDE = ("hydra_plugins",)
ENTRIES = ("train", "evaluate", "app")
MAY: dict[str, set[str]] = {
    "app": {"architectures", "data", "polars", "hydra", "omegaconf", "gradio"},
    "architectures": {"architectures", "torch", "transformers", "peft", "lightning", "torchmetrics"},
    "config": {"config", "omegaconf", "hydra"},
    "data": {"data", "polars", "tokenizers", "transformers", "torch", "lightning"},
    "evaluate": {"architectures", "data", "polars", "hydra", "omegaconf"},
    "hydra_plugins": {"hydra_plugins", "config", "hydra", "omegaconf"},
    "train": {"evaluate", *LAYERS, "hydra", "omegaconf"},
}
# Packages that one module alone may meet, inside functions.
MORE = {
    "architectures/baselines/linear.py": {"sklearn"},
    "architectures/baselines/prompted.py": {"sklearn"},
    "architectures/baselines/similarity.py": {"sklearn"},
    "architectures/baselines/simple.py": {"sklearn"},
    "architectures/models/adapter_start.py": {"safetensors", "tqdm"},
    "architectures/inference/backend.py": {"tqdm"},
    "architectures/inference/chat_client.py": {"openai"},
    "architectures/inference/chat_functions.py": {"tqdm"},
    "architectures/inference/endpoint_backend.py": {"openai"},
    "architectures/inference/export.py": {"huggingface_hub"},
    "architectures/inference/deployment.py": {"yaml"},
    "architectures/inference/harness.py": {"lm_eval"},
    "architectures/inference/harness_model.py": {"lm_eval"},
    "architectures/inference/losses.py": {"tqdm"},
    "architectures/inference/onnx_export.py": {"onnxruntime"},
    "architectures/models/distilled_lm.py": {"tqdm"},
    "architectures/models/preference_lm.py": {"tqdm"},
    "architectures/inference/vllm_worker.py": {"vllm"},
    "architectures/models/bases.py": {"huggingface_hub"},
    "architectures/models/gguf_file.py": {"filelock", "gguf", "huggingface_hub"},
    "architectures/models/gguf_tokenizer.py": {"tokenizers"},
    "architectures/models/lora.py": {"safetensors"},
    "architectures/models/optimizers.py": {"bitsandbytes"},
    "architectures/runtime/machine.py": {"joblib"},
    "architectures/runtime/startup.py": {"psutil"},
    "architectures/tracking/mlflow_server.py": {"mlflow"},
    "architectures/tracking/registry.py": {"mlflow"},
    "architectures/tracking/sender.py": {"mlflow"},
    "architectures/training/classification.py": {"tqdm"},
    "architectures/training/planning.py": {"psutil"},
    "architectures/training/processes.py": {"psutil"},
    "architectures/tracking/runs_page.py": {"gradio", "pandas"},
    "data/catalogue/images.py": {"httpx", "PIL", "fsspec", "tqdm"},
    "data/catalogue/partitions.py": {"ray", "tqdm"},
    "data/catalogue/pictures.py": {"PIL", "fsspec"},
    "data/catalogue/reading.py": {"tqdm", "fastexcel"},
    "data/catalogue/sources.py": {"huggingface_hub"},
    "data/catalogue/text_encodings.py": {"charset_normalizer"},
    "data/catalogue/text_files.py": {"pyarrow"},
    "data/modules/conversation_files.py": {"tqdm"},
    "data/modules/instructions.py": {"tqdm"},
    "data/modules/preparation.py": {"tqdm"},
    "data/questions/filters.py": {"datasketch"},
    "data/reports/charts.py": {"matplotlib"},
    "data/reports/page.py": {"markdown_it"},
    "data/scoring/rules.py": {"rapidfuzz"},
    "data/scoring/text_metrics.py": {"jsonschema", "referencing", "sacrebleu"},
    "data/questions/matches.py": {"numpy"},
    "data/questions/names.py": {"numpy"},
    "data/questions/retrieval.py": {"bm25s", "numpy"},
    "data/questions/words.py": {"numpy", "rapidfuzz"},
    "data/questions/golden.py": {"rapidfuzz"},
    "data/catalogue/pairing.py": {"yaml"},
    "data/tokens/prompts.py": {"jinja2"},  # what a chat template raises
    "hydra_plugins/strata_launchers/azureml.py": {"azure"},
    "hydra_plugins/strata_launchers/kubernetes.py": {"kubernetes", "urllib3", "yaml"},
}
HEAVY = {
    "vllm",
    "ray",
    "gradio",
    "httpx",
    "PIL",
    "fsspec",
    "datasketch",
    "sklearn",
    "openai",
    "matplotlib",
    "huggingface_hub",
    "mlflow",
    "bitsandbytes",
    "peft",
    "azure",
}


def imported(source: str) -> set[str]:
    """Top-level names of everything that a module imports, wherever in it."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add("." * node.level or str(node.module).split(".")[0])
    return names


def at_once(source: str) -> set[str]:
    """Top-level names that a module imports as soon as it is imported itself."""
    statements = [node for node in ast.parse(source).body if isinstance(node, ast.Import | ast.ImportFrom)]
    return imported("\n".join(ast.unparse(node) for node in statements))


def breaches(path: str, source: str) -> set[str]:
    """Imports of the module at ``path`` (relative to the root) that the law forbids."""
    layer = path.split("/")[0].removesuffix(".py")
    allowed = MAY[layer] | MORE.get(path, set()) | set(sys.stdlib_module_names)
    return imported(source) - allowed


def modules() -> list[Path]:
    found = [path for layer in (*LAYERS, *BESIDE) for path in sorted((ROOT / layer).rglob("*.py"))]
    return found + [ROOT / f"{entry}.py" for entry in ENTRIES]


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_keep_the_law(path: Path) -> None:
    assert breaches(str(path.relative_to(ROOT)), path.read_text(encoding="utf-8")) == set()


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(ROOT)))
def test_heavy_packages_are_imported_where_they_are_used(path: Path) -> None:
    assert at_once(path.read_text(encoding="utf-8")) & HEAVY == set()


def test_a_heavy_import_is_found() -> None:
    assert at_once("import sklearn.metrics\ndef f():\n    import openai") & HEAVY == {"sklearn"}


def test_the_law_sees_every_module() -> None:
    assert len(modules()) >= 20


@pytest.mark.parametrize(
    ("path", "source", "found"),
    [
        ("data/x.py", "from architectures import adapters", "architectures"),
        ("architectures/x.py", "def f():\n    import polars", "polars"),
        ("architectures/x.py", "import mlflow", "mlflow"),
        ("config/x.py", "import data.tokens.prompts", "data"),
        ("evaluate.py", "from train import run", "train"),
        ("evaluate.py", "from config.schema.run import TrainConfig", "config"),
        ("hydra_plugins/x.py", "from architectures.training.signals import Signals", "architectures"),
        ("data/x.py", "from . import prompts", "."),
    ],
)
def test_a_breach_is_found(path: str, source: str, found: str) -> None:
    assert breaches(path, source) == {found}


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(ROOT)))
def test_a_module_says_what_it_is_for(path: Path) -> None:
    assert ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
