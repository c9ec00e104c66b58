"""AWS cron expressions: six fields, with ``?``, ``L``, ``W`` and ``#``. Pure.

Fields: minutes, hours, day of month, month, day of week, year. One of the two day fields is ``?``. Source: Amazon
EventBridge Scheduler user guide, "Cron-based schedules". Ranges may wrap around (``FRI-MON``), except those of years.
"""

import calendar
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from functools import lru_cache

from tidegate.domain.calendar_days import EVERY_WEEKDAY, CalendarDays, monday_to_friday
from tidegate.domain.errors import Invalid
from tidegate.host.late_import import load_module

# Working days: Monday to Friday, or by a country's weekends and public holidays. Pure. Public holidays come from
# the optional package ``holidays``, which computes them; nothing is downloaded.


__all__ = ["REGION_PATTERN", "IsWorkingDay", "monday_to_friday", "working_days_of"]

IsWorkingDay = Callable[[date], bool]
REGION_PATTERN = r"^[A-Z]{2}(-[A-Z0-9]{1,3})?$"
"""ISO 3166 code of a country or a subdivision."""


@lru_cache(maxsize=256)
def working_days_of(place: str) -> IsWorkingDay:
    """``place``: ISO 3166 code of a country (``CH``) or a subdivision (``CH-ZH``). Raises Invalid if its holidays are
    unknown."""
    unknown = f"the public holidays of {place!r} are not known; use a country such as CH, or a part of it, CH-ZH"
    if not re.fullmatch(REGION_PATTERN, place):  # the package has more than countries under such names
        raise Invalid(unknown)
    country, _, region = place.partition("-")
    try:
        known = load_module("holidays").country_holidays(country, subdiv=region or None)
    except ImportError:
        raise Invalid("public holidays need an optional package: pip install 'tidegate[calendar]'") from None
    except NotImplementedError:
        raise Invalid(unknown) from None
    works: IsWorkingDay = known.is_working_day
    return works


MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
WEEKDAYS = ("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT")
FIRST_YEAR, LAST_YEAR = 1970, 2199
HORIZON = 45
"""Years: any rule that recurs at all does so within this time (a fifth Monday of February: 40 years)."""

_NUMBER = re.compile(r"\d{1,4}", re.ASCII)
_ITEM = re.compile(r"(?P<from>\*|\w{1,9})(?:-(?P<to>\w{1,9}))?(?:/(?P<step>\d{1,4}))?", re.ASCII)


@dataclass(frozen=True)
class Cron:
    """Sorted values of each field. Days are ``days`` of the month, or ``weekdays`` 1 (Sunday) to 7; ``special`` has
    those with L, W or #, in AWS notation."""

    text: str
    minutes: tuple[int, ...]
    hours: tuple[int, ...]
    months: frozenset[int]
    years: frozenset[int]
    days: frozenset[int] | None
    weekdays: frozenset[int] | None
    special: tuple[str, ...] = ()

    @property
    def uses_working_days(self) -> bool:
        """Whether the expression depends on working days."""
        return any(text.endswith("W") for text in self.special)

    def on(self, day: date, works: IsWorkingDay) -> bool:
        """Whether the expression matches this day at any time; ``works`` says which days are working days."""
        if day.month not in self.months or day.year not in self.years:
            return False
        if self.days is not None:
            return day.day in self.days or any(_is_month_day(text, day, works) for text in self.special)
        assert self.weekdays is not None
        return _weekday(day) in self.weekdays or any(_is_weekday(text, day) for text in self.special)

    def times(self, start: datetime, works: IsWorkingDay = monday_to_friday) -> Iterator[datetime]:
        """Naive times from about ``start`` on, in order; the first ones may be up to an hour earlier."""
        day, last = start.date(), min(start.year + HORIZON, LAST_YEAR)
        earliest = max(0, start.hour - 1)
        while day.year <= last:
            if day.month not in self.months or day.year not in self.years:
                day, earliest = _next_month(day), 0
                continue
            if self.on(day, works):
                for hour in self.hours:
                    if hour >= earliest:
                        yield from (datetime.combine(day, time(hour, minute)) for minute in self.minutes)
            day, earliest = day + timedelta(days=1), 0


def parse(text: str) -> Cron:
    """Parse the six fields, without ``cron()``. Raises Invalid."""
    whole, fields = f"cron({text})", text.upper().split()
    if len(fields) != 6:
        raise Invalid(
            f"{whole} has {len(fields)} fields; it needs 6: minutes hours day-of-month month day-of-week year"
        )
    minutes, hours, day, month, weekday, year = fields
    if (day == "?") == (weekday == "?"):
        raise Invalid(f"{whole}: one of day-of-month and day-of-week must be ?, and not both")
    by_date = day != "?"
    named, special = _parse_days(day, whole) if by_date else _parse_weekdays(weekday, whole)
    return Cron(
        text,
        tuple(sorted(parse_field(minutes, "minutes", 0, 59, whole))),
        tuple(sorted(parse_field(hours, "hours", 0, 23, whole))),
        parse_field(month, "month", 1, 12, whole, MONTHS),
        parse_field(year, "year", FIRST_YEAR, LAST_YEAR, whole),
        named if by_date else None,
        None if by_date else named,
        special,
    )


