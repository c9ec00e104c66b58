"""The part of JSONPath that DataProcessing supports: ``$``, ``.name``, ``['a','b']``, ``[0,-1]``, ``[1:]``, ``*``.

The end of a slice is exclusive, as in Jayway's JsonPath which SageMaker's pages point to (their prose says both).
"""

import re
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from tidegate.domain.errors import Invalid

LONGEST = 63


class MissingValue(Exception):
    """A record has no value at the path."""


class Slice(NamedTuple):
    start: int | None
    end: int | None


Pick = tuple[int | Slice, ...]
"""Indices and slices, in the order asked for; several give a list."""
Step = Pick | tuple[str, ...] | None
"""Names; None is everything (``*``)."""

_STEP = re.compile(
    r"""\.(?P<name>[^.\[\]*'"\s]+)|(?P<all>\.\*|\[\*\])|\[(?P<quoted>\s*(?:'[^']*'|"[^"]*")(?:\s*,\s*(?:'[^']*'|"[^"]*"))*\s*)\]"""
    r"""|\[(?P<numbers>[-\d:,\s]+)\]"""
)
_NUMBER = re.compile(r"(-?\d+)?(?:(:)(-?\d+)?)?")


class JSONPath(NamedTuple):
    text: str
    steps: tuple[Step, ...]

    @property
    def all(self) -> bool:
        return not self.steps

    def select(self, document: Any) -> Any:
        """Raises MissingValue."""
        for step in self.steps:
            document = _take(document, step)
        return document

    def columns(self) -> Callable[[Sequence[Any]], list[Any]]:
        """Returns a function that selects columns of a row, and raises MissingValue for a missing one, or if there is
        none: an empty line would be a row with a missing value."""
        picks = [pick for step in self.steps if step is not None for pick in step if not isinstance(pick, str)]

        def select(row: Sequence[Any]) -> list[Any]:
            found = [cell for pick in picks for cell in _cells(row, pick)]
            if not found:
                raise MissingValue(f"it has {len(row)} values, and none at {self.text}")
            return found

        return select if picks else list


def parse(text: str, *, table: bool = False) -> JSONPath:
    """``table``: rows of CSV, whose columns have numbers and no names. Raises Invalid."""
    if len(text) > LONGEST:
        raise Invalid(f"JSONPath {text!r} has more than {LONGEST} characters")
    if not text.startswith("$"):
        raise Invalid(f"JSONPath {text!r} must begin with $")
    steps: list[Step] = []
    at = 1
    while at < len(text):
        found = _STEP.match(text, at)
        if found is None:
            raise Invalid(f"JSONPath {text!r}: {text[at:]!r} is not understood")
        steps.append(_step(found, text))
        at = found.end()
    if table and (len(steps) > 1 or any(step and isinstance(step[0], str) for step in steps)):
        raise Invalid(f"JSONPath {text!r}: rows of CSV have numbers alone, such as $[0,-1] or $[1:]")
    return JSONPath(text, tuple(steps))


def _step(found: re.Match[str], text: str) -> Step:
    if found["all"]:
        return None
    if found["name"]:
        return (found["name"],)
    if found["quoted"]:
        return tuple(name[1:-1] for name in re.findall(r"'[^']*'|\"[^\"]*\"", found["quoted"]))
    return tuple(_number(part.strip(), text) for part in found["numbers"].split(","))


def _number(part: str, text: str) -> int | Slice:
    found = _NUMBER.fullmatch(part)
    if not part or found is None:
        raise Invalid(f"JSONPath {text!r}: {part!r} is neither an index nor a slice")
    if found[2] is None:
        return int(found[1])
    return Slice(*(int(side) if side else None for side in (found[1], found[3])))


def _take(document: Any, step: Step) -> Any:
    if step is None:
        return list(document.values()) if isinstance(document, dict) else document
    names = tuple(name for name in step if isinstance(name, str))
    if names:
        return _members(document, names)
    if not isinstance(document, list):
        raise MissingValue("it is not a list")
    first = step[0]
    if len(step) == 1 and isinstance(first, int):
        return _cells(document, first)[0]
    return [cell for pick in step if not isinstance(pick, str) for cell in _cells(document, pick)]


def _members(document: Any, names: tuple[str, ...]) -> Any:
    if not isinstance(document, dict):
        raise MissingValue("it is not an object")
    for name in names:
        if name not in document:
            raise MissingValue(f"it has no {name!r}")
    return document[names[0]] if len(names) == 1 else {name: document[name] for name in names}


def _cells(row: Sequence[Any], pick: int | Slice) -> Sequence[Any]:
    if isinstance(pick, Slice):
        return row[pick.start : pick.end]
    if not -len(row) <= pick < len(row):
        raise MissingValue(f"it has {len(row)} values, and no index {pick}")
    return [row[pick]]
