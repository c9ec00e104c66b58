"""Explanations of the keys of a spec file, read from its JSON Schema: the same structures that check the file."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from typing import Any

from tidegate.domain.errors import Invalid
from tidegate.spec.sections import refuse_key_switched_off, schema

ANY_NAME = "NAME"
"""Stands in a path for a key that the author of the file chooses, such as the name of an alarm."""
_TYPES = {
    "string": "text",
    "integer": "whole number",
    "number": "number",
    "boolean": "true or false",
    "object": "section",
}
Node = Mapping[str, Any]


@dataclass(frozen=True)
class KeyHelp:
    """Help of one key. ``path`` is its whole path, such as ``alarms.NAME.above``. ``default`` is None if there is
    none, or if it depends on something (the description says on what). ``keys`` are those of a section, in the order
    of the structure."""

    path: str
    kind: str
    required: bool
    default: Any
    description: str
    values: tuple[str, ...]
    examples: tuple[str, ...]
    least: float | None
    most: float | None
    keys: tuple["KeyHelp", ...]


def explain_key(asked: str) -> tuple[KeyHelp, ...]:
    """Return the help of the keys that ``asked`` names: a path (``rollout.wait``, ``variants[0].weight``,
    ``alarms.errors.above``), or the last part of one, which several keys may have. An empty text returns the keys at
    the top. Raises Invalid for an unknown key."""
    keys = _all_keys()
    if not asked:
        return tuple(one for path, one in keys.items() if "." not in path)
    wanted = re.sub(r"\[\d*\]", "", asked)
    if wanted in keys:
        return (keys[wanted],)
    if path := _resolve_names(wanted.split("."), keys):
        return (keys[path],)
    ends = [path for path in keys if path.endswith(f".{wanted}")]
    # The same section may be in several places, such as the model of a variant: the shortest path stands for all.
    fewest = min((path.count(".") for path in ends), default=0)
    found = tuple(keys[path] for path in ends if path.count(".") == fewest)
    if found:
        return found
    refuse_key_switched_off(wanted)
    raise Invalid(f"a spec file has no key {asked!r}{_suggest(wanted, keys)}")


def _resolve_names(parts: list[str], keys: Mapping[str, KeyHelp]) -> str:
    """The path of parts of which some are names that an author chose, or leave such a name out; empty if none is."""
    known = ""
    for part in parts:
        tries = (part, f"{ANY_NAME}.{part}", ANY_NAME)
        following = (f"{known}.{each}" if known else each for each in tries)
        known = next((path for path in following if path in keys), "")
        if not known:
            return ""
    return known


def _suggest(wanted: str, keys: Mapping[str, KeyHelp]) -> str:
    last = wanted.rpartition(".")[2]
    close = get_close_matches(wanted.lower(), keys, n=1, cutoff=0.6)
    ends = {path.rpartition(".")[2]: path for path in sorted(keys, key=lambda path: -path.count("."))}
    close = close or [ends[end] for end in get_close_matches(last.lower(), ends, n=1, cutoff=0.6)]
    return f", did you mean {close[0]!r}?" if close else ": 'tidegate spec explain' lists those at the top"


@cache
def _all_keys() -> Mapping[str, KeyHelp]:
    """Every key by its path, those of sections after the section."""
    whole = schema()
    root = _resolve(whole, whole["$defs"])
    return {one.path: one for top in _keys_of(root, "", whole["$defs"]) for one in _with_inner(top)}


def _with_inner(key: KeyHelp) -> Iterator[KeyHelp]:
    yield key
    for one in key.keys:
        yield from _with_inner(one)


def _keys_of(node: Node, path: str, known: Mapping[str, Node]) -> Iterator[KeyHelp]:
    for name, found in node.get("properties", {}).items():
        inner = f"{path}.{name}" if path else name
        yield _describe(found, inner, name in node.get("required", ()), known)
    named = node.get("additionalProperties")
    if isinstance(named, dict) and "$ref" in named:
        yield _describe(named, f"{path}.{ANY_NAME}", False, known)


def _describe(found: Node, path: str, required: bool, known: Mapping[str, Node]) -> KeyHelp:
    options = [one for one in found.get("anyOf", (found,)) if one.get("type") != "null"]
    options = [inner for one in options for inner in one.get("anyOf", (one,))]
    # What is said of the key itself comes before what is said of all values of its kind.
    about: dict[str, Any] = {}
    for part in (found, *found.get("anyOf", ()), *options, *(_resolve(one, known) for one in options)):
        about = {**part, **about}
    plain = [_resolve(one, known) for one in options]
    kinds = dict.fromkeys(_kind(one, known) for one in plain)
    inner = plain[0]
    if inner.get("type") == "array":
        inner = _resolve(inner["items"], known)
    return KeyHelp(
        path=path,
        kind=" or ".join(kinds),
        required=required,
        default=found.get("default"),
        description=" ".join(str(about.get("description", "")).replace("``", "").split()),
        values=tuple(map(str, about.get("enum", ()))),
        examples=tuple(map(str, about.get("examples", ()))),
        least=about.get("minimum"),
        most=about.get("maximum"),
        keys=tuple(_keys_of(inner, path, known)),
    )


def _kind(node: Node, known: Mapping[str, Node]) -> str:
    kind = node.get("type", "")
    if kind == "array":
        return f"list of {_kind(_resolve(node['items'], known), known)}s"
    if kind == "object" and "properties" not in node:
        named = node.get("additionalProperties", {})
        return "sections by name" if "$ref" in named else "values by name"
    return _TYPES.get(kind, "value")


def _resolve(node: Node, known: Mapping[str, Node]) -> Node:
    return known[node["$ref"].rpartition("/")[2]] if "$ref" in node else node
