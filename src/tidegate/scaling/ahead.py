"""Calendar: the count of a peak is there when it starts, because it is asked for a start-up time before. Pure."""

from datetime import datetime, timedelta

from tidegate.model.scaling import Calendar, Peak
from tidegate.scaling.schedule import Schedule, of_peak

START_UP = 120.0
"""Seconds that are allowed for a model that was never started yet."""

EPOCH = datetime.fromisoformat("1970-01-01T00:00:00+00:00")
"""Where rates of peaks count from."""


def times(peak: Peak) -> Schedule:
    """When it starts. Raises Invalid."""
    return of_peak(peak.starts, peak.timezone, peak.holidays)


def lead(start_up: float | None, margin: float) -> timedelta:
    """How long before it is needed a count is asked for."""
    return timedelta(seconds=(START_UP if start_up is None else start_up) + margin)


def count(calendar: Calendar, start_up: float | None, now: datetime) -> tuple[int, str] | None:
    """The most that a peak which is on or about to be needs, and its name; None between peaks."""
    ahead = lead(start_up, calendar.margin)
    on = [(peak.count, peak.name) for peak in calendar.peaks if _begin(peak, ahead, now) is not None]
    return max(on, default=None)


def next_change(calendar: Calendar, start_up: float | None, now: datetime) -> datetime | None:
    """When ``count`` may be another."""
    ahead = lead(start_up, calendar.margin)
    instants = []
    for peak in calendar.peaks:
        begin = _begin(peak, ahead, now)
        if begin is not None:
            instants.append(begin + timedelta(seconds=peak.lasts))
        following = times(peak).after(now + ahead, EPOCH)
        if following is not None:
            instants.append(following - ahead)
    return min((instant for instant in instants if instant > now), default=None)


def _begin(peak: Peak, ahead: timedelta, now: datetime) -> datetime | None:
    """The start of the peak that counts now: it has not ended, and at most ``ahead`` is left until it begins."""
    begin = times(peak).after(now - timedelta(seconds=peak.lasts), EPOCH)
    return begin if begin is not None and begin <= now + ahead else None