def parse_field(
    field: str, name: str, low: int, high: int, text: str, names: tuple[str, ...] = ()
) -> frozenset[int]:
    """Parse one field of ``text`` to its values. Raises Invalid, naming field and text."""
    found: set[int] = set()
    for item in field.split(","):
        match = _ITEM.fullmatch(item)
        if match is None:
            raise Invalid(f"{text}: {item!r} is not valid in the field {name}")
        start, end, step = match["from"], match["to"], None if match["step"] is None else int(match["step"])
        first = low if start == "*" else _parse_number(start, name, low, high, text, names)
        last = first
        if end is not None:
            last = _parse_number(end, name, low, high, text, names)
        elif start == "*" or step is not None:
            last = high
        around = last < first and name != "year"
        if (last < first and not around) or step == 0 or (start == "*" and end is not None):
            raise Invalid(f"{text}: {item!r} is not a valid range in the field {name}")
        span = high - low + 1
        steps = range(first, last + 1 + span * around, step or 1)
        found.update(low + (value - low) % span for value in steps)
    return frozenset(found)


def _parse_number(word: str, name: str, low: int, high: int, text: str, names: tuple[str, ...]) -> int:
    if word in names:
        return names.index(word) + 1
    if not _NUMBER.fullmatch(word) or not low <= int(word) <= high:
        raise Invalid(f"{text}: {word!r} is not from {low} to {high} in the field {name}")
    return int(word)


def _parse_days(field: str, text: str) -> tuple[frozenset[int], tuple[str, ...]]:
    special = tuple(item for item in field.split(",") if item in ("L", "LW") or _is_nearest_weekday(item))
    for item in special:
        if _is_nearest_weekday(item):
            _parse_number(item[:-1], "day-of-month", 1, 31, text, ())
    rest = [item for item in field.split(",") if item not in special]
    return (parse_field(",".join(rest), "day-of-month", 1, 31, text) if rest else frozenset()), special


def _is_nearest_weekday(item: str) -> bool:
    return item.endswith("W") and item[:-1].isdecimal()


def _parse_weekdays(field: str, text: str) -> tuple[frozenset[int], tuple[str, ...]]:
    """``6L`` the last Friday, ``3#2`` the second Tuesday; ``L`` alone is Saturday."""
    special, rest = [], []
    for item in field.split(","):
        if item == "L":
            rest.append("7")
        elif item.endswith("L") and item not in WEEKDAYS:
            special.append(f"{_parse_number(item[:-1], 'day-of-week', 1, 7, text, WEEKDAYS)}L")
        elif "#" in item:
            word, _, nth = item.partition("#")
            if nth not in ("1", "2", "3", "4", "5"):
                raise Invalid(f"{text}: {item!r}: expected #1 to #5")
            special.append(f"{_parse_number(word, 'day-of-week', 1, 7, text, WEEKDAYS)}#{nth}")
        else:
            rest.append(item)
    named = parse_field(",".join(rest), "day-of-week", 1, 7, text, WEEKDAYS) if rest else frozenset[int]()
    return named, tuple(special)


def _weekday(day: date) -> int:
    return day.isoweekday() % 7 + 1


def _month_length(day: date) -> int:
    return calendar.monthrange(day.year, day.month)[1]


def _is_month_day(text: str, day: date, works: IsWorkingDay) -> bool:
    length = _month_length(day)
    if text == "L":
        return day.day == length
    wanted = length if text == "LW" else int(text[:-1])
    return wanted <= length and works(day) and day == _nearest_working_day(day.replace(day=wanted), works)


def _nearest_working_day(day: date, works: IsWorkingDay) -> date | None:
    """Working day nearest to ``day`` in the same month, the earlier of two; None if the month has none."""
    for away in range(31):
        for near in (day - timedelta(days=away), day + timedelta(days=away)):
            if near.month == day.month and works(near):
                return near
    return None


def _is_weekday(text: str, day: date) -> bool:
    if text.endswith("L"):
        return _weekday(day) == int(text[:-1]) and day.day + 7 > _month_length(day)
    weekday, _, nth = text.partition("#")
    return _weekday(day) == int(weekday) and (day.day - 1) // 7 + 1 == int(nth)


def _next_month(day: date) -> date:
    return date(day.year + day.month // 12, day.month % 12 + 1, 1)


# ``days(minutes hours days-of-month months which)``: working days that no cron expression can describe. Pure.
# ``days(0 8 15,L * working+1)`` is eight o'clock on each pay day and on the working day before it. ``which`` is
# ``all``, ``MON-FRI`` or ``SAT-SUN`` (only such days), ``working`` (a day on a weekend moves to the working day
# before) or ``working+N`` (also the N working days before that).


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


def parse_days(text: str) -> RecurringDays:
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
