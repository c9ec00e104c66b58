"""The periods of an alarm during a rollout, and the requests of each version in them."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

from tidegate.domain.alarm import Alarm
from tidegate.domain.rollout import RolloutPlan
from tidegate.domain.traffic import WHOLE
from tidegate.features.rehearse.promise.alarm_model import PeriodLoad
from tidegate.monitoring.alarm_evaluation import INTERVALS, MINUTE

MAX_OFFSET_PERIODS = 60
"""Periods per stage from which on the stage's start within a period does not matter."""
OFFSETS = 8
"""Number of offsets of the first shift within a period to try otherwise; the results are averaged."""


@dataclass(frozen=True)
class Segment:
    """A time span with constant shares. ``share`` is the new version's fraction of the requests, 0 to 1."""

    stage: int
    share: float
    seconds: float


@dataclass(frozen=True)
class PeriodRun:
    """``count`` consecutive equal periods; the last ends within ``stage``. ``fresh`` is the number of the new
    version's requests in each."""

    stage: int
    count: int
    load: PeriodLoad
    seconds: float


@dataclass(frozen=True)
class AlarmSchedule:
    """The periods of one rollout. The first begins at ``begin`` (at most 0: the first shift is at 0); the rest after
    the last one is shorter than a period."""

    initial_mass: float
    stretches: tuple[PeriodRun, ...]
    requests_left: float
    seconds_left: float


def make_segments(plan: RolloutPlan, startup: float) -> list[Segment]:
    """Segments from the first shift to the end of the final bake. A rolling update keeps its share while the next
    batch starts (``startup`` seconds)."""
    last = len(plan.stages) - 1
    return [
        Segment(number, stage.share / WHOLE, stage.bake + (startup if plan.rolling and number < last else 0.0))
        for number, stage in enumerate(plan.stages)
    ]


def duration(plan: RolloutPlan, startup: float) -> float:
    """Duration in seconds of a successful rollout, from its request to the end of the final bake."""
    return startup + sum(segment.seconds for segment in make_segments(plan, startup))


def looks_per_period(alarm: Alarm) -> int:
    """How often an alarm is evaluated per period. With 1, results are exact. With more, periods of successive looks
    overlap, and only disjoint looks are counted."""
    return alarm.period // INTERVALS.get(alarm.period, MINUTE)


def offsets(alarm: Alarm, parts: list[Segment]) -> tuple[float, ...]:
    """Possible offsets of the first shift within a period, as fractions of one."""
    shortest = min((part.seconds for part in parts if part.seconds), default=0.0)
    if shortest >= MAX_OFFSET_PERIODS * alarm.period and alarm.datapoints_to_alarm > 1:
        return (0.5,)
    number = OFFSETS * min(looks_per_period(alarm), 2)
    return tuple((place + 0.5) / number for place in range(number))


def schedule_periods(alarm: Alarm, parts: list[Segment], rate: float, offset: float) -> AlarmSchedule:
    """The periods that end within the rollout, as runs of equal ones. ``rate`` is requests per second to the
    endpoint; ``offset`` is the first shift's position within a period."""
    made = list[PeriodRun]()
    period = float(alarm.period)
    ends = _segment_ends(parts)
    over = ends[-1] if ends else 0.0
    at = -offset * period
    while at + period <= over:
        stage = next(place for place, end in enumerate(ends) if at + period <= end)
        begin = ends[stage - 1] if stage else 0.0
        whole = max(0, math.floor((ends[stage] - at) / period)) if at >= begin else 1
        load = _period_load(parts, ends, rate, at, period)
        made.append(PeriodRun(parts[stage].stage, whole, load, period))
        at += whole * period
    left = sum(rate * part.share * seconds for part, seconds in _overlaps(parts, ends, at, over))
    return AlarmSchedule(-offset * period, tuple(made), left, over - max(0.0, at))


def _segment_ends(parts: list[Segment]) -> list[float]:
    total, ends = 0.0, list[float]()
    for part in parts:
        total += part.seconds
        ends.append(total)
    return ends


def _period_load(parts: list[Segment], ends: list[float], rate: float, at: float, period: float) -> PeriodLoad:
    """Load of a period that begins at ``at``; before 0 only the old version serves."""
    new = sum(rate * part.share * seconds for part, seconds in _overlaps(parts, ends, at, at + period))
    return PeriodLoad(new, max(0.0, rate * period - new))


def _overlaps(parts: list[Segment], ends: list[float], at: float, until: float) -> Iterator[tuple[Segment, float]]:
    begin = 0.0
    for part, end in zip(parts, ends, strict=True):
        seconds = min(end, until) - max(begin, at)
        if seconds > 0:
            yield part, seconds
        begin = end
