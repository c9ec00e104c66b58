"""Patches from one JSON document to the next.

A patch is one of: ``["=", value]``, a complete value; ``["@", [key or index, ...]]``, a copy from this path of the
old document; ``["+", {key: patch}]`` or ``["+", [patch, ...]]``, an object or a list of patches; ``[".", {key:
patch}, [key, ...]]``, an object with members changed or added, and members removed; ``["#", {index: patch}]``, a list
of the same length with items changed. Values that compare equal but are written differently (1, 1.0, true) are
different."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, cast

import msgspec

Patch = list[Any]
DocumentPath = tuple[str | int, ...]
WHOLE, COPY, MADE, OBJECT, LIST = "=", "@", "+", ".", "#"
MIN_COPY_SIZE = 64
"""Minimum size in bytes of a value for which a copy by path is shorter."""


def diff(before: object, after: object) -> Patch:
    """``applied(difference(before, after), before)`` is ``after``."""
    return _diff(before, after, _Copies(before))


def apply_patch(patch: Patch, before: object) -> object:
    """Apply a patch without changing ``before``. Raises ValueError if the patch was not made from it, or is none."""
    try:
        return _apply(patch, before, before)
    except (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError):
        raise ValueError("the patch does not match the document") from None


@dataclass(frozen=True)
class _Copies:
    """Parts of the old document that a patch can copy: the first place of each part, by its text. Each part is
    encoded once, however many values of the new document are searched for."""

    whole: object

    @cached_property
    def places(self) -> dict[bytes, DocumentPath]:
        found: dict[bytes, DocumentPath] = {}
        for place, text in _parts(self.whole, ()):
            found.setdefault(text, place)
        return found


def _diff(before: object, after: object, old: _Copies) -> Patch:
    if isinstance(before, dict) and isinstance(after, dict):
        changed = {
            key: _diff(before[key], value, old) if key in before else _new_value(value, old)
            for key, value in after.items()
            if key not in before or not _same(before[key], value)
        }
        return [OBJECT, changed, [key for key in before if key not in after]]
    if isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        pairs = enumerate(zip(before, after, strict=True))
        return [LIST, {str(n): _diff(one, new, old) for n, (one, new) in pairs if not _same(one, new)}]
    return _new_value(after, old)


def _new_value(value: object, old: _Copies) -> Patch:
    """Patch for a new value. A record often has a copy of an old part, such as the version before a change."""
    if not isinstance(value, dict | list):
        return [WHOLE, value]
    text = msgspec.json.encode(value)
    if len(text) < MIN_COPY_SIZE:
        return [WHOLE, value]
    if (place := old.places.get(text)) is not None:
        return [COPY, list(place)]
    if isinstance(value, dict):
        made: Any = {key: _new_value(one, old) for key, one in value.items()}
    else:
        made = [_new_value(one, old) for one in value]
    inner = made.values() if isinstance(made, dict) else made
    return [WHOLE, value] if all(kind == WHOLE for kind, _ in inner) else [MADE, made]


def _parts(document: object, place: DocumentPath) -> Iterator[tuple[DocumentPath, bytes]]:
    """The text of each object and list of a document that may be copied, with its path."""
    if not isinstance(document, dict | list):
        return
    text = msgspec.json.encode(document)
    if len(text) < MIN_COPY_SIZE:
        return
    yield place, text
    for key, value in document.items() if isinstance(document, dict) else enumerate(document):
        yield from _parts(value, (*place, key))


def _apply(patch: Patch, before: object, whole: object) -> object:
    kind, given = patch[0], patch[1]
    if kind == WHOLE:
        return cast(object, given)
    if kind == COPY:
        return _look_up(whole, given)
    if kind == MADE and isinstance(given, dict):
        return {key: _apply(one, None, whole) for key, one in given.items()}
    if kind == MADE and isinstance(given, list):
        return [_apply(one, None, whole) for one in given]
    if kind == OBJECT and isinstance(before, dict):
        kept = {key: value for key, value in before.items() if key not in patch[2]}
        return kept | {key: _apply(change, before.get(key), whole) for key, change in given.items()}
    if kind == LIST and isinstance(before, list) and all(int(n) < len(before) for n in given):
        return [_apply(given[str(n)], old, whole) if str(n) in given else old for n, old in enumerate(before)]
    raise ValueError("the patch does not match the document")


def _look_up(document: Any, place: list[str | int]) -> object:
    try:
        for key in place:
            document = document[key]
    except (LookupError, TypeError):
        raise ValueError("the patch does not match the document") from None
    return cast(object, document)


def _same(one: object, other: object) -> bool:
    return msgspec.json.encode(one) == msgspec.json.encode(other)
