"""Which periods of an alarm a rollout passes through, and how many requests of each version they hold."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

from tidegate.advisor.promise.alarm_model import PeriodLoad
from tidegate.domain.alarm import Alarm
from tidegate.domain.rollout import RolloutPlan
from tidegate.domain.traffic import WHOLE
from tidegate.monitoring.alarms import INTERVALS, MINUTE

MAX_OFFSET_PERIODS = 60
"""Periods in a stage from which on it does not matter where in a period the stage begins."""
OFFSETS = 8
"""Places in a period at which the first shift is taken to happen otherwise; their results are averaged."""


@dataclass(frozen=True)
class Segment:
    """A time in which the shares stay. ``share`` is the new version's part of the requests, 0 to 1."""

    stage: int
    share: float
    seconds: float


@dataclass(frozen=True)
class PeriodRun:
    """``count`` equal periods after each other; the last ends within ``stage``. ``fresh`` is the number of requests
    of the new version in one of them."""

    stage: int
    count: int
    load: PeriodLoad
    seconds: float


@dataclass(frozen=True)
class AlarmSchedule:
    """The periods of one rollout. The first begins at ``begin`` (0 or less: the first shift is at 0); what is left
    after the last one is too short for another."""

    initial_mass: float
    stretches: tuple[PeriodRun, ...]
    requests_left: float
    seconds_left: float


def make_segments(plan: RolloutPlan, startup: float) -> list[Segment]:
    """From the first shift to the end of the final bake. A rolling update serves with the share it has while the
    next batch starts (``startup`` seconds)."""
    last = len(plan.stages) - 1
    return [
        Segment(number, stage.share / WHOLE, stage.bake + (startup if plan.rolling and number < last else 0.0))
        for number, stage in enumerate(plan.stages)
    ]


def duration(plan: RolloutPlan, startup: float) -> float:
    """Seconds of a rollout that goes well, from asking for it to the end of the final bake."""
    return startup + sum(segment.seconds for segment in make_segments(plan, startup))


def looks_per_period(alarm: Alarm) -> int:
    """How many times an alarm is judged within one of its periods. With 1 what is computed of it is exact. With
    more, periods of neighbouring looks overlap, and only the looks that share nothing are counted."""
    return alarm.period // INTERVALS.get(alarm.period, MINUTE)


def offsets(alarm: Alarm, parts: list[Segment]) -> tuple[float, ...]:
    """Where in a period the first shift may fall, as parts of one."""
    shortest = min((part.seconds for part in parts if part.seconds), default=0.0)
    if shortest >= MAX_OFFSET_PERIODS * alarm.period and alarm.datapoints_to_alarm > 1:
        return (0.5,)
    number = OFFSETS * min(looks_per_period(alarm), 2)
    return tuple((place + 0.5) / number for place in range(number))


def schedule_periods(alarm: Alarm, parts: list[Segment], rate: float, offset: float) -> AlarmSchedule:
    """The periods that end within the rollout, as runs of equal ones. ``rate`` is requests per second to the
    endpoint; ``offset`` says how far into a period the first shift falls."""
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
    """What a period that begins at ``at`` holds; before 0 the old version alone serves."""
    new = sum(rate * part.share * seconds for part, seconds in _overlaps(parts, ends, at, at + period))
    return PeriodLoad(new, max(0.0, rate * period - new))


def _overlaps(parts: list[Segment], ends: list[float], at: float, until: float) -> Iterator[tuple[Segment, float]]:
    begin = 0.0
    for part, end in zip(parts, ends, strict=True):
        seconds = min(end, until) - max(begin, at)
        if seconds > 0:
            yield part, seconds
        begin = end
