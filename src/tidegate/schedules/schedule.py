"""Schedules: ``at(...)``, ``rate(...)``, ``cron(...)`` and ``days(...)`` in a time zone. Pure.

Daylight saving: a time that is skipped is moved later by the gap; of a time that occurs twice the first one counts.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

from tidegate.domain.errors import Invalid
from tidegate.domain.scaling import CalendarPeak
from tidegate.schedules import cron as crons
from tidegate.schedules.cron import IsWorkingDay, monday_to_friday

_FORM = re.compile(r"\s*(at|rate|cron)\((.*)\)\s*")
_DAYS = re.compile(r"\s*days\((.*)\)\s*")
_AT = re.compile(r"\s*\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\s*", re.ASCII)
_RATE = re.compile(r"\s*([1-9]\d{0,8})\s+(minute|hour|day)s?\s*", re.ASCII)

LOOK_BACK = tuple(timedelta(days=days) for days in (1 / 24, 1, 31, 366, 366 * crons.HORIZON))
"""Spans in which ``last`` searches backward, one after the other: most schedules recur often."""


@dataclass(frozen=True)
class Schedule:
    """Exactly one of ``at``, ``every``, ``cron`` and ``days`` is set. ``at`` has no zone of its own."""

    zone: ZoneInfo
    at: datetime | None = None
    every: timedelta | None = None
    cron: crons.Cron | None = None
    days: crons.RecurringDays | None = None
    works: IsWorkingDay = monday_to_friday

    def after(self, instant: datetime, anchor: datetime) -> datetime | None:
        """First time after ``instant``, in UTC; None: never again. A rate counts from ``anchor``, which is not itself
        a time."""
        if self.every is not None:
            passed = max(0, (instant - anchor) // self.every)
            return (anchor + (passed + 1) * self.every).astimezone(UTC)
        if self.at is not None:
            once = self._instant(self.at)
            return once if once > instant else None
        named = self.cron or self.days
        assert named is not None
        local = instant.astimezone(self.zone).replace(tzinfo=None)
        return self._first(named.times(local, self.works), instant)

    def last(self, since: datetime, until: datetime, anchor: datetime) -> datetime | None:
        """Last time after ``since`` and not after ``until``, in UTC; None: there is none."""
        if until <= since:
            return None
        if self.every is not None:
            passed = (until - anchor) // self.every
            latest = anchor + passed * self.every
            return latest.astimezone(UTC) if passed > 0 and latest > since else None
        if self.at is not None:
            once = self._instant(self.at)
            return once if since < once <= until else None
        for span in LOOK_BACK:
            found = self._last_within(max(since, until - span), until)
            if found is not None or until - span <= since:
                return found
        return None

    def _last_within(self, since: datetime, until: datetime) -> datetime | None:
        named = self.cron or self.days
        assert named is not None
        end, found = until.astimezone(self.zone).replace(tzinfo=None), None
        for local in named.times(since.astimezone(self.zone).replace(tzinfo=None), self.works):
            if local > end:
                break
            if since < (instant := self._instant(local)) <= until and (found is None or instant > found):
                found = instant
        return found

    def _first(self, locals: Iterator[datetime], instant: datetime) -> datetime | None:
        """First time after ``instant``. A skipped local time is moved later, possibly behind the next ones."""
        found: datetime | None = None
        for local in locals:
            moment = self._instant(local)
            if found is not None and local >= found.astimezone(self.zone).replace(tzinfo=None):
                break
            if moment > instant and (found is None or moment < found):
                found = moment
                if found.astimezone(self.zone).replace(tzinfo=None) == local:
                    break
        return found

    def _instant(self, local: datetime) -> datetime:
        return local.replace(tzinfo=self.zone).astimezone(UTC)


@lru_cache(maxsize=1024)
def parse(text: str, timezone: str = "UTC", holidays: str = "") -> Schedule:
    """``holidays``: the country whose working days count (``working_days_of``). Raises Invalid for text in none of
    Amazon's three forms, an unknown time zone, and holidays that are unknown or have no effect."""
    zone = load_zone(timezone)
    match = _FORM.fullmatch(text)
    if match is None:
        raise Invalid(f"schedule {text!r} must be at(yyyy-mm-ddThh:mm:ss), rate(n minutes) or cron(six fields)")
    form, inside = match.groups()
    cron = crons.parse(inside) if form == "cron" else None
    if holidays and (cron is None or not cron.uses_working_days):
        raise Invalid(f"holidays {holidays!r} move LW and days such as 15W only, and {text!r} has none of them")
    if cron is not None:
        return Schedule(zone, cron=cron, works=crons.working_days_of(holidays) if holidays else monday_to_friday)
    if form == "rate":
        return Schedule(zone, every=_rate(inside))
    try:
        return Schedule(zone, at=datetime.strptime(inside.strip(), "%Y-%m-%dT%H:%M:%S"))
    except ValueError:
        raise Invalid(f"at({inside}) must be a time such as at(2026-12-30T08:00:00)") from None


def check_new(text: str, timezone: str, now: datetime) -> None:
    """Raises Invalid for a schedule that Amazon refuses to create, and that older records may have: a unit that does
    not agree with its number, and a time that never comes (again)."""
    schedule = parse(text, timezone)
    match = _FORM.fullmatch(text)
    form, inside = match.groups() if match is not None else ("", "")
    if form == "rate":
        value, unit = inside.split()
        if unit.endswith("s") is (value == "1"):
            right = unit.removesuffix("s") if value == "1" else f"{unit}s"
            raise Invalid(f"rate({inside}): the unit must agree with its number: rate({value} {right})")
    if form == "at" and _AT.fullmatch(inside) is None:
        raise Invalid(f"at({inside}) must be a time such as at(2026-12-30T08:00:00)")
    if schedule.after(now, now) is None:
        what = "is in the past" if form == "at" else "never comes"
        raise Invalid(f"schedule {text!r} {what}: the action would never take effect")


@lru_cache(maxsize=1024)
def parse_peak(text: str, timezone: str = "UTC", holidays: str = "") -> Schedule:
    """Like ``parse``, and ``days(...)`` as well."""
    match = _DAYS.fullmatch(text)
    if match is None:
        return parse(text, timezone, holidays)
    days = crons.parse_days(match[1])
    if holidays and not days.days.working:
        raise Invalid(f"holidays {holidays!r} move working days only, and {text!r} has none of them")
    works = crons.working_days_of(holidays) if holidays else monday_to_friday
    return Schedule(load_zone(timezone), days=days, works=works)


def load_zone(name: str) -> ZoneInfo:
    """Raises Invalid for an unknown time zone."""
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        raise Invalid(f"unknown time zone {name!r}; use an IANA name such as Europe/Zurich") from None


def _rate(inside: str) -> timedelta:
    match = _RATE.fullmatch(inside)
    if match is None:
        raise Invalid(f"rate({inside}) must be a whole number of minutes, hours or days, such as rate(5 minutes)")
    return int(match[1]) * timedelta(**{f"{match[2]}s": 1})


# --- schedules of the recurring peaks of load that a calendar names ---


EPOCH = datetime.fromisoformat("1970-01-01T00:00:00+00:00")
"""Anchor of ``rate(...)`` schedules of peaks."""


def peak_schedule(peak: CalendarPeak) -> Schedule:
    """Schedule of the peak's starts. Raises Invalid."""
    return parse_peak(peak.starts, peak.timezone, peak.holidays)
