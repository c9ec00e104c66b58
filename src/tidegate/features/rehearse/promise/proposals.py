"""Proposes changes that let a first bake detect the wanted faults: a longer bake, a larger canary, or another alarm.
If none of these is enough: a longer bake with an alarm of longer periods, and the number of requests that are enough
for a dedicated test."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from statistics import NormalDist

from tidegate.domain.alarm import Alarm, ComparisonOperator
from tidegate.domain.metric import SAGEMAKER
from tidegate.domain.rollout import RolloutPlan, RolloutStage
from tidegate.domain.traffic import WHOLE
from tidegate.features.rehearse.promise import alarm_model
from tidegate.features.rehearse.promise.baseline import Baseline, Quantity, VersionFault
from tidegate.features.rehearse.promise.detection import AlarmWatch, RolloutSetting

MAX_BAKE = 86_400
"""Longest proposed bake in seconds."""
MAX_CANARY = 50
"""Percent."""
SHAPES = (
    *((10, 2, 3), (10, 3, 3)),
    *((60, 1, 1), (60, 2, 2), (60, 2, 3), (60, 3, 3), (60, 3, 5), (60, 5, 5), (60, 10, 10)),
)
"""Alarms to try: seconds per period, periods that must breach, periods evaluated."""

LONG_SHAPES = ((300, 2, 2), (300, 2, 3), (300, 3, 6), (900, 2, 2))
LONG_BAKES = (1800, 3600, 7200, 14_400, 28_800, 43_200, MAX_BAKE)
"""Bakes in seconds to try with long periods, for little traffic."""

MAX_EXACT_HITS = 400
"""Above this number a normal approximation is used."""
TRIED_QUANTILES = (0.5, 0.75, 0.9, 0.95, 0.98, 0.99, 0.995, 0.999)
"""Quantiles of a good version's latency that are tried as the definition of a hit."""
_NORMAL = NormalDist()


@dataclass(frozen=True)
class Proposal:
    """``what``: ``bake`` (``bake`` seconds), ``canary`` (``share`` percent), ``alarm`` (``threshold`` in the metric's
    unit, ``period`` seconds, ``datapoints`` of ``periods``), ``bake_and_alarm`` (both), or ``sample``: test so many
    ``requests`` to the new version, all those of ``bake`` seconds, on their own. ``power``: probability that the
    first bake then detects the fault; ``false_alarm``: probability that this alarm then rolls back a good version.
    ``metric`` and ``statistic`` are what the alarm watches, before and after."""

    what: str
    power: float
    false_alarm: float
    bake: int | None = None
    share: int | None = None
    threshold: float | None = None
    period: int | None = None
    periods: int | None = None
    datapoints: int | None = None
    metric: str = ""
    statistic: str = ""
    requests: int | None = None


def first_baking_stage(plan: RolloutPlan) -> int:
    """The first stage in which clients' requests are baked on the new version; the last stage if there is none."""
    return next((n for n, stage in enumerate(plan.stages) if stage.bake and stage.share), len(plan.stages) - 1)


def missing_alarm(quantity: Quantity) -> Alarm | None:
    """The alarm to add if none watches the quantity, without its threshold; None if it depends on the model."""
    watched = {
        Quantity.ERRORS: (alarm_model.ERROR_METRICS[0], "Average"),
        Quantity.REFUSALS: (alarm_model.REFUSAL_METRICS[0], "Average"),
        Quantity.LATENCY: ("ModelLatency", "p99"),
    }
    if quantity not in watched:
        return None
    metric, statistic = watched[quantity]
    dimensions = {alarm_model.VERSION: "new"}
    above = ComparisonOperator.GREATER
    return Alarm(metric, SAGEMAKER, metric, dimensions, statistic, 60, 2, 2, 1e18, above, datetime.max)


def propose(
    now: AlarmWatch, quantity: Quantity, size: float, power: float, false_alarms: float
) -> tuple[Proposal, ...]:
    """The shortest bake, the smallest canary and the best alarm that detect a fault of this size with ``power`` and
    roll back a good version with a probability of at most ``false_alarms``. Impossible ones are left out; if all are,
    the change that needs the fewest requests."""
    search = _Search(now, VersionFault.of(quantity, size), power, false_alarms)
    found = tuple(one for one in (search.bake(), search.canary(), search.alarm(quantity)) if one is not None)
    if found:
        return found
    sample = propose_sample(now.setting, quantity, size, power, false_alarms)
    both = search.bake_and_alarm(quantity, sample[0]) if sample else None
    return sample if both is None else (both, *sample)


