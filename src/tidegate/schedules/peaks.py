"""Schedules of the recurring peaks of load that a calendar names. Pure."""

from datetime import datetime

from tidegate.domain.scaling import CalendarPeak
from tidegate.schedules.schedule import Schedule, parse_peak

EPOCH = datetime.fromisoformat("1970-01-01T00:00:00+00:00")
"""Anchor of ``rate(...)`` schedules of peaks."""


def peak_schedule(peak: CalendarPeak) -> Schedule:
    """Schedule of the peak's starts. Raises Invalid."""
    return parse_peak(peak.starts, peak.timezone, peak.holidays)
