"""The house's own rules: sizes, names, a clock that is passed in, documents that are true."""

import ast
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src" / "tidegate"
FILES = sorted(path for path in SOURCE.rglob("*.py") if "migrations/versions" not in path.as_posix())
PLATFORM = {
    "testing/platform.py",
    "testing/scene.py",
    "recommend/running.py",
    "recommend/__main__.py",
    "aws_keys.py",  # finds the file of credentials, by an environment variable, in every process that asks AWS
}


def named(path: Path) -> str:
    return path.relative_to(SOURCE).as_posix()


IMPURE = {"delivery", "adapters", "targets", "worker", "proxy", "load", "cli", "compose"}
"""Rooms that may read clocks, draw chance and start processes."""
PURE = [f for f in FILES if named(f).split("/")[0] not in IMPURE and named(f) not in PLATFORM]
BANNED = re.compile(
    r"\b(time\.(time|sleep|monotonic|perf_counter)|datetime\.(now|utcnow|today)|random\.\w+|uuid4|os\.environ|os\.getenv)\b"
)


def functions(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


@pytest.mark.parametrize("path", FILES, ids=named)
def test_a_file_stays_small(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= 400


@pytest.mark.parametrize("path", FILES, ids=named)
def test_functions_stay_short(path: Path) -> None:
    long = {f.name: (f.end_lineno or 0) - f.lineno + 1 for f in functions(path)}
    assert {name: lines for name, lines in long.items() if lines > 50} == {}


@pytest.mark.parametrize("path", FILES, ids=named)
def test_functions_take_few_arguments(path: Path) -> None:
    many = {f.name: len(f.args.posonlyargs + f.args.args + f.args.kwonlyargs) for f in functions(path)}
    assert {name: count for name, count in many.items() if count > 10} == {}
    positional = {f.name: len(f.args.posonlyargs + f.args.args) for f in functions(path)}
    assert {name: count for name, count in positional.items() if count > 7} == {}


@pytest.mark.parametrize("path", FILES, ids=named)
def test_no_module_has_a_name_that_says_nothing(path: Path) -> None:
    assert path.stem not in {"utils", "util", "helpers", "helper", "common", "misc", "base", "core", "manager"}


@pytest.mark.parametrize(
    "path", [f for f in FILES if named(f).split("/")[0] not in IMPURE and named(f) not in PLATFORM], ids=named
)
def test_time_and_chance_are_passed_in(path: Path) -> None:
    code = "\n".join(line.split("#")[0] for line in path.read_text().splitlines())
    without_strings = re.sub(r'"""[\s\S]*?"""', "", code)
    assert BANNED.findall(without_strings) == []


def test_every_module_says_what_it_is_for() -> None:
    silent = [named(f) for f in FILES if f.read_text().strip() and not ast.get_docstring(ast.parse(f.read_text()))]
    assert silent == []


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
