"""A target is one folder and one line in the registry: nothing else names it."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tidegate.targets.registry import KINDS, MODULES

SOURCE = Path(__file__).parents[2] / "src" / "tidegate"
REGISTRY = SOURCE / "targets" / "registry.py"
FOLDERS = sorted(module.split(".")[2] for module in MODULES.values())


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


@pytest.mark.parametrize("name", KINDS)
def test_a_line_of_the_registry_leads_to_the_targets_own_folder(name: str) -> None:
    assert KINDS[name].provide.__module__.startswith(MODULES[name].rpartition(".")[0])


def test_the_registry_has_one_line_for_each_target() -> None:
    rows = re.findall(r'^    (?:"\w+"|LOCAL): "tidegate\.targets\.', REGISTRY.read_text(), re.M)
    assert len(rows) == len(KINDS)


def test_a_start_imports_no_target_that_it_does_not_use() -> None:
    """Five targets took a fifth of the processor time of a start."""
    program = "import sys; import tidegate.compose.controller; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    ).stdout.split()
    targets = {name.split(".")[2] for name in loaded if name.startswith("tidegate.targets.")}
    assert targets.isdisjoint(FOLDERS)
