"""Private APIs of other packages: each still exists, and only the compatibility modules use them.

A failure names the package, its installed version, and the compatibility module to mend after an upgrade.
"""

import ast
from collections.abc import Iterator
from functools import reduce
from importlib import import_module
from importlib.metadata import version
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.test_layers import modules

# package, module, attribute path in it, the compatibility module that uses it
PRIVATE = [
    ("lightning", "lightning.pytorch.loops.fit_loop", "_FitLoop._should_accumulate", "lightning"),
    ("lightning", "lightning.fabric.utilities.rank_zero", "_get_rank", "lightning"),
    ("lightning", "lightning.pytorch.trainer.connectors.signal_connector", "_SignalConnector", "lightning"),
    ("torch", "torch", "cpu._is_avx512_bf16_supported", "torch"),
    ("torch", "torch", "cpu._is_amx_tile_supported", "torch"),
    ("torch", "torch", "ops.aten._softmax_backward_data", "torch"),
    ("torch", "torch.utils._pytree", "tree_map", "torch"),
    ("torch", "torch.optim._muon", "_zeropower_via_newtonschulz", "torch"),
    ("transformers", "transformers", "PreTrainedModel._supports_attention_backend", "transformers"),
    ("transformers", "transformers", "PreTrainedModel._supports_sdpa", "transformers"),
    ("transformers", "transformers", "PreTrainedConfig._attn_implementation", "transformers"),
    ("transformers", "transformers.integrations.ggml", "GGUF_CONFIG_MAPPING", "transformers"),
    ("hydra-core", "hydra._internal.core_plugins.basic_sweeper", "BasicSweeper.split_arguments", "config"),
]
OWN = {"architectures/compatibility", "config/compatibility.py"}


def missing(package: str, module: str, path: str, user: str) -> str:
    """What to say where a private name is gone; empty if it is there."""
    try:
        reduce(getattr, path.split("."), import_module(module))
    except (ImportError, AttributeError):
        return f"{package} {version(package)} has no {module}:{path}, which compatibility ({user}) uses"
    return ""


def private_names(source: str) -> Iterator[str]:
    """Private names that a module imports, or takes from an object that is not its own."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and node.module:
            parts = [*node.module.split("."), *(alias.name for alias in node.names)]
            yield from (part for part in parts if is_private(part))
        if isinstance(node, ast.Attribute) and is_private(node.attr) and ast.unparse(node.value) != "self":
            yield node.attr


def is_private(name: str) -> bool:
    """Whether a name has one leading underscore."""
    return name.startswith("_") and not name.startswith("__")


@pytest.mark.parametrize(("package", "module", "path", "user"), PRIVATE, ids=lambda value: value)
def test_a_private_api_is_there(package: str, module: str, path: str, user: str) -> None:
    assert missing(package, module, path, user) == ""


def test_a_missing_api_is_named_with_the_version() -> None:
    said = missing("torch", "torch", "cpu._no_such_name", "torch")
    assert said.startswith(f"torch {version('torch')} has no torch:cpu._no_such_name")


def uses_private(path: Path) -> bool:
    """Whether a module may use private APIs."""
    name = str(path.relative_to(ROOT))
    return any(name.startswith(own) for own in OWN)


@pytest.mark.parametrize(
    "path",
    [path for path in modules() if not uses_private(path)],
    ids=lambda path: str(path.relative_to(ROOT)),
)
def test_no_other_module_uses_a_private_api(path: Path) -> None:
    assert set(private_names(path.read_text(encoding="utf-8"))) == set()


def test_a_private_use_is_found() -> None:
    source = "from torch.utils._pytree import tree_map\nnet._attn = self._mine\nfrom a import _b"
    assert set(private_names(source)) == {"_pytree", "_attn", "_b"}
