"""The answers' traffic in the terms of ``cost``."""

from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache
from typing import Any

from tidegate.domain.calendar_days import EVERY_MONTH
from tidegate.features.cost.shapes import shape
from tidegate.features.cost.traffic import YEAR, Load, PeakDays, Traffic
from tidegate.features.planner.tables import table


def traffic(facts: Mapping[str, Any]) -> Traffic:
    """The rate of the ordinary busy hour, the curve, and the peaks that were named."""
    curve = shape(facts["shape"])
    return Traffic(facts["rate"], replace(curve, peaks=(*curve.peaks, *named_peaks(facts))))


def named_peaks(facts: Mapping[str, Any]) -> tuple[PeakDays, ...]:
    """The peaks that the answers name, on top of those of the shape."""
    return tuple(_peak(one.name, one.factor) for one in facts["peaks"])


def find_load(facts: Mapping[str, Any]) -> Load:
    """The hours of the planned year."""
    return _load(traffic(facts))


@lru_cache(maxsize=4)
def _load(made: Traffic) -> Load:
    return made.hours(YEAR)


def has_idle_hours(name: str) -> bool:
    """Whether the curve of a shape has hours without a request."""
    return min(shape(name).profile) == 0


def _peak(name: str, factor: float) -> PeakDays:
    known = table("peaks")[name]
    return PeakDays(
        name.replace("-", " "),
        factor,
        tuple(known["days"]),
        tuple(known.get("months", EVERY_MONTH)),
        working=known.get("working", False),
        ahead=known.get("ahead", 0),
    )
