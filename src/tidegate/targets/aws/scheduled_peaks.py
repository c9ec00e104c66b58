"""Peaks of a spec's calendar as scheduled actions of Application Auto Scaling: its cron has no working days. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from tidegate.domain.desired import DesiredScaling
from tidegate.domain.scaling import CalendarPeak
from tidegate.schedules.schedule import EPOCH, peak_schedule

PEAKS_AHEAD = 12
"""Occurrences of each peak that become scheduled actions; each deployment sets the next ones."""
PEAK_LEAD = timedelta(minutes=10)
"""Before a peak: instances at AWS take minutes to start."""


@dataclass(frozen=True)
class _PeakAction:
    """``word``: ``begin`` or ``end``; ``schedule`` as the API has it."""

    name: str
    word: str
    schedule: str
    minimum: int


def peak_actions(peak: CalendarPeak, scaling: DesiredScaling, now: datetime) -> Iterator[_PeakAction]:
    """Yield the scaling actions of the next occurrences of a peak, two for each. Raises Invalid for a schedule that
    never occurs."""
    schedule = peak_schedule(peak)
    after = now
    for number in range(PEAKS_AHEAD):
        begin = schedule.after(after, EPOCH)
        if begin is None:
            return
        after = begin
        end = begin + timedelta(seconds=peak.lasts)
        for word, at, least in (
            ("begin", max(begin - PEAK_LEAD, now + timedelta(minutes=1)), peak.count),
            ("end", end, scaling.minimum),
        ):
            name = f"tidegate-{peak.name}-{number}-{word}"
            yield _PeakAction(name, word, f"at({at.astimezone(UTC):%Y-%m-%dT%H:%M:%S})", least)