def propose_sample(
    setting: RolloutSetting, quantity: Quantity, size: float, power: float, false_alarms: float
) -> tuple[Proposal, ...]:
    """The number of requests that a dedicated test needs; empty if no number is enough."""
    number = fewest_requests(quantity, setting.baseline, size, power, false_alarms)
    if number is None:
        return ()
    return (Proposal("sample", power, false_alarms, requests=number, bake=math.ceil(number / setting.rate)),)


def solve_alarm(
    now: AlarmWatch,
    quantity: Quantity,
    size: float,
    power: float,
    false_alarms: float,
    shapes: Sequence[tuple[int, int, int]],
) -> Proposal | None:
    """The first of the ``shapes`` (seconds per period, periods that must breach, periods evaluated) that detects a
    fault of this size in the first bake with ``power``, at the lowest threshold that rolls back a good version with a
    probability of at most ``false_alarms``; where none does, the alarm that detects it most often. None if every
    threshold of every shape rolls back good versions more often."""
    search = _Search(now, VersionFault.of(quantity, size), power, false_alarms)
    bake = search._stage().bake
    fitting = [shape for shape in shapes if shape[0] * shape[2] <= max(bake, shape[0])]
    for wanted in (power, 0.0):
        found = (replace(search, power=wanted)._shaped(quantity, *shape) for shape in fitting)
        if wanted:
            best = next((one for one in found if one is not None), None)
        else:
            best = max((one for one in found if one is not None), key=lambda one: one.power, default=None)
        if best is not None:
            return best
    return None


