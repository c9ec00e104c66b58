"""What changed from one JSON document to the next.

A patch is ``["=", value]``, the whole value; ``["@", [key or index, ...]]``, what stood at that place of the document
before; ``["+", {key: patch}]`` or ``["+", [patch, ...]]``, an object or a list made of such; ``[".", {key: patch},
[key, ...]]``, an object with members changed or added, and removed; or ``["#", {index: patch}]``, a list of the same
length with items changed. Numbers that compare equal but are written
differently (1, 1.0, true) are different.
"""

from collections.abc import Iterator
from typing import Any, cast

import msgspec

Patch = list[Any]
DocumentPath = tuple[str | int, ...]
WHOLE, COPY, MADE, OBJECT, LIST = "=", "@", "+", ".", "#"
MIN_COPY_SIZE = 64
"""Bytes of a value from which on its place is shorter."""


def diff(before: object, after: object) -> Patch:
    """``applied(difference(before, after), before)`` is ``after``."""
    return _diff(before, after, before)


def apply_patch(patch: Patch, before: object) -> object:
    """Leaves ``before`` as it is. Raises ValueError where the patch was not made from it."""
    return _apply(patch, before, before)


def _diff(before: object, after: object, whole: object) -> Patch:
    if isinstance(before, dict) and isinstance(after, dict):
        changed = {
            key: _diff(before[key], value, whole) if key in before else _new_value(value, whole)
            for key, value in after.items()
            if key not in before or not _same(before[key], value)
        }
        return [OBJECT, changed, [key for key in before if key not in after]]
    if isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        pairs = enumerate(zip(before, after, strict=True))
        return [LIST, {str(n): _diff(old, new, whole) for n, (old, new) in pairs if not _same(old, new)}]
    return _new_value(after, whole)


def _new_value(value: object, whole: object) -> Patch:
    """A record often keeps what it was, such as the version before a change, beside what it is."""
    text = msgspec.json.encode(value)
    if not isinstance(value, dict | list) or len(text) < MIN_COPY_SIZE:
        return [WHOLE, value]
    for place, part in _parts(whole, ()):
        if msgspec.json.encode(part) == text:
            return [COPY, list(place)]
    if isinstance(value, dict):
        made: Any = {key: _new_value(one, whole) for key, one in value.items()}
    else:
        made = [_new_value(one, whole) for one in value]
    inner = made.values() if isinstance(made, dict) else made
    return [WHOLE, value] if all(kind == WHOLE for kind, _ in inner) else [MADE, made]


def _parts(document: object, place: DocumentPath) -> Iterator[tuple[DocumentPath, object]]:
    """All objects and lists of a document."""
    if not isinstance(document, dict | list):
        return
    yield place, document
    for key, value in document.items() if isinstance(document, dict) else enumerate(document):
        yield from _parts(value, (*place, key))


def _apply(patch: Patch, before: object, whole: object) -> object:
    kind, given = patch[0], patch[1]
    if kind == WHOLE:
        return cast(object, given)
    if kind == COPY:
        return _at(whole, given)
    if kind == MADE and isinstance(given, dict):
        return {key: _apply(one, None, whole) for key, one in given.items()}
    if kind == MADE and isinstance(given, list):
        return [_apply(one, None, whole) for one in given]
    if kind == OBJECT and isinstance(before, dict):
        kept = {key: value for key, value in before.items() if key not in patch[2]}
        return kept | {key: _apply(change, before.get(key), whole) for key, change in given.items()}
    if kind == LIST and isinstance(before, list) and all(int(n) < len(before) for n in given):
        return [_apply(given[str(n)], old, whole) if str(n) in given else old for n, old in enumerate(before)]
    raise ValueError("the patch does not fit")


def _at(document: Any, place: list[str | int]) -> object:
    try:
        for key in place:
            document = document[key]
    except (LookupError, TypeError):
        raise ValueError("the patch does not fit") from None
    return cast(object, document)


def _same(one: object, other: object) -> bool:
    return msgspec.json.encode(one) == msgspec.json.encode(other)
