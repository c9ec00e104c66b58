"""Evaluates alarms over drawn requests, with the real samples, statistics and rules of ``monitoring``, period by
period.

Nothing is evaluated twice: equal periods have equal values, and while an alarm is OK and all periods that it sees are
fine and have data, the result can only be OK again and is not computed.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import reduce

from tidegate.domain.alarm import Alarm, AlarmState
from tidegate.domain.metric import MetricId, Sample
from tidegate.features.rehearse.promise import Baseline, LatencyDistribution, Quantity, alarm_model
from tidegate.features.rehearse.rehearsal.sampling import FINE_CUTS, NOTHING, DrawnRequests, LatencyKind
from tidegate.monitoring import sketch
from tidegate.monitoring.alarm_evaluation import EXTRA, INTERVALS, MINUTE, evaluate
from tidegate.monitoring.samples import Datapoint, datapoint
from tidegate.simulation.world import START

PeriodRequests = tuple[DrawnRequests, DrawnRequests]
"""Requests of the new and the old version in one period."""
PeriodCache = dict[object, tuple[Datapoint | None, bool]]
"""Datapoint of a period, and whether it is notable: it breaches or is missing."""
MAX_CACHED = 100_000
"""Maximum number of cached period values."""
_METRIC = MetricId("", "")


def is_simulated(alarm: Alarm, baseline: Baseline) -> bool:
    """Whether drawn requests affect the alarm; others stay OK."""
    return alarm_model.unknown_reason(alarm, baseline) is None or alarm.metric == alarm_model.REQUESTS


def look_interval(alarm: Alarm) -> int:
    """Seconds between evaluations of the alarm."""
    return INTERVALS.get(alarm.period, MINUTE)


def latency_cuts(alarm: Alarm, spreads: Sequence[LatencyDistribution]) -> list[float]:
    """Latencies that this alarm must distinguish."""
    if alarm_model.watched_quantity(alarm) is not Quantity.LATENCY:
        return []
    if alarm.statistic in ("Average", "Sum"):
        return [spread.quantile(part) for spread in spreads for part in FINE_CUTS if part > 0]
    if alarm.statistic in ("Minimum", "Maximum"):
        return [alarm.threshold]
    upward = alarm_model.OPPOSITE.get(alarm.comparison, alarm.comparison)
    return [alarm_model.slow_threshold(alarm.threshold, upward)]


@dataclass
class ReplayedAlarm:
    """One alarm over time. ``cells``: number of drawn intervals per period; ``kinds``: latency kinds of the new and
    the old version's requests."""

    alarm: Alarm
    cells: int
    kinds: tuple[Sequence[LatencyKind], Sequence[LatencyKind]]
    remembered: PeriodCache = field(default_factory=dict)
    """Can be shared by the runs of one rehearsal."""

    def __post_init__(self) -> None:
        self.every = look_interval(self.alarm)
        self._stride = self.alarm.period // self.every
        self._length = (self.alarm.evaluation_periods + EXTRA - 1) * self._stride + 1
        self._new_only = alarm_model.sees_new_version_only(self.alarm)
        self._quantity = alarm_model.watched_quantity(self.alarm)
        start = None if self._new_only else self._fine()
        self._points: list[Datapoint | None] = [start] * self._length
        self._odd = 0
        """Evaluations since a period that breached or had no data came into the window."""
        if self._new_only:
            self._odd = self._length
            self.alarm = evaluate(self.alarm, self._visible_points(), START)
        else:
            self.alarm = replace(self.alarm, state=AlarmState.OK)

    def look(self, cells: Sequence[PeriodRequests], at: float) -> bool:
        """Evaluate after the newest of ``cells``, ``at`` seconds from the start; returns whether the state
        changed."""
        new, old = cells[-1] if self.cells == 1 else _add_cells(cells[-self.cells :])
        point, odd = self._value(new, NOTHING if self._new_only else old)
        self._points.append(point)
        if odd:
            self._odd = self._length
        elif self._odd:
            self._odd -= 1
        if not self._odd and self.alarm.state is AlarmState.OK:
            return False
        before = self.alarm.state
        self.alarm = evaluate(self.alarm, self._visible_points(), START + timedelta(seconds=at))
        return self.alarm.state is not before

    def _visible_points(self) -> list[Datapoint | None]:
        if len(self._points) > 100 * self._length:
            del self._points[: -self._length]
        return self._points[-self._length :: self._stride]

    def _fine(self) -> Datapoint:
        limit = self.alarm.threshold
        sides = (limit - max(1.0, abs(limit)), limit + max(1.0, abs(limit)))
        return Datapoint(0, next(side for side in sides if not self.alarm.comparison.breaches(side, limit)), 1e18)

    def _value(self, new: DrawnRequests, old: DrawnRequests) -> tuple[Datapoint | None, bool]:
        key: object
        if self._quantity is Quantity.LATENCY:
            key = (new.kinds, old.kinds)
        elif self._quantity is Quantity.PREDICTIONS:
            return self._add_point(new, old)
        else:
            key = (new.requests, new.errors, new.refused, old.requests, old.errors, old.refused)
        if key not in self.remembered:
            if len(self.remembered) > MAX_CACHED:
                self.remembered.clear()
            self.remembered[key] = self._add_point(new, old)
        return self.remembered[key]

    def _add_point(self, new: DrawnRequests, old: DrawnRequests) -> tuple[Datapoint | None, bool]:
        point = datapoint(0, self._sample(new, old), self.alarm.statistic)
        return point, point is None or self.alarm.comparison.breaches(point.value, self.alarm.threshold)

    def _sample(self, new: DrawnRequests, old: DrawnRequests) -> Sample | None:
        requests = new.requests + old.requests
        if not requests:
            return None
        match self._quantity:
            case Quantity.LATENCY:
                return _latency_sample([(new, self.kinds[0]), (old, self.kinds[1])])
            case Quantity.PREDICTIONS:
                mean = new.predictions / requests
                return Sample(_METRIC, 0, requests, new.predictions, mean, mean)
            case Quantity.ERRORS:
                errors = new.errors + old.errors
                return _make_sample({0.0: requests - errors, 1.0: errors})
            case Quantity.REFUSALS:
                refused = new.refused + old.refused
                return _make_sample({0.0: requests - refused, 1.0: refused})
        return _make_sample({1.0: requests})


def _add_cells(cells: Sequence[PeriodRequests]) -> PeriodRequests:
    return reduce(DrawnRequests.plus, (new for new, _ in cells)), reduce(
        DrawnRequests.plus, (old for _, old in cells)
    )


def _make_sample(values: dict[float, int]) -> Sample:
    found = {value: float(count) for value, count in values.items() if count}
    bins = sketch.merge({sketch.index(value): count} for value, count in found.items())
    total = sum(value * count for value, count in found.items())
    return Sample(_METRIC, 0, sum(found.values()), total, min(found), max(found), bins)


def _latency_sample(sides: Sequence[tuple[DrawnRequests, Sequence[LatencyKind]]]) -> Sample:
    """Counts each kind's requests in the bin of their mean. The extremes are those of the means or of the bins,
    whichever are farther out, so that they move no percentile out of its bin."""
    there = [(n, kind.latency) for drawn, known in sides for n, kind in zip(drawn.kinds, known, strict=False) if n]
    bins = sketch.merge({sketch.index(latency): float(n)} for n, latency in there)
    shown = [sketch.value(key) for key in bins]
    low, high = min(latency for _, latency in there), max(latency for _, latency in there)
    total = sum(n * latency for n, latency in there)
    return Sample(_METRIC, 0, sum(bins.values()), total, min(low, *shown), max(high, *shown), bins)
