"""One alarm during one rollout: the probability that it has fired by the end of each stage, and how soon it fires."""

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from tidegate.domain.alarm import Alarm
from tidegate.domain.evidence import Comparison
from tidegate.domain.rollout import RolloutPlan
from tidegate.features.rehearse.promise import alarm_model, schedule
from tidegate.features.rehearse.promise.alarm_markov import NEGLIGIBLE_GAPS, build_chain
from tidegate.features.rehearse.promise.baseline import HEALTHY, Baseline, Quantity, VersionFault

MAX_FAULT = {Quantity.ERRORS: 1.0, Quantity.REFUSALS: 1.0, Quantity.LATENCY: 1e11, Quantity.PREDICTIONS: 100.0}
"""The largest faults that the search tries."""
MIN_FAULT = {Quantity.ERRORS: 1e-7, Quantity.REFUSALS: 1e-7, Quantity.LATENCY: 1.0, Quantity.PREDICTIONS: 1e-8}
TOLERANCE = 1.002
"""Relative precision of a smallest fault."""
DEFAULT_POWER = 0.95
"""Default probability with which a fault must be detected."""
DEFAULT_FALSE_ALARMS = 0.01
"""Default limit of the probability that a whole rollout rolls back a good version."""


@dataclass(frozen=True)
class PromiseTerms:
    """Conditions besides the plan. ``startup``: seconds until a batch of instances is ready. ``parts``: variant ->
    fraction of the requests, if there are several."""

    power: float = DEFAULT_POWER
    false_alarms: float = DEFAULT_FALSE_ALARMS
    startup: float = 30.0
    parts: Mapping[str, float] = field(default_factory=dict)
    pipeline: bool = False
    """The model has stages."""
    possible: frozenset[Comparison] = frozenset(Comparison)
    """What the target can compare."""
    replays: bool = True
    """Whether the target can replay labelled rows, and knows late labels."""


@dataclass(frozen=True)
class RolloutSetting:
    """Conditions of a rollout. ``rate``: requests per second to what the alarm watches, old and new version
    together."""

    plan: RolloutPlan
    rate: float
    baseline: Baseline
    startup: float = 30.0


@dataclass(frozen=True)
class Detection:
    """``by_stage``: probability that the alarm has fired by the end of each stage. ``requests`` of the new version
    until then, or until the end of the rollout: mean, and 95th percentile of rollouts (None: more than 5 of 100 are
    not rolled back at all). ``seconds``: the same for the time since the first shift."""

    by_stage: tuple[float, ...]
    requests: float
    most_requests: float | None
    seconds: float
    most_seconds: float | None


