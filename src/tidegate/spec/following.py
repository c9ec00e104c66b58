"""The key ``follow`` of a spec's model: a registry's alias or group, whose versions are rolled out."""

import json
from typing import Any

from tidegate.domain.arns import record_name
from tidegate.domain.registry_addresses import FollowSettings, parse_registry_address
from tidegate.spec import structures
from tidegate.spec.problem import KeyPath, SpecError
from tidegate.spec.unit_texts import duration_text
from tidegate.spec.units import seconds

USUAL = structures.FollowSpec()


def check_following(model: structures.ModelSpec, path: KeyPath) -> None:
    """Raises SpecError."""
    if not model.follow:
        return
    here = (*path, "follow")
    if path != ("model",):
        raise SpecError(here, "is a key of the model of an endpoint that has one model")
    if model.multi_model is not None:
        raise SpecError(here, "cannot be combined with multi_model")
    given = _expand(model)
    seconds(given.every, (*here, "every"), least=1)
    address = parse_registry_address(given.address or "")
    if address is None or address.version:
        raise SpecError(
            here,
            f"{given.address!r}: expected an alias, models:/NAME@ALIAS, or the ARN of a model package group, in data"
            " or as its address",
        )


def _expand(model: structures.ModelSpec) -> structures.FollowSpec:
    given = model.follow if isinstance(model.follow, structures.FollowSpec) else USUAL
    return structures.FollowSpec(given.address or model.data, given.every, given.restore)


def build_following(spec: structures.SpecFile, written: object) -> FollowSettings | None:
    """Read what a checked spec says. ``written``: its plain data as it is deployed anew."""
    if spec.model is None or not spec.model.follow:
        return None
    given = _expand(spec.model)
    assert given.address is not None, "check_following saw it"
    every = seconds(given.every, ("model", "follow", "every"), least=1)
    return FollowSettings(given.address, every, given.restore, spec.model.fingerprint or "", json.dumps(written))


def render_following(given: FollowSettings) -> Any:
    """The inverse, without defaults."""
    made: dict[str, Any] = {"address": given.address}
    if given.every != seconds(USUAL.every, ()):
        made["every"] = duration_text(given.every)
    return made | ({"restore": True} if given.restore else {})


def find_package(fingerprint: str | None) -> str | None:
    """Record name of the model package that a model's version is; None if it is none."""
    found = parse_registry_address(fingerprint or "")
    return record_name(f"{found.name}/{found.version}") if found and found.packages and found.version else None
