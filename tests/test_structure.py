"""The shape of the code, read from its source: short modules and functions, one idea a statement.

Each rule is a function of source text, so that a test can show what it rejects. Which layer may import which
is in tests/test_layers.py. `python -m tests.test_structure` prints the figures.
"""

import ast
import importlib
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.test_imports import circle, folder_graph, import_graph, sources
from tests.test_layers import ENTRIES, modules

MODULE_LINES, ENTRY_LINES, FUNCTION_LINES = 300, 250, 40
UNTYPED_LINES = 60  # in all modules; names for what has no static type are in the two files values.py
Function = ast.FunctionDef | ast.AsyncFunctionDef


def functions(source: str) -> Iterator[Function]:
    """Every function and method of a module."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, Function):
            yield node


def length(function: Function) -> int:
    """Lines of a function, from its first line to its last."""
    return (function.end_lineno or function.lineno) - function.lineno + 1


def long_functions(source: str) -> dict[str, int]:
    """Name -> lines of each function that is longer than ``FUNCTION_LINES``."""
    lengths = {function.name: length(function) for function in functions(source)}
    return {name: lines for name, lines in lengths.items() if lines > FUNCTION_LINES}


COMPACT = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp, ast.IfExp)


def own_expressions(statement: ast.AST) -> Iterator[ast.AST]:
    """Every node of a statement's own expressions, without the statements inside it."""
    for node in ast.iter_child_nodes(statement):
        if not isinstance(node, ast.stmt):
            yield node
            yield from own_expressions(node)


def dense_statements(source: str) -> list[int]:
    """Lines of the statements that hold more than one comprehension or conditional expression."""
    lines = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.stmt) and not isinstance(node, (Function, ast.ClassDef)):
            compact = [part for part in own_expressions(node) if isinstance(part, COMPACT)]
            if len(compact) > 1:
                lines.append(node.lineno)
    return lines


def untyped_lines(source: str) -> list[int]:
    """Lines that annotate something with `Any`, or name it."""
    nodes = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Name) and node.id == "Any"]
    return sorted({node.lineno for node in nodes})


def report() -> str:
    """Figures of the code's shape: lines, nodes a line, the longest modules and functions."""
    sources_by_path = {path: path.read_text(encoding="utf-8") for path in modules()}
    lines = {path: source.splitlines() for path, source in sources_by_path.items()}
    total = sum(map(len, lines.values()))
    nodes = 0
    long_lines = 0
    untyped = sum(len(untyped_lines(source)) for source in sources_by_path.values())
    longest: list[tuple[int, str]] = []
    for path, source in sources_by_path.items():
        nodes += sum(1 for _ in ast.walk(ast.parse(source)))
        long_lines += sum(len(line) > 100 for line in lines[path])
        longest += [(length(one), f"{path.relative_to(ROOT)}:{one.name}") for one in functions(source)]
    modules_by_length = sorted(((len(text), str(path.relative_to(ROOT))) for path, text in lines.items()))
    figures = [
        f"{len(lines)} modules, {total:,} lines, {nodes / total:.1f} syntax nodes a line",
        f"{untyped} lines with Any",
        f"{long_lines / total:.1%} of lines over 100 characters",
        f"circles: {circle(import_graph(sources())) or 'none'} of modules,"
        f" {circle(folder_graph(import_graph(sources()))) or 'none'} of folders",
    ]
    for count, name in [*modules_by_length[-5:], *sorted(longest)[-5:]]:
        figures.append(f"{count:5} {name}")
    return "\n".join(figures)


def unmarked_helpers(sources: dict[str, str], others: str) -> list[str]:
    """Functions that only their own module uses and that have no leading underscore.

    Args:
        sources: dotted name -> source text. others: texts outside the modules that use names of theirs.
    """
    words = {name: set(re.findall(r"\w+", source)) for name, source in sources.items()}
    modules_by_word = Counter(word for used in words.values() for word in used)
    known_outside = set(re.findall(r"\w+", others))
    helpers = []
    for name, source in sources.items():
        for node in ast.parse(source).body:
            is_public = isinstance(node, Function) and not node.name.startswith("_")
            if is_public and modules_by_word[node.name] == 1 and node.name not in known_outside:
                helpers.append(f"{name}.{node.name}")
    return helpers


def texts_beside_modules() -> str:
    """Tests, docs and configuration, which use what modules offer."""
    patterns = ("tests/**/*.py", "docs/*.md", "*.md", "config/**/*.yaml", "*.py", "hydra_plugins/**/*.py")
    paths = [path for pattern in patterns for path in sorted(ROOT.glob(pattern))]
    return "\n".join(path.read_text(encoding="utf-8") for path in paths)


def test_helpers_have_a_leading_underscore() -> None:
    layers = {name: source for name, source in sources().items() if name.split(".")[0] in LAYERS}
    assert unmarked_helpers(layers, texts_beside_modules()) == []


def test_an_unmarked_helper_is_found() -> None:
    modules = {"a": "def shared(): own()\ndef own(): pass\ndef _marked(): pass", "b": "import a; a.shared()"}
    assert unmarked_helpers(modules, "") == ["a.own"]
    assert unmarked_helpers(modules, "assert own() is None") == []


def most_lines(path: Path) -> int:
    """Lines that a module may have."""
    return ENTRY_LINES if path.stem in ENTRIES and path.parent == ROOT else MODULE_LINES


def test_files_of_tests_are_short() -> None:
    lines = {
        path: len(path.read_text(encoding="utf-8").splitlines()) for path in (ROOT / "tests").rglob("*.py")
    }
    assert lines
    assert {str(path): count for path, count in lines.items() if count > MODULE_LINES} == {}


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(ROOT)))
def test_modules_and_functions_are_short(path: Path) -> None:
    source = path.read_text(encoding="utf-8")
    assert len(source.splitlines()) <= most_lines(path)
    assert long_functions(source) == {}


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(ROOT)))
def test_statements_have_one_comprehension_or_conditional(path: Path) -> None:
    assert dense_statements(path.read_text(encoding="utf-8")) == []


def test_few_lines_are_without_a_type() -> None:
    lines = {str(path): untyped_lines(path.read_text(encoding="utf-8")) for path in modules()}
    assert 0 < sum(map(len, lines.values())) <= UNTYPED_LINES


def test_a_line_without_a_type_is_found() -> None:
    assert untyped_lines("from typing import Any\nx: Any\ndef f(a: dict[str, Any]) -> Any: ...\n") == [2, 3]


def test_a_dense_statement_is_found() -> None:
    assert dense_statements("x = [[a for a in b] for b in c]\ny = [a for a in b]\n") == [1]
    assert dense_statements("def f():\n    y = [a if a else 0 for a in b]\n") == [2]
    assert dense_statements("for a in [b for b in c]:\n    y = [d for d in e]\n") == []


LAYERS = ("architectures", "config", "data")
HEAVY = {"torch", "transformers", "lightning", "polars", "hydra", "omegaconf"}


def test_importing_the_layers_loads_no_heavy_package() -> None:
    code = f"import sys, {', '.join(LAYERS)}; print(sorted({HEAVY} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("layer", LAYERS)
def test_every_public_name_can_be_imported(layer: str) -> None:
    package = importlib.import_module(layer)
    assert package.__all__
    for name in package.__all__:
        assert getattr(package, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        package.nothing  # noqa: B018


def test_a_long_function_is_found() -> None:
    body = "\n".join("    x = 1" for _ in range(FUNCTION_LINES))
    assert long_functions(f"def short():\n    pass\ndef long():\n{body}") == {"long": FUNCTION_LINES + 1}


if __name__ == "__main__":
    print(report())