@dataclass
class AlarmWatch:
    """An alarm during a plan's rollout. Results are cached; ``setting.baseline`` must contain what the alarm
    needs."""

    alarm: Alarm
    setting: RolloutSetting
    _known: dict[VersionFault, tuple[list[float], Iterator[float]]] = field(default_factory=dict)
    """Probabilities by stage, as far as they were asked for, and those to come."""
    _periods: dict[tuple[alarm_model.PeriodLoad, VersionFault], alarm_model.PeriodChances] = field(
        default_factory=dict
    )
    """Most schedules of an alarm have the same loads."""

    def __post_init__(self) -> None:
        self._parts = schedule.make_segments(self.setting.plan, self.setting.startup)
        offsets = schedule.offsets(self.alarm, self._parts)
        rate = self.setting.rate
        self._ways = [schedule.schedule_periods(self.alarm, self._parts, rate, offset) for offset in offsets]
        fewest = min((s.load.new for way in self._ways for s in way.stretches), default=0.0)
        old = not alarm_model.sees_new_version_only(self.alarm)
        gaps = math.exp(-(rate * self.alarm.period if old else fewest)) > NEGLIGIBLE_GAPS
        self.memory = build_chain(self.alarm, gaps=gaps, history=old)
        self.exact = (
            self.memory.exact and alarm_model.is_exact(self.alarm) and schedule.looks_per_period(self.alarm) == 1
        )
        self.exact = self.exact and not self.alarm.ignore_low_samples

    def by_stage(self, fault: VersionFault) -> tuple[float, ...]:
        """Probability that the alarm has fired by the end of each stage."""
        return tuple(self._iterate_stages(fault, len(self.setting.plan.stages)))

    def _iterate_stages(self, fault: VersionFault, count: int) -> Iterator[float]:
        """Yield the probabilities of the first ``count`` stages, each computed when it is asked for."""
        if fault not in self._known:
            ways = [self._follow(way, fault) for way in self._ways]
            self._known[fault] = [], (sum(column) / len(ways) for column in zip(*ways, strict=True))
        known, coming = self._known[fault]
        for stage in range(count):
            if stage == len(known):
                known.append(next(coming))
            yield known[stage]

    def false_alarm(self) -> float:
        """Probability of rolling back a good version. An upper bound if looks overlap: it adds up a chain of disjoint
        looks for each possible start of its periods."""
        return min(1.0, self.by_stage(HEALTHY)[-1] * schedule.looks_per_period(self.alarm))

    def smallest(self, quantity: Quantity, stage: int, power: float) -> float | None:
        """The smallest fault that fires the alarm by the end of ``stage`` with this probability; None if none
        does."""
        sign = (
            -1.0 if quantity is Quantity.PREDICTIONS and self.alarm.comparison not in alarm_model.UPWARD else 1.0
        )

        def seen(size: float) -> bool:
            chances = self._iterate_stages(VersionFault.of(quantity, sign * size), stage + 1)
            return any(chance >= power for chance in chances)

        low, high = MIN_FAULT[quantity], MAX_FAULT[quantity]
        if quantity.is_rate:
            high = 1.0 - self.setting.baseline.rate(quantity)
        if not seen(high):
            return None
        if seen(low):
            return low
        while high / low > TOLERANCE:
            middle = math.sqrt(low * high)
            low, high = (low, middle) if seen(middle) else (middle, high)
        return high

    def detect(self, fault: VersionFault) -> Detection:
        """Compute how soon the fault is detected, period by period."""
        ways = [self._trace(way, fault) for way in self._ways]
        share = 1 / len(ways)
        moments = sorted((at, requests, chance * share) for way in ways for at, requests, chance in way.moments)
        gone = sum(chance for _, _, chance in moments)
        most = _time_of_part(
            ((requests, chance) for _, requests, chance in sorted(moments, key=lambda m: m[1])), gone
        )
        latest = _time_of_part(((at, chance) for at, _, chance in moments), gone)
        return Detection(
            by_stage=self.by_stage(fault),
            requests=sum(way.requests for way in ways) * share,
            most_requests=most,
            seconds=sum(way.seconds for way in ways) * share,
            most_seconds=latest,
        )

    def _follow(self, way: schedule.AlarmSchedule, fault: VersionFault) -> Iterator[float]:
        mass, memory = self.memory.initial_mass(), self.memory
        bad = self.setting.baseline.with_fault(fault)
        left = sum(mass)
        place = 0
        for stretch in way.stretches:
            while place < stretch.stage:
                yield min(1.0, max(0.0, 1 - left))
                place += 1
            if left > 1e-12:
                mass = memory.advance_many(mass, self._chances(stretch.load, fault, bad), stretch.count)
                left = sum(mass)
        for _ in self.setting.plan.stages[place:]:
            yield min(1.0, max(0.0, 1 - left))

    def _chances(
        self, load: alarm_model.PeriodLoad, fault: VersionFault, bad: Baseline
    ) -> alarm_model.PeriodChances:
        if (load, fault) not in self._periods:
            found = alarm_model.period_chances(self.alarm, load, bad, self.setting.baseline)
            self._periods[load, fault] = found
        return self._periods[load, fault]

    def _trace(self, way: schedule.AlarmSchedule, fault: VersionFault) -> "_Trace":
        """Follow the rollout period by period."""
        bad = self.setting.baseline.with_fault(fault)
        mass = self.memory.initial_mass()
        at, requests, alive, moments = way.initial_mass, 0.0, sum(mass), list[tuple[float, float, float]]()
        mean_requests, mean_seconds = 0.0, way.initial_mass * alive
        for stretch in way.stretches:
            chances = self._chances(stretch.load, fault, bad)
            for _ in range(stretch.count):
                at += stretch.seconds
                requests += stretch.load.new
                mean_requests += alive * stretch.load.new
                mean_seconds += alive * stretch.seconds
                mass = self.memory.advance(mass, chances) if alive > 1e-9 else []
                left = sum(mass)
                moments.append((at, requests, alive - left))
                alive = left
        return _Trace(
            tuple(moments), mean_requests + alive * way.requests_left, mean_seconds + alive * way.seconds_left
        )


@dataclass(frozen=True)
class _Trace:
    """``moments``: (seconds since the first shift, requests until then, probability of detection at that time)."""

    moments: tuple[tuple[float, float, float], ...]
    requests: float
    seconds: float


def _time_of_part(rising: Iterable[tuple[float, float]], gone: float, part: float = 0.95) -> float | None:
    if gone < part:
        return None
    total = 0.0
    for value, chance in rising:
        total += chance
        if total >= part:
            return value
    return None
