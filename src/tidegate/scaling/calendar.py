"""Calendar: the count of a peak is there when it starts, because it is asked for a start-up time before. Pure."""

from dataclasses import replace
from datetime import datetime, timedelta

from tidegate.domain.errors import Invalid
from tidegate.domain.scaling import CalendarPeak, CalendarPolicy
from tidegate.scaling.schedule import Schedule, parse_peak

DEFAULT_START_UP = 120.0
"""Seconds that are allowed for a model that was never started yet."""

EPOCH = datetime.fromisoformat("1970-01-01T00:00:00+00:00")
"""Where rates of peaks count from."""


def peak_schedule(peak: CalendarPeak) -> Schedule:
    """When it starts. Raises Invalid."""
    return parse_peak(peak.starts, peak.timezone, peak.holidays)


def lead_time(start_up: float | None, margin: float) -> timedelta:
    """How long before it is needed a count is asked for."""
    return timedelta(seconds=(DEFAULT_START_UP if start_up is None else start_up) + margin)


def count(calendar: CalendarPolicy, start_up: float | None, now: datetime) -> tuple[int, str] | None:
    """The most that a peak which is on or about to be needs, and what to call it; None between peaks."""
    ahead = lead_time(start_up, calendar.margin)
    on = [
        (peak.count, _peak_label(peak)) for peak in calendar.peaks if _current_start(peak, ahead, now) is not None
    ]
    return max(on, default=None)


def next_change(calendar: CalendarPolicy, start_up: float | None, now: datetime) -> datetime | None:
    """When ``count`` may be another."""
    ahead = lead_time(start_up, calendar.margin)
    instants = []
    for peak in calendar.peaks:
        begin = _current_start(peak, ahead, now)
        if begin is not None:
            instants.append(begin + timedelta(seconds=peak.lasts))
        following = _lenient_schedule(peak).after(now + ahead, EPOCH)
        if following is not None:
            instants.append(following - ahead)
    return min((instant for instant in instants if instant > now), default=None)


def _current_start(peak: CalendarPeak, ahead: timedelta, now: datetime) -> datetime | None:
    """The start of the peak that counts now: it has not ended, and at most ``ahead`` is left until it begins."""
    begin = _lenient_schedule(peak).after(now - timedelta(seconds=peak.lasts), EPOCH)
    return begin if begin is not None and begin <= now + ahead else None


def _lenient_schedule(peak: CalendarPeak) -> Schedule:
    """A peak was checked when it was asked for. Where its holidays are not known any more, as in a controller that is
    started without the package of them, Monday to Friday are worked: a peak a day off is better than none."""
    try:
        return peak_schedule(peak)
    except Invalid:
        return peak_schedule(replace(peak, holidays=""))


def _peak_label(peak: CalendarPeak) -> str:
    try:
        peak_schedule(peak)
    except Invalid as error:
        return f"{peak.name} (Monday to Friday are worked: {error.message})"
    return peak.name
