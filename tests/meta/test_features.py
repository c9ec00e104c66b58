"""Features are packages: their manifests are true, and what they need of one another is declared."""

import ast
import re
import subprocess
import sys
from collections import defaultdict
from dataclasses import fields
from pathlib import Path

import pytest

from tidegate.domain.errors import Invalid, StartupError
from tidegate.domain.feature import HOOKS, Feature
from tidegate.host.features import FeatureSet, LoadedFeature, choose, features, find_installed
from tidegate.settings import Settings

SOURCE = Path(__file__).parents[2] / "src" / "tidegate"
INSTALLED = find_installed()


def imported(folder: Path) -> set[str]:
    """Features that the code below a folder imports, by name."""
    found = set()
    for path in [folder] if folder.is_file() else folder.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = []
            if isinstance(node, ast.ImportFrom) and node.module is not None:
                names = [f"{node.module}.{alias.name}" for alias in node.names]
            elif isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            found |= {name.split(".")[2] for name in names if name.startswith("tidegate.features.")}
    return found


def references(feature: Feature) -> list[str]:
    found = [one for many in feature.operations.values() for one in many]
    found += [feature.notes, feature.kinds, feature.endpoint_kinds, feature.page_routes, *feature.hooks.values()]
    found += [reference for loop in feature.loops for reference in (loop.make, loop.kind)]
    found += [route.handler for route in feature.routes]
    found += [command.reference for command in feature.commands]
    for section in feature.sections:
        found += [section.structure, section.build, section.render]
    return [one for one in found if one]


def test_every_package_of_features_has_a_manifest_with_its_name_and_page() -> None:
    folders = {path.name for path in (SOURCE / "features").iterdir() if (path / "__init__.py").exists()}
    assert folders == set(INSTALLED) and len(folders) > 15
    for name, one in INSTALLED.items():
        assert one.feature.name == name and one.package == f"tidegate.features.{name}"
        assert one.feature.summary.endswith(".")
        assert (SOURCE.parents[1] / "docs" / one.feature.page).is_file(), name


def test_a_manifest_imports_nothing_of_its_feature() -> None:
    for name in INSTALLED:
        assert imported(SOURCE / "features" / name / "feature.py") == set(), name


@pytest.mark.parametrize("name", INSTALLED)
def test_every_reference_of_a_manifest_leads_somewhere(name: str) -> None:
    one = INSTALLED[name]
    for reference in references(one.feature):
        assert one.load(reference) is not None, reference


def test_loops_that_need_a_setting_name_one() -> None:
    names = {field.name for field in fields(Settings)}
    assert {loop.setting for one in INSTALLED.values() for loop in one.feature.loops if loop.setting} <= names


@pytest.mark.parametrize("name", INSTALLED)
def test_a_feature_imports_only_the_features_that_it_needs(name: str) -> None:
    needed, queue = set(), [name]
    while queue:
        for one in INSTALLED[queue.pop()].feature.needs:
            if one not in needed:
                needed.add(one)
                queue.append(one)
    assert name not in needed, "needs are acyclic"
    assert imported(SOURCE / "features" / name) - {name} <= set(INSTALLED[name].feature.needs)


STARTED = {
    "compose/transform_pod.py": "the command of pods that version 0.1.0 made",
    "targets/kubernetes/job_manifests.py": "the command of a job's pod",
    "targets/local/recommenders.py": "the command of a process",
    "targets/local/runners.py": "the command of a process",
    "host/features.py": "finds the packages of features",
}
"""Files of the core that name a module of a feature: what it starts as a process of its own."""


def test_the_core_loads_no_module_of_a_feature_by_its_name() -> None:
    """``load("tidegate.features...")`` would hide from the import contracts what does not work without a feature."""
    naming = {
        str(path.relative_to(SOURCE))
        for path in SOURCE.rglob("*.py")
        if not path.is_relative_to(SOURCE / "features") and path.parent != SOURCE / "advisor"  # former names
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
        if re.match(r"tidegate\.features\b[\w.]*$", node.value)
    }
    assert naming == STARTED.keys()


def test_hooks_of_workers_are_in_the_package_of_the_worker() -> None:
    hooks = {point: hook for one in INSTALLED.values() for point, hook in one.feature.hooks.items()}
    of_workers = {hook for point, hook in hooks.items() if point.startswith("worker_")}
    assert len(of_workers) > 2 and all(hook.startswith(".worker.") for hook in of_workers)


