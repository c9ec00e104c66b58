"""Pages that name files, classes and functions name those that exist; numbers of files are counted."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src" / "tidegate"
GUIDES = ("CONTRIBUTING.md", "docs/concepts.md", "docs/dev/readers-walk.md")
PAGES = [
    *(ROOT / name for name in GUIDES),
    ROOT / "SECURITY.md",
    ROOT / "docs" / "architecture.md",
    *sorted((ROOT / "docs" / "dev").rglob("*.md")),
]
PATH = re.compile(r"`((?:[\w.-]+/)+|(?:[\w.-]+/)*[\w.-]+\.(?:py|md|toml|yaml|html))`")
PATH_AND_NAMES = re.compile(r"`((?:[\w-]+/)*\w+\.py)`[ |(]+((?:`\w+(?:\.\w+)*`(?:, )?)+)")


NAME_IN_PATH = re.compile(r"`(\w+(?:\.\w+)*)` in\s+`((?:[\w-]+/)*\w+\.py)`")


def shown(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def found(name: str) -> Path | None:
    """The file or folder of this name, below the repository or below the package."""
    return next((base / name for base in (ROOT, SOURCE) if (base / name).exists()), None)


@cache
def defined(name: str) -> frozenset[str]:
    """Functions, classes, constants and ``Class.member`` of a file; none if it is missing."""
    path, names = found(name), set[str]()
    if path is None:
        return frozenset()
    for node in ast.parse(path.read_text()).body:
        names.update(bound(node))
        if isinstance(node, ast.ClassDef):
            names.update(f"{node.name}.{member}" for inner in node.body for member in bound(inner))
    return frozenset(names)


def bound(node: ast.stmt) -> list[str]:
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return [node.name]
    if isinstance(node, ast.AnnAssign):
        return [node.target.id] if isinstance(node.target, ast.Name) else []
    if isinstance(node, ast.Assign):
        return [name.id for target in node.targets for name in ast.walk(target) if isinstance(name, ast.Name)]
    return []


@pytest.mark.parametrize("name", GUIDES)
def test_named_files_exist(name: str) -> None:
    paths = PATH.findall((ROOT / name).read_text())
    assert len(paths) > 20
    assert [path for path in paths if found(path) is None] == []


@pytest.mark.parametrize("name", GUIDES)
def test_functions_named_beside_a_file_are_defined_in_it(name: str) -> None:
    text = (ROOT / name).read_text()
    pairs = [
        (path, one) for path, names in PATH_AND_NAMES.findall(text) for one in re.findall(r"`([\w.]+)`", names)
    ]
    pairs += [(path, one) for one, path in NAME_IN_PATH.findall(text)]
    assert len(pairs) > 10
    assert [pair for pair in pairs if pair[1] not in defined(pair[0])] == []


def test_the_walk_counts_its_files() -> None:
    text = (ROOT / "docs" / "dev" / "readers-walk.md").read_text()
    sections = re.findall(r"^#{2,3} [^\n]*\((\d+) files\)\n(.*?)(?=^##|\Z)", text, re.MULTILINE | re.DOTALL)
    assert len(sections) == 5
    for stated, section in sections:
        assert len(set(re.findall(r"^\| `([^`]+)` \|", section, re.MULTILINE))) == int(stated)


def test_each_concept_is_defined_once() -> None:
    terms = re.findall(r"^\| ([a-z][^|]*) \|", (ROOT / "docs" / "concepts.md").read_text(), re.MULTILINE)
    assert len(terms) > 50
    assert sorted(terms) == sorted(set(terms))


@pytest.mark.parametrize("page", PAGES, ids=shown)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", page.read_text()):
        assert "://" in target or (page.parent / target).exists(), target
