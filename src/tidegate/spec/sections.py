"""Sections of the spec file that features declare: their structure, what they ask for, and how that is written."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from functools import cache
from typing import Any, cast

import msgspec

from tidegate.domain.desired import DesiredDeployment
from tidegate.domain.feature import Section
from tidegate.domain.registry_addresses import parse_registry_address
from tidegate.host.features import LoadedFeature, describe_switched_off, features
from tidegate.spec.paths import artifacts
from tidegate.spec.problem import KeyPath, SpecError
from tidegate.spec.structures import SpecFile

RESOLVE_MODEL = "resolve_model"
"""The extension point that looks up addresses of registries."""


@dataclass(frozen=True)
class Draft:
    """The spec, and the deployment that is being made of it. ``desired`` has all that the keys of the core ask for;
    for a section of its config it has no alarms and no rollout yet."""

    spec: SpecFile
    desired: DesiredDeployment
    now: datetime


def sections() -> Iterator[tuple[LoadedFeature, Section]]:
    """Yield the sections of the features that are on, with a structure of their own."""
    return ((one, section) for one in features() for section in one.feature.sections if section.structure)


def spec_file() -> type[SpecFile]:
    """The structure of a whole file: the keys of the core, then the sections of the features that are on."""
    return _make_structure(frozenset(section.key for _, section in sections()))


def spec_file_of(data: object) -> type[SpecFile]:
    """The structure for checking this file. Of sections that it does not have it knows the key alone, so that reading
    a file imports no more than it needs."""
    given = data.keys() if isinstance(data, dict) else ()
    return _make_structure(frozenset(section.key for _, section in sections() if section.key in given))


@cache
def _make_structure(keys: frozenset[str]) -> type[SpecFile]:
    fields = [
        (section.key, one.load(section.structure) | None if section.key in keys else None, None)
        for one, section in sections()
    ]
    made = msgspec.defstruct(
        SpecFile.__name__,
        fields,
        bases=(SpecFile,),
        namespace={"__doc__": SpecFile.__doc__},
        forbid_unknown_fields=True,
    )
    return cast(type[SpecFile], made)


def schema() -> dict[str, Any]:
    """JSON Schema of a spec file, for editors and other programs."""
    body = msgspec.json.schema(spec_file())
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "tidegate spec file",
        **body,
    }


def refuse_switched_off(data: object) -> None:
    """Refuse a section of a feature that is off, and addresses of registries if none can look them up. Raises
    SpecError."""
    for one in features().switched_off:
        for section in one.feature.sections:
            for path in _find_places(section, data):
                raise SpecError(path, describe_switched_off(one.feature.name))
    if any(RESOLVE_MODEL in one.feature.hooks for one in features()):
        return
    for path, model in artifacts(data):
        if isinstance(address := model.get("data"), str) and parse_registry_address(address) is not None:
            raise SpecError((*path, "data"), f"{address}: {features().explain_absence(RESOLVE_MODEL)}")


def refuse_key_switched_off(path: str) -> None:
    """Refuse the path of a key in a section of a feature that is off. Raises SpecError."""
    for one in features().switched_off:
        for section in one.feature.sections:
            if f"{path}.".replace(".NAME.", ".").startswith(f"{section.key}."):
                raise SpecError((section.key,), describe_switched_off(one.feature.name))


def _find_places(section: Section, data: object) -> Iterator[KeyPath]:
    """Yield the places where a file has the section."""
    parent, _, key = section.key.rpartition(".")
    holders: Sequence[tuple[KeyPath, object]] = artifacts(data) if parent else [((), data)]
    if parent == "alarms":
        alarms = data.get(parent) if isinstance(data, dict) else None
        holders = [((parent, name), one) for name, one in alarms.items()] if isinstance(alarms, dict) else []
    return ((*path, key) for path, holder in holders if isinstance(holder, dict) and holder.get(key) is not None)


def build_sections(spec: SpecFile, desired: DesiredDeployment, now: datetime, *parts: str) -> DesiredDeployment:
    """The deployment with what the sections ask for whose values are in these parts of it. Raises SpecError."""
    for one, section in sections():
        given = getattr(spec, section.key)
        if given is not None and section.part in parts:
            value = one.load(section.build)(given, Draft(spec, desired, now))
            desired = _put_value(desired, section, value)
    return desired


def config_content(desired: DesiredDeployment) -> list[dict[str, object]]:
    """Return what sections require of the config, by their keys. It is part of the content that the config's name is
    made of."""
    found = ((section.key, _get_value(desired, section)) for _, section in sections() if section.part == "config")
    return [{key: asdict(value)} for key, value in found if value is not None]


def render_sections(deployed: DesiredDeployment) -> Mapping[str, Any]:
    """The sections that a deployment has, as plain data without defaults."""
    present = ((one, section) for one, section in sections() if _get_value(deployed, section) is not None)
    made = {section.key: one.load(section.render)(deployed) for one, section in present}
    return {key: section for key, section in made.items() if section is not None}


def _get_value(desired: DesiredDeployment, section: Section) -> Any:
    if not section.part:
        return desired.sections.get(section.key)
    return getattr(getattr(desired, section.part), section.member)


def _put_value(desired: DesiredDeployment, section: Section, value: object) -> DesiredDeployment:
    if not section.part:
        return replace(desired, sections={**desired.sections, section.key: value})
    changed = replace(getattr(desired, section.part), **{section.member: value})
    return replace(desired, **{section.part: changed})
