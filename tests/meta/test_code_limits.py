"""Rules for the code: sizes, names, and time and randomness that are passed in."""

import ast
import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import settings

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src" / "tidegate"
FILES = sorted(path for path in SOURCE.rglob("*.py") if "migrations/versions" not in path.as_posix())
PLATFORM = {
    *(f"features/compare/{name}.py" for name in ("inputs", "run")),
    *(f"features/cost/{name}.py" for name in ("price_update", "spec_cost")),
    *(f"features/recommender/{name}.py" for name in ("load_runs", "local_recommender", "sagemaker_recommender")),
    "features/access/user_book.py",
    "features/batch/pod.py",
    "features/drift/baselines.py",
    "features/labels/loop.py",
    "features/tracing/start.py",
}
"""Modules that start processes, read clocks or draw chance, and belong to commands or to the start of a server."""
IMPURE = {"host", "storage", "store", "targets", "serving", "proxy", "cli", "compose", "load"}
"""Packages that may do so."""
IMPURE_PARTS = {"worker", "runner", "dispatcher", "examples", "scoring"}
"""Folders of features that may: their processes. Examples draw theirs from generators with a seed."""


def named(path: Path) -> str:
    return path.relative_to(SOURCE).as_posix()


def is_pure(path: Path) -> bool:
    """Of a feature, its commands and entry points may also read clocks."""
    parts = named(path).split("/")
    if parts[0] in IMPURE or named(path) in PLATFORM:
        return False
    command = path.stem == "__main__" or path.stem.endswith(("command", "_main", "_process"))
    return not (parts[0] == "features" and (command or not IMPURE_PARTS.isdisjoint(parts)))


PURE = [path for path in FILES if is_pure(path)]
BANNED = re.compile(
    r"\b(time\.(time|sleep|monotonic|perf_counter)|datetime\.(now|utcnow|today)|random\.\w+|uuid4|os\.environ|os\.getenv)\b"
)


Trees = dict[Path, ast.Module]


@pytest.fixture(scope="module")
def trees() -> Trees:
    """Made in the one process that asks for it: 300 MB."""
    return {path: ast.parse(path.read_text()) for path in FILES}


def offenders(
    trees: Trees, measure: Callable[[ast.FunctionDef | ast.AsyncFunctionDef], int], most: int
) -> dict[str, int]:
    return {
        f"{named(path)}: {function.name}": measure(function)
        for path, tree in trees.items()
        for function in functions(tree)
        if measure(function) > most
    }


def functions(tree: ast.Module) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    return (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


def test_functions_stay_short(trees: Trees) -> None:
    assert offenders(trees, lambda f: (f.end_lineno or 0) - f.lineno + 1, 50) == {}


def test_functions_take_few_arguments(trees: Trees) -> None:
    """Commands may have more: each is an option that a person may give."""
    many = offenders(trees, lambda f: len(f.args.posonlyargs + f.args.args + f.args.kwonlyargs), 10)
    assert {name: count for name, count in many.items() if count > 14 or "command.py: " not in name} == {}
    assert offenders(trees, lambda f: len(f.args.posonlyargs + f.args.args), 7) == {}


def test_no_module_has_a_name_that_says_nothing() -> None:
    empty = {"utils", "util", "helpers", "helper", "common", "misc", "base", "core", "manager"}
    assert [named(path) for path in FILES if path.stem in empty] == []


def test_time_and_chance_are_passed_in() -> None:
    found = {}
    for path in PURE:
        code = "\n".join(line.split("#")[0] for line in path.read_text().splitlines())
        if banned := BANNED.findall(re.sub(r'"""[\s\S]*?"""', "", code)):
            found[named(path)] = banned
    assert found == {}


def test_every_module_says_what_it_is_for(trees: Trees) -> None:
    silent = [named(path) for path, tree in trees.items() if tree.body and not ast.get_docstring(tree)]
    assert silent == []


def test_no_state_of_a_tool_on_one_machine_is_tracked() -> None:
    """A daemon of mypy, an editor or a test run leaves files with paths and process ids of one machine."""
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, check=True, text=True).stdout
    local = re.compile(
        r"(^|/)(\.dmypy\.json|\.coverage.*|\.DS_Store|\.idea/.*|\.vscode/.*|.*\.(pyc|log|pid|sock|swp))$"
    )
    assert [name for name in tracked.splitlines() if local.search(name)] == []


def test_nothing_tracked_names_a_registry_or_is_large() -> None:
    tracked = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout.split(
        b"\0"
    )
    hosts = re.compile(rb"py[p]i\.org|python[h]osted\.org|registry\.np[m]js|deb\.debia[n]\.org")
    for name in filter(None, tracked):
        path = ROOT / name.decode()
        if path.is_file():
            data = path.read_bytes()
            assert len(data) < 1_000_000, path
            assert not hosts.search(data), path


def test_no_property_test_depends_on_how_busy_the_machine_is() -> None:
    """The profile is loaded for every suite."""
    assert settings().deadline is None
