"""The peaks that a plan was priced with, as its autoscaling's calendar: instances are there before they begin."""

import itertools
from collections.abc import Iterator, Sequence
from typing import Any

from tidegate.domain.calendar_days import EVERY_MONTH
from tidegate.features.cost.traffic import PeakDays, Traffic
from tidegate.features.planner.sizing import FleetSize, OnDemandSize, count_needed

BUSY = 0.8
"""Hours that need this part of what a peak's busiest hour needs are asked for ahead; tracking does the rest."""
_WORKDAYS, _WEEKEND = range(5), range(5, 7)

Entry = dict[str, Any]


def calendar(traffic: Traffic, mode: str, fleet: FleetSize | OnDemandSize, timezone: str) -> list[Entry]:
    """Entries of a spec's ``autoscaling.calendar``. Each asks for what the least busy of its hours was priced with,
    so that it never costs more than the plan says. Only a real-time fleet that scales has any: a queue can wait."""
    if mode != "real_time" or not isinstance(fleet, FleetSize) or not fleet.scales:
        return []
    return _rename_equal(
        [entry for peak in traffic.shape.peaks for entry in _peak_entries(peak, traffic, fleet, timezone)]
    )


def _rename_equal(entries: Sequence[Entry]) -> list[Entry]:
    """Two peaks may be called the same; the later one gets a number that none has."""
    names = {entry["name"] for entry in entries}
    made: dict[str, Entry] = {}
    for entry in entries:
        name = entry["name"]
        if name in made:
            name = next(
                new for number in itertools.count(2) if (new := f"{name}-{number}") not in names | made.keys()
            )
        made[name] = {**entry, "name": name}
    return list(made.values())


def _peak_entries(peak: PeakDays, traffic: Traffic, fleet: FleetSize, timezone: str) -> Iterator[Entry]:
    workdays, weekend = (_times(peak, traffic, fleet, days) for days in (_WORKDAYS, _WEEKEND))
    name = peak.name.replace(" ", "-")
    if peak.working:
        which = f"working+{peak.ahead}" if peak.ahead else "working"
        parts = [(name, which, workdays)]
    elif workdays == weekend:
        parts = [(name, "all", workdays)]
    else:
        parts = [(name, "MON-FRI", workdays), (f"{name}-weekends", "SAT-SUN", weekend)]
    for called, which, times in parts:
        for number, (hour, hours, count) in enumerate(times, start=1):
            yield {
                "name": called if number == 1 else f"{called}-{number}",
                "starts": f"days(0 {hour} {_days(peak)} {_months(peak)} {which})",
                "lasts": f"{hours}h",
                "count": count,
                "timezone": timezone,
            }


def _times(peak: PeakDays, traffic: Traffic, fleet: FleetSize, days: Sequence[int]) -> list[tuple[int, int, int]]:
    """(first hour, hours, instances) of a day's busy times, where a day without the peak needs fewer."""
    profile = traffic.shape.profile
    rates = [
        traffic.rps * traffic.shape.burst * min(profile[24 * day + hour] for day in days) for hour in range(24)
    ]
    with_peak = [_count(rate * peak.factor, fleet) for rate in rates]
    level = BUSY * max(with_peak)
    found, hour = [], 0
    for busy, group in itertools.groupby(with_peak, key=lambda count: count >= level):
        counts = list(group)
        until = hour + len(counts)
        if busy and min(counts) > max(_count(rate, fleet) for rate in rates[hour:until]):
            found.append((hour, len(counts), min(counts)))
        hour = until
    return found


def _count(rate: float, fleet: FleetSize) -> int:
    return max(fleet.least, min(fleet.most, count_needed(rate, fleet.planned)))


def _days(peak: PeakDays) -> str:
    """``15,L`` or ``15-31``, as a schedule has them."""
    if len(peak.days) > 2 and list(peak.days) == list(range(peak.days[0], peak.days[-1] + 1)):
        return f"{peak.days[0]}-{peak.days[-1]}"
    return ",".join("L" if day == -1 else str(day) for day in peak.days)


def _months(peak: PeakDays) -> str:
    return "*" if peak.months == EVERY_MONTH else ",".join(map(str, peak.months))
