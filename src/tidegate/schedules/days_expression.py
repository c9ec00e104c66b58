"""``days(minutes hours days-of-month months which)``: working days that no cron expression can describe. Pure.

``days(0 8 15,L * working+1)`` is eight o'clock on each pay day and on the working day before it. ``which`` is
``all``, ``MON-FRI`` or ``SAT-SUN`` (only such days), ``working`` (a day on a weekend moves to the working day before)
or ``working+N`` (also the N working days before that).
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, time
from functools import lru_cache

from tidegate.domain.calendar_days import EVERY_WEEKDAY, CalendarDays
from tidegate.domain.errors import Invalid
from tidegate.schedules.cron import (
    FIRST_YEAR,
    HORIZON,
    LAST_YEAR,
    MONTHS,
    IsWorkingDay,
    monday_to_friday,
    parse_field,
)

_WEEKDAYS = {"ALL": EVERY_WEEKDAY, "MON-FRI": (0, 1, 2, 3, 4), "SAT-SUN": (5, 6)}
_WORKING = re.compile(r"WORKING(?:\+(\d{1,2}))?")
MAX_DAYS_AHEAD = 20


@dataclass(frozen=True)
class RecurringDays:
    """Times of each of the days, sorted."""

    days: CalendarDays
    at: tuple[time, ...]

    def times(self, start: datetime, works: IsWorkingDay = monday_to_friday) -> Iterator[datetime]:
        """Naive times from about ``start`` on, in order; the first ones may be up to a day earlier."""
        for year in range(max(FIRST_YEAR, start.year), min(start.year + HORIZON, LAST_YEAR) + 1):
            for day in _sort_dates(self.days, year, works):
                if day >= start.date():
                    yield from (datetime.combine(day, at) for at in self.at)


@lru_cache(maxsize=1024)
def _sort_dates(days: CalendarDays, year: int, works: IsWorkingDay) -> tuple[date, ...]:
    return tuple(sorted(days.dates(year, works)))


def parse(text: str) -> RecurringDays:
    """Parse the five fields, without ``days()``. Raises Invalid."""
    whole, fields = f"days({text})", text.upper().split()
    if len(fields) != 5:
        raise Invalid(f"{whole} has {len(fields)} fields; it needs 5: minutes hours days-of-month months which")
    minutes, hours, days, months, which = fields
    ahead = _WORKING.fullmatch(which)
    if ahead is None and which not in _WEEKDAYS:
        raise Invalid(f"{whole}: {which!r} must be all, MON-FRI, SAT-SUN, working or working+N")
    before = int(ahead[1] or 0) if ahead else 0
    if before > MAX_DAYS_AHEAD:
        raise Invalid(f"{whole}: working+{before}: at most {MAX_DAYS_AHEAD} working days before")
    at = tuple(
        time(hour, minute)
        for hour in sorted(parse_field(hours, "hours", 0, 23, whole))
        for minute in sorted(parse_field(minutes, "minutes", 0, 59, whole))
    )
    return RecurringDays(
        CalendarDays(
            _parse_days_of_month(days, whole),
            tuple(sorted(parse_field(months, "months", 1, 12, whole, MONTHS))),
            ahead is not None,
            before,
            _WEEKDAYS.get(which, EVERY_WEEKDAY),
        ),
        at,
    )


def _parse_days_of_month(field: str, whole: str) -> tuple[int, ...]:
    items = field.split(",")
    if "" in items:
        raise Invalid(f"{whole}: {field!r} is not valid in the field days-of-month")
    rest = ",".join(item for item in items if item != "L")
    numbers = sorted(parse_field(rest, "days-of-month", 1, 31, whole)) if rest else []
    return (*numbers, *((-1,) if "L" in items else ()))
