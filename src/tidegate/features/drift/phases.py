"""Phases of the calendar: what explains a season. Pure."""

from datetime import datetime, timedelta
from typing import NamedTuple
from zoneinfo import ZoneInfo

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
