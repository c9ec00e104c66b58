"""Differences of two specs, key by key: ``alarms.slow.above 100ms -> 200ms``. Pure."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, get_args, get_origin

import msgspec

from tidegate.spec.check import plain_types
from tidegate.spec.sections import spec_file

Flat = dict[str, str]
"""Key of a spec -> its value as text."""
_ALWAYS = ("", "rollout")
"""Sections whose defaults hold where they are not there."""


@dataclass(frozen=True)
class Change:
    """Change of one key. A side on which it has no value is None."""

    what: str
    before: str | None
    after: str | None


def changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[Change]:
    """Return the changes between two renderings (``render``), in the order of the desired spec. Defaults are named
    where the other side has a value."""
    old, new = flatten(before), flatten(after)
    keys = (*new, *(key for key in old if key not in new))
    return [Change(key, _value(old, key), _value(new, key)) for key in keys if old.get(key) != new.get(key)]


def flatten(data: Mapping[str, Any]) -> Flat:
    """Plain data of a spec by keys. Items of a list that have names are named by them: ``variants.blue.weight``. A
    key without a value counts as not there."""
    return dict(_flatten(data, ""))


def _flatten(value: object, path: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping):
        for key, each in value.items():
            yield from _flatten(each, f"{path}.{key}" if path else str(key))
        if not value and path:
            yield path, "{}"
    elif isinstance(value, list) and value and all(isinstance(each, Mapping) for each in value):
        for key, each in _index_by_name(value).items():
            yield from _flatten(each, f"{path}.{key}")
    elif isinstance(value, list):
        yield path, ", ".join(map(str, value)) or "none"
    elif isinstance(value, bool):
        yield path, str(value).lower()
    elif value is not None:
        yield path, f"{value:.15g}" if isinstance(value, float) else str(value)


def _index_by_name(items: list[Any]) -> dict[str, Mapping[str, Any]]:
    names = [str(each.get("name", "")) for each in items]
    if len(set(names)) < len(names) or "" in names:
        return {str(place): each for place, each in enumerate(items, 1)}
    without = ({key: value for key, value in each.items() if key != "name"} for each in items)
    return dict(zip(names, without, strict=True))


def _value(side: Flat, key: str) -> str | None:
    if key in side:
        return side[key]
    section = key.rpartition(".")[0]
    present = section in _ALWAYS or any(other.startswith(f"{section}.") for other in side)
    return _default(key) if present else None


def _default(key: str) -> str | None:
    """Return the value that holds if the key is absent; None if there is no single value."""
    kind: Any = spec_file()
    found: object = None
    for part in key.split("."):
        options = plain_types(kind)
        struct = next((one for one in options if isinstance(one, type) and issubclass(one, msgspec.Struct)), None)
        if struct is not None:
            field = next((one for one in msgspec.structs.fields(struct) if one.encode_name == part), None)
            if field is None:
                return None
            kind, found = field.type, field.default
        else:  # a name, in a list or a mapping
            kind = next((get_args(one)[-1] for one in options if get_origin(one) in (dict, list)), None)
            found = None
    return None if found is None or found is msgspec.NODEFAULT else flatten({"": found}).get("")
