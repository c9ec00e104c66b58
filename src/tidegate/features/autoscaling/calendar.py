"""Calendar policies: scale out one start-up time before a peak, so that its count is ready when it starts. Pure."""

from dataclasses import replace
from datetime import datetime, timedelta

from tidegate.domain.errors import Invalid
from tidegate.domain.scaling import CalendarPeak, CalendarPolicy
from tidegate.schedules.schedule import EPOCH, Schedule, peak_schedule

DEFAULT_START_UP = 120.0
"""Start-up time in seconds assumed for a model that was never started."""


def lead_time(start_up: float | None, margin: float) -> timedelta:
    """How long before it is needed a count is requested."""
    return timedelta(seconds=(DEFAULT_START_UP if start_up is None else start_up) + margin)


def count(calendar: CalendarPolicy, start_up: float | None, now: datetime) -> tuple[int, str] | None:
    """Highest count of the peaks that are on or about to start, with the peak's label; None between peaks."""
    ahead = lead_time(start_up, calendar.margin)
    on = [
        (peak.count, _peak_label(peak)) for peak in calendar.peaks if _current_start(peak, ahead, now) is not None
    ]
    return max(on, default=None)


def next_change(calendar: CalendarPolicy, start_up: float | None, now: datetime) -> datetime | None:
    """Next time at which ``count`` may change."""
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
    """Start of the peak that counts now: it has not ended, and starts within ``ahead``; None: there is none."""
    begin = _lenient_schedule(peak).after(now - timedelta(seconds=peak.lasts), EPOCH)
    return begin if begin is not None and begin <= now + ahead else None


def _lenient_schedule(peak: CalendarPeak) -> Schedule:
    """Schedule of a peak that was valid when it was created. If its holidays are unknown now, as in a controller
    without the package ``holidays``, assume Monday to Friday: a peak that is a day off is better than none."""
    try:
        return peak_schedule(peak)
    except Invalid:
        return peak_schedule(replace(peak, holidays=""))


def _peak_label(peak: CalendarPeak) -> str:
    try:
        peak_schedule(peak)
    except Invalid as error:
        return f"{peak.name} (working days are Monday to Friday: {error.message})"
    return peak.name
