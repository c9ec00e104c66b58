"""The loader of features: the one place that knows which features there are and which of them are on.

Features of the project are the packages in ``tidegate.features``; a distribution may add further ones with an entry
point in the group ``tidegate.features`` that refers to a ``Feature``. ``TIDEGATE_FEATURES`` switches them off
(``-drift,-lessons``) or names the ones to keep (``drift,batch``); all are on by default.
"""

import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pkgutil import iter_modules
from typing import Any

from tidegate.domain.errors import Invalid, StartupError
from tidegate.domain.feature import Feature, Reference
from tidegate.host.late_import import load

VARIABLE = "TIDEGATE_FEATURES"
GROUP = "tidegate.features"
MANIFEST = "feature"
"""Module of each package of ``tidegate.features`` with its manifest, ``FEATURE``."""


@dataclass(frozen=True)
class LoadedFeature:
    """A feature, and the package to which its references are relative."""

    feature: Feature
    package: str

    def resolve(self, reference: Reference) -> Reference:
        """The reference with the whole name of its module."""
        return self.package + reference if reference.startswith(".") else reference

    def load(self, reference: Reference) -> Any:
        """The object that a reference names, imported now."""
        return load_reference(self.resolve(reference))


def load_reference(reference: Reference) -> Any:
    """The object that ``module:attribute`` names, imported now."""
    module, _, attribute = reference.partition(":")
    return load(module, attribute)


@dataclass(frozen=True)
class FeatureSet:
    """All features that are installed, and the names of those that are on."""

    installed: Mapping[str, LoadedFeature]
    on: frozenset[str]

    def __iter__(self) -> Iterator[LoadedFeature]:
        """The features that are on, by name."""
        return (one for name, one in sorted(self.installed.items()) if name in self.on)

    @property
    def switched_off(self) -> Iterator[LoadedFeature]:
        """The features that are off, by name."""
        return (one for name, one in sorted(self.installed.items()) if name not in self.on)

    def is_on(self, name: str) -> bool:
        return name in self.on

    def hooks(self, point: str, *, off: bool = False) -> Iterator[tuple[LoadedFeature, Any]]:
        """Yield what the features that are on provide for an extension point of the core, and import it now. ``off``
        includes the features that are off."""
        for one in (*self, *self.switched_off) if off else self:
            if point in one.feature.hooks:
                yield one, one.load(one.feature.hooks[point])

    def find_hook(self, point: str) -> Any:
        """Return the hook of an extension point that only one feature may have; None if no feature that is on has
        one."""
        return next((hook for _, hook in self.hooks(point)), None)

    def require_hook(self, point: str, what: str) -> Any:
        """``find_hook`` for what is not possible without the hook. Raises Invalid, which names the feature that is
        off."""
        found = self.find_hook(point)
        if found is None:
            raise Invalid(f"{what}: {self.explain_absence(point)}")
        return found

    def explain_absence(self, point: str) -> str:
        """Explain why no feature has something for an extension point."""
        off = (one.feature.name for one in self.switched_off if point in one.feature.hooks)
        return next(map(describe_switched_off, off), "no feature that is installed has it")


def describe_switched_off(name: str) -> str:
    """The reason for refusing what a feature would serve."""
    return f"the feature {name} is switched off ({VARIABLE})"


@cache
def features() -> FeatureSet:
    """The features of this process. Read once. Raises StartupError for an unusable TIDEGATE_FEATURES."""
    installed = find_installed()
    return FeatureSet(installed, choose(installed, os.environ.get(VARIABLE, "")))


def find_installed() -> dict[str, LoadedFeature]:
    """Features of the project, then those of other distributions. Raises StartupError for two of one name."""
    found: dict[str, LoadedFeature] = {}
    for one in (*_find_own(), *_find_foreign()):
        name = one.feature.name
        if name in found:
            raise StartupError(f"two features are called {name}: {found[name].package} and {one.package}")
        found[name] = one
    return found


def _find_own() -> Iterator[LoadedFeature]:
    try:
        package = load("tidegate.features", "__path__")
    except ImportError:
        return
    for module in iter_modules(package):
        place = f"tidegate.features.{module.name}"
        yield LoadedFeature(load(f"{place}.{MANIFEST}", "FEATURE"), place)


def _find_foreign() -> Iterator[LoadedFeature]:
    if not any(map(_mentions_group, sys.path)):
        return
    for entry in load("importlib.metadata", "entry_points")(group=GROUP):
        try:
            feature = entry.load()
        except Exception as error:
            raise StartupError(f"the feature {entry.name} ({entry.value}) cannot be loaded: {error}") from None
        if not isinstance(feature, Feature):
            raise StartupError(f"the entry point {entry.name} of {GROUP} is not a Feature: {entry.value}")
        yield LoadedFeature(feature, entry.module.rpartition(".")[0] or entry.module)


def _mentions_group(folder: str) -> bool:
    """Whether a distribution in a folder of ``sys.path`` has entry points in the group. ``importlib.metadata`` knows,
    too, but its import takes 10 to 20 ms of each command."""
    try:
        entries = list(os.scandir(folder or "."))
    except OSError:
        return False
    packed = (entry.path for entry in entries if entry.name.endswith((".dist-info", ".egg-info")))
    return any(GROUP.encode() in _read(os.path.join(path, "entry_points.txt")) for path in packed)


def _read(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError:
        return b""


def choose(installed: Mapping[str, LoadedFeature], switches: str) -> frozenset[str]:
    """The names of the features that are on. Raises StartupError for an unknown name."""
    words = [word.strip() for word in switches.split(",") if word.strip()]
    named = {word.lstrip("-") for word in words}
    if unknown := sorted(named - installed.keys()):
        known = ", ".join(sorted(installed))
        raise StartupError(f"{VARIABLE}: there is no feature {unknown[0]!r}; there are {known}")
    off = {word.removeprefix("-") for word in words if word.startswith("-")}
    kept = {word for word in words if not word.startswith("-")}
    on = (kept or set(installed)) - off
    return _close(installed, on if not kept else on | _find_needed(installed, on, off), off)


def _find_needed(installed: Mapping[str, LoadedFeature], names: Iterable[str], off: set[str]) -> set[str]:
    """Features that these need, with what those need, without the ones that were switched off."""
    found, queue = set[str](), list(names)
    while queue:
        for name in installed[queue.pop()].feature.needs:
            if name in installed and name not in off and name not in found:
                found.add(name)
                queue.append(name)
    return found


def _close(installed: Mapping[str, LoadedFeature], on: set[str], off: set[str]) -> frozenset[str]:
    """Return those features whose needs are all on."""
    while broken := {name for name in on if not on.issuperset(installed[name].feature.needs)}:
        on = on - broken
    return frozenset(on - off)
