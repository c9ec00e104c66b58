"""Pairs of predictions on a worker's stats page, read as what anybody may have written. Pure."""

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import msgspec

from tidegate.domain.decoding import prepare_type
from tidegate.domain.pairs import FeatureRow, Pair
from tidegate.domain.worker_stats import LONGEST_JUDGED, MOST_OUTPUTS, MOST_PAIRS, MOST_ROWS
from tidegate.monitoring.finite import LARGEST

# --- rows of a worker's page that have one shape each, read as what anybody may have written ---


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
        return msgspec.convert(given, prepare_type(kind))
    except msgspec.ValidationError:
        return None


LONGEST = 256
"""Characters of a name or a text."""
LONGEST_REQUEST = 300
MOST_SLICES = 8
MOST_STAGES = 15
MOST_COLUMNS = 256
_PLACES = 2**31
Value = float | str | None


class _Stage(msgspec.Struct):
    stage: str
    names: list[str]
    old: list[Value]
    new_names: list[str]
    new: list[Value]


class _Row(msgspec.Struct):
    fleet: str = msgspec.field(name="with")
    old: float | None
    new: float | None
    failed: bool
    traced: bool
    key: int
    slices: list[tuple[str, str]]
    stages: list[_Stage]
    old_failed: bool = False
    lost: bool = False
    row_slices: list[list[tuple[str, str]]] = []
    rows: list[list[tuple[int, float | None, float | None]]] = []
    request: str = ""
    texts: tuple[str, str, str] | None = None


def read_pairs(rows: object) -> tuple[tuple[tuple[str, Pair], ...], int]:
    """Each pair with the id of the fleet that answered the copy, and how many rows were no pairs."""
    return read_rows(rows, MOST_PAIRS, _read)


def _read(given: Any) -> tuple[str, Pair] | None:
    row = convert_row(given, _Row)
    if row is None:
        return None
    stages = tuple(_stage(one) for one in row.stages[:MOST_STAGES])
    if any(one is None for one in stages) or len(row.fleet) > LONGEST * 4:
        return None
    features = tuple(one for one in stages if one is not None)
    pair = Pair(
        old=_number(row.old),
        new=_number(row.new),
        failed=row.failed,
        key=abs(row.key) % 2**64,
        slices=_cut_slices(row.slices),
        row_slices=tuple(map(_cut_slices, row.row_slices[:MOST_ROWS])),
        traced=row.traced,
        features=features,
        old_failed=row.old_failed,
        lost=row.lost,
        rows=tuple(
            tuple((abs(output) % _PLACES, _number(old), _number(new)) for output, old, new in each[:MOST_OUTPUTS])
            for each in row.rows[:MOST_ROWS]
        ),
        request=row.request[:LONGEST_REQUEST],
        texts=None if row.texts is None else _cut(*row.texts),
    )
    return row.fleet, pair


def _cut_slices(slices: list[tuple[str, str]]) -> tuple[tuple[str, str], ...]:
    return tuple((name[:LONGEST], value[:LONGEST]) for name, value in slices[:MOST_SLICES])


def _cut(request: str, old: str, new: str) -> tuple[str, str, str]:
    return request[:LONGEST_JUDGED], old[:LONGEST_JUDGED], new[:LONGEST_JUDGED]


def _stage(row: _Stage) -> FeatureRow | None:
    sizes = {len(row.names) - len(row.old), len(row.new_names) - len(row.new)}
    texts = (row.stage, *row.names, *row.new_names, *(one for one in (*row.old, *row.new) if isinstance(one, str)))
    if sizes != {0} or max(len(row.names), len(row.new_names)) > MOST_COLUMNS:
        return None
    if any(len(text) > LONGEST for text in texts):
        return None
    return FeatureRow(row.stage, tuple(row.names), _values(row.old), tuple(row.new_names), _values(row.new))


def _values(given: list[Value]) -> tuple[Value, ...]:
    return tuple(float(one) if isinstance(one, int | float) else one for one in given)


def _number(value: float | None) -> float | None:
    return value if value is not None and abs(value) <= LARGEST else None
