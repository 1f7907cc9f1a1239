"""Which module imports which, read from the source: nothing imports in a circle; the drawings are true."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.conftest import ROOT
from tests.test_layers import modules

Graph = dict[str, set[str]]  # name -> names that it imports


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


def test_a_circle_is_found() -> None:
    bad = {"a.x.m": "from a.y import n", "a.y.n": "def f():\n    import a.x.m", "b": "import a.x.m"}
    assert circle(import_graph(bad)) == ["a.x.m", "a.y.n", "a.x.m"]
    assert circle(folder_graph(import_graph(bad))) == ["a.x", "a.y", "a.x"]
    typed = "if TYPE_CHECKING:\n    import a.x.m"
    assert circle(import_graph(bad | {"a.y.n": typed})) == []


@pytest.mark.parametrize("entry", ["train", "evaluate", "app"])
def test_an_entry_script_loads_no_heavy_package_before_its_command_line_is_checked(entry: str) -> None:
    """A mistake in the command line, or --help, takes a second."""
    heavy = ["torch", "transformers", "lightning", "peft", "mlflow", "gradio", "bitsandbytes", "sklearn"]
    script = f"import {entry}, sys; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
