"""Pages that name files, classes and functions name those that exist; numbers of files are counted."""

import ast
import importlib
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src" / "tidegate"
GUIDES = ("CONTRIBUTING.md", "docs/dev/glossary.md", "docs/dev/readers-walk.md")
PAGES = [
    *(ROOT / name for name in GUIDES),
    ROOT / "SECURITY.md",
    ROOT / "docs" / "dev" / "architecture.md",
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


@pytest.mark.parametrize(("page", "least", "most"), [("dev/glossary.md", 50, 200), ("concepts.md", 20, 40)])
def test_each_concept_is_defined_once(page: str, least: int, most: int) -> None:
    terms = re.findall(r"^\| ([a-z][^|]*) \|", (ROOT / "docs" / page).read_text(), re.MULTILINE)
    assert least < len(terms) < most
    assert sorted(terms) == sorted(set(terms))


@pytest.mark.parametrize("page", PAGES, ids=shown)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", page.read_text()):
        assert "://" in target or (page.parent / target).exists(), target


IDENTIFIERS = ("docs/dev/architecture.md", "docs/dev/planning-method.md")
FOREIGN = frozenset({
    *("FailureReason", "InService", "ModelError", "Updating", "ProductionVariantInstanceType"),
    *("TransformInstanceType", "None", "Mapping"),
})  # fmt: skip
"""Of AWS and of Python."""
COMMON = ("domain", "ports")
"""Packages whose types any section may name."""


@cache
def defined_below(package: str) -> frozenset[str]:
    """Functions, methods, classes and other names that modules bind. ``package``: empty for the whole source."""
    names = set[str]()
    for path in (SOURCE / package).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                names.add(node.name)
            elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                names.add(node.id)
    return frozenset(names)


def sections(text: str) -> Iterator[tuple[tuple[str, ...], str]]:
    """Parts of a page, with the packages whose names they use: those of a heading such as ``rollout/``."""
    for part in re.split(r"^(?=#{2,3} )", text, flags=re.MULTILINE):
        package = re.match(r"### `([\w/]+)/`", part)
        yield (package.group(1), *COMMON) if package else ("",), part


@pytest.mark.parametrize("name", IDENTIFIERS)
def test_types_and_functions_in_code_exist(name: str) -> None:
    """Words with a capital in code are classes; words before a bracket are functions or classes."""
    count, missing = 0, list[str]()
    for packages, text in sections(re.sub(r"```.*?```", "", (ROOT / name).read_text(), flags=re.DOTALL)):
        defined = FOREIGN.union(*map(defined_below, packages))
        for span in re.findall(r"`([^`]+)`", text):
            words = re.findall(r"(?<![\w./\"{-])[A-Z][a-z]\w+(?![\w/-])|(?<!\w)\w+(?=\()", span)
            known = [word for word in words if word in defined]
            count += len(known)
            missing += [word for word in words if word not in known]
    assert count and missing == []


@pytest.mark.parametrize("page", sorted((ROOT / "docs").glob("*.md")), ids=shown)
def test_examples_in_python_use_what_the_package_has(page: Path) -> None:
    """What is imported from tidegate exists, and so does each attribute of an imported module or class."""
    for block in re.findall(r"```python\n(.*?)```", page.read_text(), re.DOTALL):
        try:
            tree = ast.parse(block)
        except SyntaxError:  # a part of something
            continue
        imported = {}
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("tidegate"):
                for one in node.names:
                    imported[one.asname or one.name] = load_name(node.module or "", one.name)
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in imported:
                assert hasattr(imported[node.value.id], node.attr), f"{node.value.id}.{node.attr}"


def load_name(module: str, name: str) -> object:
    try:
        return importlib.import_module(f"{module}.{name}")
    except ModuleNotFoundError:
        return getattr(importlib.import_module(module), name)


@cache
def messages() -> tuple[str, ...]:
    """Texts of the source but docstrings, in which what is filled in is a NUL."""
    found = list[str]()
    for path in SOURCE.rglob("*.py"):
        tree = ast.parse(path.read_text())
        alone = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
        for node in ast.walk(tree):
            if id(node) in alone:
                continue
            if isinstance(node, ast.JoinedStr):
                parts = (one.value if isinstance(one, ast.Constant) else "\0" for one in node.values)
                found.append("".join(map(str, parts)))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.append(node.value)
    return tuple(found)


def test_messages_in_troubleshooting_are_those_of_the_source() -> None:
    rows = re.findall(r"^\| ([^|]*`[^|]*) \|", (ROOT / "docs" / "troubleshooting.md").read_text(), re.MULTILINE)
    quoted = [one for row in rows for one in re.findall(r"`([^`]+)`", row) if " " in one]
    assert len(quoted) > 8
    for one in quoted:
        pattern = re.compile(".*".join(map(re.escape, one.strip(". ").split("..."))).replace("\\ .*", " .*"))
        assert any(pattern.search(text) for text in messages()), one


def test_every_target_is_named_on_the_page_of_targets() -> None:
    text = (ROOT / "docs" / "targets.md").read_text().partition("## ")[0]
    pages = {path.name for path in (ROOT / "docs").glob("targets-*.md")}
    assert len(pages) == 4
    assert {page for page in pages if f"]({page})" not in text} == set()
