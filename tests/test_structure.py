"""The shape of the code, read from its source: short modules and functions, and no imports in a circle.

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
from tests.test_layers import ENTRIES, modules

MODULE_LINES, ENTRY_LINES, FUNCTION_LINES = 300, 250, 40
Function = ast.FunctionDef | ast.AsyncFunctionDef
Graph = dict[str, set[str]]  # name -> names that it imports


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


def report() -> str:
    """Figures of the code's shape: lines, nodes a line, the longest modules and functions."""
    sources_by_path = {path: path.read_text(encoding="utf-8") for path in modules()}
    lines = {path: source.splitlines() for path, source in sources_by_path.items()}
    total = sum(map(len, lines.values()))
    nodes = 0
    long_lines = 0
    longest: list[tuple[int, str]] = []
    for path, source in sources_by_path.items():
        nodes += sum(1 for _ in ast.walk(ast.parse(source)))
        long_lines += sum(len(line) > 100 for line in lines[path])
        longest += [(length(one), f"{path.relative_to(ROOT)}:{one.name}") for one in functions(source)]
    modules_by_length = sorted(((len(text), str(path.relative_to(ROOT))) for path, text in lines.items()))
    figures = [
        f"{len(lines)} modules, {total:,} lines, {nodes / total:.1f} syntax nodes a line",
        f"{long_lines / total:.1%} of lines over 100 characters",
        f"circles: {circle(import_graph(sources())) or 'none'} of modules,"
        f" {circle(folder_graph(import_graph(sources()))) or 'none'} of folders",
    ]
    for count, name in [*modules_by_length[-5:], *sorted(longest)[-5:]]:
        figures.append(f"{count:5} {name}")
    return "\n".join(figures)


def module_names(node: ast.AST) -> list[str]:
    """Dotted names of the modules that an import statement may load; for `from a import b` also `a.b`."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom) and node.module:
        return [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
    return []


def is_for_types(node: ast.AST) -> bool:
    """Whether a statement is `if TYPE_CHECKING:`, whose imports are never run."""
    return isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"


def run_nodes(tree: ast.AST) -> Iterator[ast.AST]:
    """Every node below ``tree`` that can run."""
    for node in ast.iter_child_nodes(tree):
        if not is_for_types(node):
            yield node
            yield from run_nodes(node)


def import_graph(sources: dict[str, str]) -> Graph:
    """Module -> modules that it imports, in any of its functions too. sources: dotted name -> source text."""
    graph: Graph = {}
    for name, source in sources.items():
        imported = {found for node in run_nodes(ast.parse(source)) for found in module_names(node)}
        graph[name] = (imported & sources.keys()) - {name}
    return graph


def folder_graph(graph: Graph) -> Graph:
    """Folder -> folders that its modules import, of the folders that are two levels deep."""
    folders: Graph = {}
    for name, imported in graph.items():
        parts = name.split(".")
        if len(parts) < 3:
            continue
        folder = ".".join(parts[:2])
        others = {".".join(other.split(".")[:2]) for other in imported if other.count(".") > 1}
        folders.setdefault(folder, set()).update(others - {folder})
    return folders


def circle(graph: Graph) -> list[str]:
    """The names of one circle of imports, in order; empty if there is none."""
    done: set[str] = set()

    def visit(name: str, path: list[str]) -> list[str]:
        if name in path:
            return [*path[path.index(name) :], name]
        if name in done:
            return []
        for imported in sorted(graph.get(name, ())):
            found = visit(imported, [*path, name])
            if found:
                return found
        done.add(name)
        return []

    for name in sorted(graph):
        found = visit(name, [])
        if found:
            return found
    return []


def sources() -> dict[str, str]:
    """Dotted name -> source text of every module but the packages' __init__ files, which only re-export."""
    paths = [path for path in modules() if path.name != "__init__.py"]
    names = {".".join(path.relative_to(ROOT).with_suffix("").parts): path for path in paths}
    return {name: path.read_text(encoding="utf-8") for name, path in names.items()}


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


def test_a_dense_statement_is_found() -> None:
    assert dense_statements("x = [[a for a in b] for b in c]\ny = [a for a in b]\n") == [1]
    assert dense_statements("def f():\n    y = [a if a else 0 for a in b]\n") == [2]
    assert dense_statements("for a in [b for b in c]:\n    y = [d for d in e]\n") == []


def test_no_modules_import_each_other() -> None:
    assert circle(import_graph(sources())) == []


def test_no_folders_import_each_other() -> None:
    assert circle(folder_graph(import_graph(sources()))) == []


def drawn_edges(text: str) -> set[tuple[str, str]]:
    """(package, imported package) of each arrow of a page's Mermaid drawings between lower-case names."""
    return set(re.findall(r"^    ([a-z]+) --> ([a-z]+)$", text, re.MULTILINE))


def test_the_drawings_of_the_packages_show_the_imports() -> None:
    text = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")
    graph = folder_graph(import_graph(sources()))
    edges = {(name.split(".")[1], other.split(".")[1]) for name in graph for other in graph[name]}
    assert drawn_edges(text) == edges


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


def test_a_circle_is_found() -> None:
    bad = {"a.x.m": "from a.y import n", "a.y.n": "def f():\n    import a.x.m", "b": "import a.x.m"}
    assert circle(import_graph(bad)) == ["a.x.m", "a.y.n", "a.x.m"]
    assert circle(folder_graph(import_graph(bad))) == ["a.x", "a.y", "a.x"]
    typed = "if TYPE_CHECKING:\n    import a.x.m"
    assert circle(import_graph(bad | {"a.y.n": typed})) == []


if __name__ == "__main__":
    print(report())
