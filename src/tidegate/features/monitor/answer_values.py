"""Values at places of captured answers and requests. Pure."""

import csv
import io
from collections.abc import Mapping
from typing import Any

import msgspec

from tidegate.rows.label_lines import find_at


def read_parts(side: Mapping[str, Any] | None, rows: int) -> list[Any] | None:
    """Split one side of a capture into the values of its rows, which were sent in one request: a list of cells each
    (CSV), or JSON values. None if the data cannot be split into so many rows."""
    data, encoding = (side.get("data"), side.get("encoding")) if side else (None, None)
    if not isinstance(data, str):
        return None
    if encoding == "CSV":
        return _read_csv(data, rows)
    if encoding != "JSON":
        return None
    try:
        found = msgspec.json.decode(data)
    except (msgspec.DecodeError, RecursionError):
        return None
    if rows == 1:
        return [found]
    found = _unwrap(found, (list, dict))
    return found if isinstance(found, list) and len(found) == rows else None


def _read_csv(data: str, rows: int) -> list[Any] | None:
    """One line of several numbers is a row of columns, or an answer for each of several rows."""
    try:
        found = [cells for cells in csv.reader(io.StringIO(data, newline=""), strict=True) if cells]
    except csv.Error:
        return None
    if len(found) == 1 and rows > 1 and len(found[0]) == rows:
        return [[cell] for cell in found[0]]
    return found if len(found) == rows else None


def value_at(part: Any, where: str) -> Any:
    """Return the value at a place such as ``1``, ``label`` or ``predictions[0].label``, unwrapped from lists of one.
    Empty: the only value, however many lists and members of one enclose it. None where there is none."""
    if not where:
        part = _unwrap(part, (list, dict))
        return None if isinstance(part, (list, dict)) else part
    return _unwrap(find_at(part, where), (list,))


def _unwrap(part: Any, kinds: tuple[type[list[Any]] | type[dict[str, Any]], ...]) -> Any:
    while isinstance(part, kinds) and len(part) == 1:
        part = next(iter(part.values())) if isinstance(part, dict) else part[0]
    return part
