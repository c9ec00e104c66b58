"""A target is one folder and one line in the registry: nothing else names it."""

import ast
import re
from pathlib import Path

import pytest

from tidegate.targets.registry import ARCHIVES, PROVIDERS

SOURCE = Path(__file__).parents[2] / "src" / "tidegate"
REGISTRY = SOURCE / "targets" / "registry.py"
FOLDERS = sorted({provide.__module__.split(".")[2] for provide in PROVIDERS.values()})


def classes(folder: Path, prefix: str) -> set[str]:
    """Classes of a target that bear its name."""
    trees = [ast.parse(path.read_text()) for path in folder.rglob("*.py")]
    names = {node.name for tree in trees for node in ast.walk(tree) if isinstance(node, ast.ClassDef)}
    return {name for name in names if name.startswith(prefix)}


@pytest.mark.parametrize("target", FOLDERS)
def test_nothing_outside_its_folder_names_a_target(target: str) -> None:
    folder = SOURCE / "targets" / target
    own = classes(folder, target.title().replace("_", ""))
    assert own, "its classes bear its name"
    named = re.compile(rf"targets[./]{target}\b|\b(?:{'|'.join(sorted(own))})\b")
    others = [path for path in SOURCE.rglob("*.py") if folder not in path.parents and path != REGISTRY]
    assert len(others) > 400
    assert [path.relative_to(SOURCE).as_posix() for path in others if named.search(path.read_text())] == []


def test_the_registry_has_one_line_for_each_target() -> None:
    lines = [line for line in REGISTRY.read_text().splitlines() if line.lstrip().startswith('"')]
    entries = [line for line in lines if re.fullmatch(r'\s+"\w+": \w+,', line)]
    assert len(entries) == len(PROVIDERS) + len(ARCHIVES)
    assert set(ARCHIVES) <= set(PROVIDERS)
