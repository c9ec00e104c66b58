"""A baseline of rows with their times, from which slices and phases of the calendar are taken. Pure.

Of a table or of captures, rows are kept that were drawn evenly, in the order of chance; SageMaker's
``statistics.json`` is a baseline too, without slices and without a calendar.
"""

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import NamedTuple
from zoneinfo import ZoneInfo

from tidegate.domain.errors import Invalid
from tidegate.features.drift.compare import Phases, Seasons, no_phases, no_season
from tidegate.features.drift.shapes import finite, read_statistics
from tidegate.features.drift.slices import EVERYTHING, MOST_SLICES, OTHER, slice_name
from tidegate.rows.profile import ColumnProfile, Draw, Row, TableProfile, Value, profile_of

# --- phases of the calendar: what explains a season ---


HOURS_OF_WEEK = 168
LONGEST = timedelta(days=31)
"""Windows that are longer are in no phase but their months."""


class CalendarPhase(NamedTuple):
    """``kind``: ``month`` (1 to 12), ``day of month`` (1 to 31), ``date`` (101: the first of January), ``hour
    of week`` (0: Monday 0:00) or ``hour of day`` (0 to 23 on weekdays, 24 to 47 on Saturday and Sunday).
    ``values``: those that a window touches."""

    kind: str
    values: frozenset[int]


KINDS = ("month", "day of month", "date", "hour of week", "hour of day")


def phase_values(moment: datetime) -> tuple[int, ...]:
    """Return the values of a local time, in the order of ``KINDS``."""
    month, day, hour, weekday = moment.month, moment.day, moment.hour, moment.weekday()
    return month, day, month * 100 + day, weekday * 24 + hour, hour + 24 * (weekday >= 5)


def phases_of(start: datetime, end: datetime, zone: ZoneInfo) -> tuple[CalendarPhase, ...]:
    """The phases that the window lies in. A kind of which the window touches every value explains nothing."""
    found: tuple[set[int], ...] = tuple(set() for _ in KINDS)
    step = timedelta(days=1) if end - start > LONGEST else timedelta(hours=1)
    moment = start
    while moment < end:
        for values, value in zip(found, phase_values(moment.astimezone(zone)), strict=True):
            values.add(value)
        moment = moment.replace(minute=0, second=0, microsecond=0) + step
    if end - start > LONGEST:
        found = (found[0], *(set[int]() for _ in KINDS[1:]))
    whole = {"month": 12, "day of month": 28, "date": 365, "hour of week": HOURS_OF_WEEK, "hour of day": 48}
    phases = (CalendarPhase(kind, frozenset(values)) for kind, values in zip(KINDS, found, strict=True))
    return tuple(phase for phase in phases if 0 < len(phase.values) < whole[phase.kind])


MOST_ROWS = 60_000
"""Rows that are kept: some 350 of each hour of the week."""
COVERED = 150
"""Rows of a phase from which the baseline covers it; with fewer, a test could not tell much."""
SEASON_ROWS = 2_000
"""Rows of a phase, drawn evenly, that decide whether it is a season. Each column is compared, so there are few."""
MARK = "tidegate drift baseline"
VERSION = 1


class RowSample:
    """Draws rows evenly from as many as there are."""

    def __init__(self, draw: Draw, most: int = MOST_ROWS) -> None:
        self.count = 0
        self._draw = draw
        self._most = most
        self._kept: list[tuple[float | None, Row]] = []

    def add(self, row: Row, at: float | None) -> None:
        """Add a row. ``at``: epoch seconds. The new row trades places with a random one, so that the rows are in
        random order."""
        self.count += 1
        place = self._draw(self.count)
        if len(self._kept) < self._most:
            self._kept.append((at, row))
            last = len(self._kept) - 1
            place = min(place, last)
            self._kept[place], self._kept[last] = self._kept[last], self._kept[place]
        elif place < self._most:
            self._kept[place] = (at, row)

    def document(self) -> dict[str, object]:
        names = list(dict.fromkeys(name for _, row in self._kept for name in row))
        return {
            "kind": MARK,
            "version": VERSION,
            "rows": self.count,
            "times": [at for at, _ in self._kept],
            "columns": {name: [row.get(name) for _, row in self._kept] for name in names},
        }


