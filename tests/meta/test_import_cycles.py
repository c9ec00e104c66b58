"""No module imports, directly or by way of others, the module that imports it: also not within a function."""

import ast
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import tidegate

ROOT = Path(tidegate.__file__).parent


def module_files() -> dict[str, Path]:
    files = {}
    for path in ROOT.rglob("*.py"):
        parts = path.relative_to(ROOT.parent).with_suffix("").parts
        files[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return files


def imported(tree: ast.Module, known: dict[str, Path]) -> Iterator[str]:
    """Modules that any statement of a file imports, except those for the type checker alone."""
    for_types = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree):
        if id(node) in for_types:
            continue
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names if name.name in known)
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            for name in node.names:
                inner = f"{node.module}.{name.name}"
                if inner in known or node.module in known:
                    yield inner if inner in known else node.module


def find_cycle(graph: dict[str, set[str]]) -> list[str]:
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


def test_no_import_hides_a_cycle() -> None:
    known = module_files()
    graph = {name: set(imported(ast.parse(path.read_text()), known)) - {name} for name, path in known.items()}
    assert find_cycle(graph) == []


def test_a_cycle_by_way_of_an_import_within_a_function_is_found() -> None:
    known = dict.fromkeys(("a", "b"), ROOT)
    trees = {"a": "import b", "b": "def f():\n    import a"}
    graph = {name: set(imported(ast.parse(text), known)) for name, text in trees.items()}
    assert set(find_cycle(graph)) == {"a", "b"}