@dataclass(frozen=True)
class _Search:
    now: AlarmWatch
    fault: VersionFault
    power: float
    false_alarms: float

    def bake(self) -> Proposal | None:
        period = self.now.alarm.period
        stage = self._stage()
        steps = _smallest_holding(
            1, MAX_BAKE // period, lambda n: self._is_detectable(self.now.alarm, stage.share, n * period)
        )
        return (
            None
            if steps is None
            else self._propose("bake", replace(stage, bake=steps * period), bake=steps * period)
        )

    def canary(self) -> Proposal | None:
        stage = self._stage()
        if not stage.bake or self.now.setting.plan.rolling:
            return None
        percent = _smallest_holding(
            1, MAX_CANARY, lambda n: self._is_detectable(self.now.alarm, n * WHOLE // 100, stage.bake)
        )
        if percent is None or percent * WHOLE // 100 <= stage.share:
            return None
        return self._propose("canary", replace(stage, share=percent * WHOLE // 100), share=percent)

    def alarm(self, quantity: Quantity) -> Proposal | None:
        made = (self._shaped(quantity, *shape) for shape in SHAPES)
        return max((one for one in made if one is not None), key=lambda one: one.power, default=None)

    def bake_and_alarm(self, quantity: Quantity, sample: Proposal) -> Proposal | None:
        """The shortest of some bakes for which there is an alarm. No alarm needs fewer requests than a dedicated
        test, the ``sample``."""
        now, stage = self.now, self._stage()
        if sample.requests is None or now.setting.plan.rolling:
            return None
        least = sample.requests / (now.setting.rate * stage.share / WHOLE)
        for bake in LONG_BAKES:
            if bake <= stage.bake or bake < least:
                continue
            setting = replace(now.setting, plan=self._change_first_bake(replace(stage, bake=bake)))
            longer = replace(self, now=AlarmWatch(now.alarm, setting))
            made = (longer._shaped(quantity, *shape) for shape in LONG_SHAPES if shape[0] * shape[2] <= bake)
            if found := next((one for one in made if one is not None), None):
                return replace(found, what="bake_and_alarm", bake=bake)
        return None

    def _shaped(self, quantity: Quantity, period: int, datapoints: int, periods: int) -> Proposal | None:
        """The lowest threshold that keeps false alarms rare, if it still detects the fault."""
        shape = replace(self.now.alarm, period=period, datapoints_to_alarm=datapoints, evaluation_periods=periods)
        if not alarm_model.is_exact(shape):
            return None
        ladder = list(_candidate_thresholds(shape, quantity, self.now.setting.baseline, self.fault))
        stage = self._stage()
        if self._detection_chance(replace(shape, threshold=ladder[0]), stage.share, stage.bake) < self.power:
            return None  # higher thresholds detect less

        def rare(place: int) -> bool:
            alarm = replace(shape, threshold=ladder[place])
            return AlarmWatch(alarm, self.now.setting).false_alarm() <= self.false_alarms

        place = _smallest_holding(0, len(ladder) - 1, rare)
        if place is None:
            return None
        alarm = replace(shape, threshold=ladder[place])
        chance = self._detection_chance(alarm, stage.share, stage.bake)
        if chance < self.power:
            return None
        false = AlarmWatch(alarm, self.now.setting).false_alarm()
        return replace(
            self._proposal("alarm", chance, false),
            threshold=alarm.threshold,
            period=period,
            periods=periods,
            datapoints=datapoints,
        )

    def _proposal(self, what: str, chance: float, false: float) -> Proposal:
        watched = self.now.alarm
        return Proposal(what, chance, false, metric=watched.metric, statistic=watched.statistic)

    def _propose(
        self, what: str, stage: RolloutStage, *, bake: int | None = None, share: int | None = None
    ) -> Proposal | None:
        changed = replace(self.now.setting, plan=self._change_first_bake(stage))
        false = AlarmWatch(self.now.alarm, changed).false_alarm()
        if false > self.false_alarms:
            return None
        chance = self._detection_chance(self.now.alarm, stage.share, stage.bake)
        return replace(self._proposal(what, chance, false), bake=bake, share=share)

    def _change_first_bake(self, stage: RolloutStage) -> RolloutPlan:
        """The plan with a different first bake."""
        plan, place = self.now.setting.plan, first_baking_stage(self.now.setting.plan)
        return replace(plan, stages=(*plan.stages[:place], stage, *plan.stages[place + 1 :]))

    def _stage(self) -> RolloutStage:
        plan = self.now.setting.plan
        return plan.stages[first_baking_stage(plan)]

    def _is_detectable(self, alarm: Alarm, share: int, bake: int) -> bool:
        return self._detection_chance(alarm, share, bake) >= self.power

    def _detection_chance(self, alarm: Alarm, share: int, bake: int) -> float:
        plan = RolloutPlan(stages=(RolloutStage(share, bake),))
        setting = RolloutSetting(plan, self.now.setting.rate, self.now.setting.baseline, self.now.setting.startup)
        return AlarmWatch(alarm, setting).by_stage(self.fault)[0]


def _smallest_holding(low: int, high: int, holds: Callable[[int], bool]) -> int | None:
    """The smallest number for which ``holds`` is true, if it is true for all larger ones."""
    if high < low or not holds(high):
        return None
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if holds(middle) else (middle + 1, high)
    return high


def _candidate_thresholds(
    alarm: Alarm, quantity: Quantity, good: Baseline, fault: VersionFault
) -> Iterator[float]:
    """Round thresholds from normal values to beyond the wanted fault: few requests can look worse by chance."""
    start, end = (_limit_value(alarm, quantity, side) for side in (good, good.with_fault(fault)))
    steps = 40
    for step in range(1, 2 * steps + 1):
        yield _round(start + (end - start) * step / steps, abs(end - start))


def _limit_value(alarm: Alarm, quantity: Quantity, side: Baseline) -> float:
    """The alarm's statistic in the limit of very many requests."""
    match quantity:
        case Quantity.ERRORS | Quantity.REFUSALS:
            return side.rate(quantity)
        case Quantity.PREDICTIONS:
            assert side.predictions is not None
            return side.predictions.mean
        case Quantity.LATENCY:
            assert side.latency is not None
            part = float(alarm.statistic[1:]) / 100 if alarm.statistic.startswith("p") else 0.99
            return side.latency.quantile(min(part, 1 - 1e-9))


def _round(value: float, scale: float) -> float:
    """Round to two digits of ``scale``, for readability."""
    digits = 1 - math.floor(math.log10(scale))
    return round(value, digits)


def fewest_requests(
    quantity: Quantity, good: Baseline, size: float, power: float, false_alarms: float
) -> int | None:
    """Requests of the new version that reveal a fault of ``size`` with ``power``, while a good version is rejected
    with a probability of at most ``false_alarms``. None if no number is enough, or the baseline is unknown.

    All requests form one period: of ``n`` requests a Poisson number are hits (errors, or slower than some latency),
    and the version is bad if there are ``k`` or more."""
    bad = good.with_fault(VersionFault.of(quantity, size))
    if quantity is Quantity.PREDICTIONS:
        scores = _NORMAL.inv_cdf(power) - _NORMAL.inv_cdf(false_alarms)
        return max(1, math.ceil(scores**2 / abs(size)))
    if quantity.is_rate:
        return _fewest_for_hits(good.rate(quantity), bad.rate(quantity), power, false_alarms)
    if good.latency is None or bad.latency is None:
        return None
    times = [good.latency.quantile(part) for part in TRIED_QUANTILES]
    pairs = [(good.latency.slower_than(time), bad.latency.slower_than(time)) for time in times]
    found = [_fewest_for_hits(one, other, power, false_alarms) for one, other in pairs]
    return min((n for n in found if n is not None), default=None)


def _fewest_for_hits(good: float, bad: float, power: float, false_alarms: float) -> int | None:
    """``good`` and ``bad`` are the fractions of requests that are hits."""
    if bad <= good:
        return None
    low, high = 1, MAX_EXACT_HITS
    if _requests_for_hits(high, good, bad, power, false_alarms) is None:
        score = _NORMAL.inv_cdf(power) * math.sqrt(bad) - _NORMAL.inv_cdf(false_alarms) * math.sqrt(good)
        return math.ceil((score / (bad - good)) ** 2)
    while low < high:
        middle = (low + high) // 2
        low, high = (
            (low, middle) if _requests_for_hits(middle, good, bad, power, false_alarms) else (middle + 1, high)
        )
    return _requests_for_hits(high, good, bad, power, false_alarms)


def best_power(count: int, good: float, bad: float, false_alarms: float) -> float:
    """The most power that any test of ``count`` requests has against ``bad``, the part of hits of a bad version,
    while it rejects a good version, with ``good`` of them, with a probability of at most ``false_alarms``.

    Neyman and Pearson (Phil. Trans. R. Soc. A 231, 1933): the ratio of the likelihoods grows with the number of hits,
    so the best test rejects above some number, and at it as often as the false alarms leave room.
    """
    false = power = 0.0
    for hits in range(count, -1, -1):
        here = _binomial(hits, count, good)
        if false + here > false_alarms:
            return power + _binomial(hits, count, bad) * (false_alarms - false) / here
        false, power = false + here, power + _binomial(hits, count, bad)
    return 1.0


def _binomial(hits: int, count: int, part: float) -> float:
    """The probability of ``hits`` among ``count``."""
    if part in (0.0, 1.0):
        return float(hits == count * part)
    ways = math.lgamma(count + 1) - math.lgamma(hits + 1) - math.lgamma(count - hits + 1)
    return math.exp(ways + hits * math.log(part) + (count - hits) * math.log1p(-part))


def _requests_for_hits(hits: int, good: float, bad: float, power: float, false_alarms: float) -> int | None:
    """Requests of which at least ``hits`` are hits of a bad version with ``power``; None if a good version has as
    many too often."""
    low, high = 0.0, 2.0 * hits + 50.0
    while high - low > 1e-6 * high:
        middle = (low + high) / 2
        low, high = (low, middle) if _poisson_tail(hits, middle) >= power else (middle, high)
    number = math.ceil(high / bad)
    return number if _poisson_tail(hits, number * good) <= false_alarms else None


def _poisson_tail(hits: int, mean: float) -> float:
    """Probability that a Poisson number with this mean is at least ``hits``."""
    term = less = math.exp(-mean)
    for count in range(1, hits):
        term *= mean / count
        less += term
    return max(0.0, 1.0 - less)