@dataclass(frozen=True)
class RowsBaseline:
    """``times`` are epoch seconds, where they are known."""

    times: Sequence[float | None]
    columns: Mapping[str, Sequence[Value]]
    zone: ZoneInfo
    _phases: dict[CalendarPhase, frozenset[int]] = field(default_factory=dict)

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self.columns)

    @cached_property
    def _moments(self) -> list[tuple[int, ...] | None]:
        return [
            None if at is None else phase_values(datetime.fromtimestamp(at, UTC).astimezone(self.zone))
            for at in self.times
        ]

    def rows_in(self, phase: CalendarPhase) -> frozenset[int]:
        if phase not in self._phases:
            kind = KINDS.index(phase.kind)
            found = (n for n, moment in enumerate(self._moments) if moment and moment[kind] in phase.values)
            self._phases[phase] = frozenset(found)
        return self._phases[phase]

    def slices(self, by: Sequence[str]) -> dict[str, list[int]]:
        """Return the rows of each slice. The most frequent slices stand alone, and the others are counted
        together."""
        found: dict[str, list[int]] = {}
        for column in by:
            rows: dict[str, list[int]] = {}
            for number, value in enumerate(self.columns.get(column, ())):
                if (name := slice_name(column, value)) is not None:
                    rows.setdefault(name, []).append(number)
            frequent = Counter({name: len(numbers) for name, numbers in rows.items()}).most_common(MOST_SLICES)
            for name, _ in frequent:
                found[name] = rows.pop(name)
            if rows:
                found[f"{column}={OTHER}"] = sorted(number for numbers in rows.values() for number in numbers)
        return found

    def known(self, by: Sequence[str]) -> set[str]:
        """Return the names of all slices."""
        pairs = ((column, value) for column in by for value in set(self.columns.get(column, ())))
        return {name for column, value in pairs if (name := slice_name(column, value)) is not None}

    def profile(self, column: str, rows: Iterable[int] | None = None) -> ColumnProfile:
        values = self.columns[column]
        return profile_of(values if rows is None else [values[number] for number in rows])


@dataclass(frozen=True)
class BaselineView:
    """A baseline as ``compare`` takes it: the profile of each slice, and of the phases that a window is in."""

    tables: dict[str, TableProfile]
    known: frozenset[str]
    """Names of all its slices, also of those that are counted together."""
    phases: Phases
    season: Seasons


def view_rows(
    baseline: RowsBaseline, columns: Sequence[str], by: Sequence[str], phases: Sequence[CalendarPhase]
) -> BaselineView:
    """Make a view of rows. ``columns``: those that are compared."""
    slices: dict[str, list[int] | None] = {EVERYTHING: None, **baseline.slices(by)}
    tables: dict[str, TableProfile] = {}
    for name, rows in slices.items():
        apart = name.partition("=")[0] if name else ""
        table = TableProfile(_no_draw)
        table.rows = len(baseline.times) if rows is None else len(rows)
        table.columns = {column: baseline.profile(column, rows) for column in columns if column != apart}
        tables[name] = table

    def find(slice: str, column: str) -> Iterator[ColumnProfile | None]:
        rows = slices.get(slice)
        for phase in phases:
            among = baseline.rows_in(phase)
            chosen = sorted(among) if rows is None else [number for number in rows if number in among]
            yield baseline.profile(column, chosen) if len(chosen) >= COVERED else None

    def find_season(column: str, is_season: Callable[[ColumnProfile], bool]) -> ColumnProfile | None:
        found = [
            among
            for among in map(baseline.rows_in, phases)
            if len(among) >= COVERED and is_season(baseline.profile(column, sorted(among)[:SEASON_ROWS]))
        ]
        together = sorted(frozenset.intersection(*found)) if found else []
        return baseline.profile(column, together) if len(together) >= COVERED else None

    return BaselineView(tables, frozenset(baseline.known(by)), find, find_season)


def view_statistics(table: TableProfile, by: Sequence[str]) -> BaselineView:
    """Make a view of SageMaker's statistics. Only the names of slices are known: they are the categories of the
    ``by`` columns."""
    columns = {one: table.columns[one] for one in by if one in table.columns and not table.columns[one].many}
    names = (slice_name(column, value) for column, profile in columns.items() for value in profile.categories)
    known = frozenset(name for name in names if name is not None)
    return BaselineView({EVERYTHING: table}, known, no_phases, no_season)


def read_baseline(content: bytes, zone: ZoneInfo) -> RowsBaseline | TableProfile:
    """Read a baseline. Raises Invalid for a document that is neither tidegate's own baseline nor SageMaker's
    statistics."""
    try:
        document = json.loads(content)
    except (ValueError, RecursionError):
        raise Invalid("the baseline is no JSON: make one with 'tidegate drift schedule baseline'") from None
    if not isinstance(document, dict) or document.get("kind") != MARK:
        return read_statistics(document, _no_draw)
    try:
        if document["version"] != VERSION:
            raise ValueError(f"version {document['version']}")
        times = [None if at is None else finite(at) for at in document["times"]]
        columns = {str(name): list(map(_value, values)) for name, values in document["columns"].items()}
        if any(len(values) != len(times) for values in columns.values()):
            raise ValueError("columns of different length")
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise Invalid(f"the baseline cannot be read: {error}; make it again") from None
    return RowsBaseline(times, columns, zone)


def _value(value: object) -> Value:
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, (int, float)):
        return finite(value)
    raise ValueError(f"{type(value).__name__} among its values")


def _no_draw(count: int) -> int:
    """Draw nothing: no values are added to those that were read."""
    return count
