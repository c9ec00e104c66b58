"""Rows of a worker's page that have one shape each, read as what anybody may have written. Pure."""

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import msgspec

R = TypeVar("R")
S = TypeVar("S", bound=msgspec.Struct)


def read_rows(rows: object, most: int, read: Callable[[Any], R | None]) -> tuple[tuple[R, ...], int]:
    """Apply ``read`` to the first ``most`` rows, and return its results and the number of unusable rows."""
    if not isinstance(rows, list):
        return (), 1
    usable = tuple(one for row in rows[:most] if (one := read(row)) is not None)
    return usable, len(rows) - len(usable)


def convert_row(given: Any, kind: type[S]) -> S | None:
    """The row; None for what is none."""
    if not isinstance(given, Mapping):
        return None
    try:
        return msgspec.convert(given, kind)
    except msgspec.ValidationError:
        return None
