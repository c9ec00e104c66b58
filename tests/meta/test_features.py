"""Features are packages: their manifests are true, and what they need of one another is declared."""

import ast
from collections import defaultdict
from pathlib import Path

import pytest

from tidegate.domain.errors import StartupError
from tidegate.domain.feature import Feature
from tidegate.host.features import LoadedFeature, choose, features, find_installed

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
    found += [feature.notes, feature.kinds, feature.page_routes, *feature.hooks.values()]
    found += [route.handler for route in feature.routes]
    found += [command.reference for command in feature.commands]
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


def test_all_features_are_on_by_default() -> None:
    assert {one.feature.name for one in features()} == set(INSTALLED)