def test_every_hook_is_one_of_the_core_and_is_in_the_guide() -> None:
    guide = (SOURCE.parents[1] / "CONTRIBUTING.md").read_text()
    used = {hook for one in INSTALLED.values() for hook in one.feature.hooks}
    asked = set(
        re.findall(
            r'hooks?\("(\w+)"| = "(\w+)"|(?:engine|fetch)="(\w+)"',
            "".join(path.read_text() for path in SOURCE.rglob("*.py")),
        )
    )
    assert used == set(HOOKS) and used <= {name for pair in asked for name in pair}
    assert [name for name, meaning in HOOKS.items() if f"| `{name}` | {meaning} |" not in guide] == []


def test_links_and_tabs_lead_to_pages_of_their_feature() -> None:
    for name, one in INSTALLED.items():
        paths = [link.path for link in one.feature.links]
        paths += [f"/console/endpoints/{{name}}{path}" for _, path, _ in one.feature.tabs]
        served = [
            re.sub(r"{\w+}", "[^/]+", path) for path, methods in one.feature.pages.items() if "GET" in methods
        ]
        assert [path for path in paths if not any(re.fullmatch(one, path) for one in served)] == [], name


def test_no_two_folders_have_a_template_or_a_file_of_one_name() -> None:
    packages = [SOURCE / "console", *(SOURCE / "features" / name for name in INSTALLED)]
    for kind in ("templates", "static"):
        names = [str(path.relative_to(one / kind)) for one in packages for path in (one / kind).rglob("*.*")]
        assert len(names) > 20 and len(names) == len(set(names))


def test_no_two_features_have_the_same_path_command_or_operation() -> None:
    seen = defaultdict[str, list[str]](list)
    for name, one in INSTALLED.items():
        for route in one.feature.routes:
            seen[f"{route.method} {route.path}"].append(name)
        for path in one.feature.pages:
            seen[path].append(name)
        for command in one.feature.commands:
            seen[command.name].append(name)
    assert {key: names for key, names in seen.items() if len(names) > 1} == {}


def feature(name: str, *needs: str) -> LoadedFeature:
    return LoadedFeature(Feature(name=name, summary="One.", needs=needs), f"tests.{name}")


THREE = {one.feature.name: one for one in (feature("base"), feature("middle", "base"), feature("top", "middle"))}


@pytest.mark.parametrize(
    ("switches", "on"),
    [
        ("", {"base", "middle", "top"}),
        ("-top", {"base", "middle"}),
        ("-base", set()),
        (" -middle , ", {"base"}),
        ("top", {"base", "middle", "top"}),
        ("middle", {"base", "middle"}),
        ("top,-base", set()),
        ("base,-base", set()),
    ],
)
def test_a_feature_is_on_with_what_it_needs_and_off_without_it(switches: str, on: set[str]) -> None:
    assert choose(THREE, switches) == on


def test_an_unknown_feature_is_refused_by_name() -> None:
    with pytest.raises(StartupError, match="there is no feature 'midle'; there are base, middle, top"):
        choose(THREE, "-midle")


def test_a_hook_that_is_required_names_the_feature_that_is_off() -> None:
    one = LoadedFeature(Feature(name="one", summary="One.", hooks={"greet": "os.path:join"}), "tests.one")
    installed = {"one": one}
    assert FeatureSet(installed, frozenset({"one"})).require_hook("greet", "greeting")("a", "b") == "a/b"
    assert FeatureSet(installed, frozenset()).find_hook("greet") is None
    with pytest.raises(Invalid, match=r"^greeting: the feature one is switched off \(TIDEGATE_FEATURES\)$"):
        FeatureSet(installed, frozenset()).require_hook("greet", "greeting")
    with pytest.raises(Invalid, match=r"^greeting: no feature that is installed has it$"):
        FeatureSet({}, frozenset()).require_hook("greet", "greeting")


LATE = ("check_settings", "label_archive", "restore", "rollout_observer")
"""Extension points of the controller's start and of backups."""


@pytest.mark.parametrize("module", ["tidegate.compose.controller", "tidegate.compose.backups"])
def test_work_in_the_background_is_imported_when_it_is_joined(module: str) -> None:
    """So that of a feature that is off none is, and a command that does not need it does not wait for it."""
    found = set[str]()
    for one in INSTALLED.values():
        late = [one.feature.hooks[point] for point in LATE if point in one.feature.hooks]
        found |= {one.resolve(reference).partition(":")[0] for reference in late}
        found |= {one.resolve(loop.make).partition(":")[0] for loop in one.feature.loops}
    program = f"import sys; import {module}; print(*sys.modules)"
    said = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert len(found) > 10 and found.isdisjoint(said.split())


def test_all_features_are_on_by_default() -> None:
    assert {one.feature.name for one in features()} == set(INSTALLED)
