"""A model of alarms in terms of requests: which requests are hits, and how likely one period breaches.

An alarm on a percentile is an alarm on a rate: p99 is above 300 ms exactly when more than 1 % of the requests are
slower (nearest rank, ``monitoring.sketch.percentile``). Errors and percentiles therefore use the same sum.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import NormalDist

from tidegate.domain.alarm import COMPARISONS, Alarm, ComparisonOperator
from tidegate.features.rehearse.promise import distributions
from tidegate.features.rehearse.promise.baseline import Baseline, LatencyDistribution, Quantity
from tidegate.monitoring import sketch
from tidegate.monitoring.samples import PERCENTILE, parse_trimmed

ERROR_METRICS = ("Invocation5XXErrors", "InvocationModelErrors")
REFUSAL_METRICS = ("Invocation4XXErrors",)
LATENCY_METRICS = ("ModelLatency",)
MODELLED_METRICS = (*ERROR_METRICS, *REFUSAL_METRICS, *LATENCY_METRICS)
REQUESTS = "Invocations"
VERSION, VARIANT, ENDPOINT = "EndpointConfigName", "VariantName", "EndpointName"
ASSUMED_SIGMA = 0.5
"""Standard deviation of the logarithm of latencies; p99 is then 3.2 times the median."""
UPWARD = (ComparisonOperator.GREATER, ComparisonOperator.GREATER_OR_EQUAL)
OPPOSITE = {
    ComparisonOperator.LESS: ComparisonOperator.GREATER_OR_EQUAL,
    ComparisonOperator.LESS_OR_EQUAL: ComparisonOperator.GREATER,
}


@dataclass(frozen=True)
class PeriodLoad:
    """Expected requests of each version in one period."""

    new: float
    old: float = 0.0


@dataclass(frozen=True)
class PeriodChances:
    """Probabilities that one period breaches, and that it has no data."""

    breach: float
    nothing: float


def watched_quantity(alarm: Alarm) -> Quantity | None:
    """Return the quantity that the alarm watches; None for alarms that no modelled fault affects (CPU, request
    counts, models), and for metric math, composite alarms and trimmed statistics."""
    if alarm.queries or alarm.rule or parse_trimmed(alarm.statistic) is not None:
        return None
    if set(alarm.dimensions) - {VERSION, VARIANT, ENDPOINT} and alarm.metric in MODELLED_METRICS:
        return None
    if alarm.metric in ERROR_METRICS:
        return Quantity.ERRORS
    if alarm.metric in REFUSAL_METRICS:
        return Quantity.REFUSALS
    if alarm.metric in LATENCY_METRICS:
        return Quantity.LATENCY
    return None if alarm.namespace.lower().startswith(("aws/", "/aws/")) else Quantity.PREDICTIONS


def sees_new_version_only(alarm: Alarm) -> bool:
    """Whether the alarm gets only the new version's requests. A custom metric contains whatever the user puts, which
    is taken to be the new version's."""
    return VERSION in alarm.dimensions or watched_quantity(alarm) is Quantity.PREDICTIONS


def unknown_reason(alarm: Alarm, baseline: Baseline) -> str | None:
    """Return why the alarm cannot be modelled; None if it can."""
    match watched_quantity(alarm):
        case None:
            if parse_trimmed(alarm.statistic) is not None:
                return f"the statistic {alarm.statistic} is not modelled, only simple ones and percentiles"
            what = alarm.metric or ("a composite alarm" if alarm.rule else "metric math")
            return f"{what} is not a metric of errors, refusals, latency or predictions"
        case Quantity.LATENCY if baseline.latency is None:
            return "the latency of a good version is not given"
        case Quantity.PREDICTIONS if baseline.predictions is None:
            return "the predictions of a good version are not given"
        case Quantity.PREDICTIONS if alarm.statistic != "Average":
            return f"for predictions only the Average is supported, not {alarm.statistic}"
    return None


def assume_latency(alarms: Sequence[Alarm]) -> LatencyDistribution | None:
    """Return a latency distribution to assume if none is given: log-normal, with the strictest latency alarm's
    statistic at half of its threshold. None without such an alarm."""
    watching = [a for a in alarms if watched_quantity(a) is Quantity.LATENCY and a.threshold > 0]
    strictest = min(watching, key=lambda a: a.threshold, default=None)
    if strictest is None:
        return None
    percent = PERCENTILE.fullmatch(strictest.statistic)
    part = 0.5 if percent is None else min(0.9999, max(0.0001, float(percent[1]) / 100))
    median = strictest.threshold / 2 / math.exp(ASSUMED_SIGMA * NormalDist().inv_cdf(part))
    return LatencyDistribution.lognormal(median, median * math.exp(ASSUMED_SIGMA * NormalDist().inv_cdf(0.99)))


def is_exact(alarm: Alarm) -> bool:
    """Whether ``period_chances`` is exact."""
    return not (watched_quantity(alarm) is Quantity.LATENCY and alarm.statistic in ("Average", "Sum"))


def period_chances(alarm: Alarm, load: PeriodLoad, new: Baseline, old: Baseline) -> PeriodChances:
    """Return the probabilities of one period with this load. ``unknown_reason(alarm, ...)`` must be None."""
    load = PeriodLoad(load.new) if sees_new_version_only(alarm) else load
    requests = load.new + load.old
    if requests <= 0:
        return PeriodChances(0.0, 1.0)
    nothing = math.exp(-requests)
    upward = alarm.comparison if alarm.comparison in UPWARD else OPPOSITE[alarm.comparison]
    rises = _probability_above(alarm, upward, load, new, old)
    if alarm.comparison in UPWARD:
        return PeriodChances(rises, nothing)
    return PeriodChances(max(0.0, 1 - nothing - rises), nothing)


def _probability_above(
    alarm: Alarm, upward: ComparisonOperator, load: PeriodLoad, new: Baseline, old: Baseline
) -> float:
    match watched_quantity(alarm), alarm.statistic:
        case _, "SampleCount":
            return distributions.breach_probability(
                load.new + load.old, 0.0, lambda h, _: upward.breaches(h, alarm.threshold)
            )
        case Quantity.PREDICTIONS, _:
            return _probability_mean_above(alarm, load, new, old)
        case Quantity.LATENCY, "Average" | "Sum":
            return _probability_mean_above(alarm, load, new, old)
        case _:
            hits = load.new * _hit_rate(alarm, upward, new) + load.old * _hit_rate(alarm, upward, old)
            others = max(0.0, load.new + load.old - hits)
            return distributions.breach_probability(hits, others, _breach_test(alarm, upward))


def _hit_rate(alarm: Alarm, upward: ComparisonOperator, side: Baseline) -> float:
    """Return the fraction of requests that are hits: errors, refusals, or slower than the threshold as the sketch
    shows it."""
    if (what := watched_quantity(alarm)) is not None and what.is_rate:
        return side.rate(what)
    assert side.latency is not None
    if alarm.statistic in ("Minimum", "Maximum"):
        return side.latency.slower_than(alarm.threshold)
    return side.latency.slower_than(slow_threshold(alarm.threshold, upward))


def slow_threshold(threshold: float, upward: ComparisonOperator) -> float:
    """Return the latency from which on the sketch's value breaches: within 1 % of the threshold."""
    if threshold <= 0:
        return threshold
    key = sketch.index(threshold) - 2
    while not upward.breaches(sketch.value(key), threshold):
        key += 1
    return sketch.highest(key - 1)


def _breach_test(alarm: Alarm, upward: ComparisonOperator) -> Callable[[int, int], bool]:
    """Return a test whether a period with so many hits and other requests breaches."""
    errors = (what := watched_quantity(alarm)) is not None and what.is_rate
    limit, percent = alarm.threshold, PERCENTILE.fullmatch(alarm.statistic)
    if percent is not None:
        high, low = (upward.breaches(value, limit) if errors else value > 0 for value in (1.0, 0.0))
        part = float(percent[1]) / 100
        return lambda hits, others: high if others < math.ceil(part * (hits + others)) else low
    value = _VALUES[alarm.statistic]
    compare = COMPARISONS[upward]
    if errors and alarm.statistic == "Average":
        return lambda hits, others: compare(hits / (hits + others), limit) if hits else compare(0.0, limit)
    if errors:
        return lambda hits, others: compare(value(hits, others), limit)
    return lambda hits, others: value(hits, others) > 0


_VALUES: dict[str, Callable[[int, int], float]] = {
    "Average": lambda hits, others: hits / (hits + others) if hits else 0.0,
    "Sum": lambda hits, others: float(hits),
    "Maximum": lambda hits, others: 1.0 if hits else 0.0,
    "Minimum": lambda hits, others: 1.0 if hits and not others else 0.0,
}


def _probability_mean_above(alarm: Alarm, load: PeriodLoad, new: Baseline, old: Baseline) -> float:
    requests = load.new + load.old
    sides = [(load.new / requests, *_moments(alarm, new)), (load.old / requests, *_moments(alarm, old))]
    mean = sum(part * each for part, each, _ in sides)
    square = sum(part * (each**2 + deviation**2) for part, each, deviation in sides)
    deviation = math.sqrt(max(1e-300, square - mean**2))
    if alarm.statistic == "Sum":  # sum of a Poisson number of values: variance = number x mean square
        return NormalDist(requests * mean, math.sqrt(requests * square)).cdf(2 * requests * mean - alarm.threshold)
    return distributions.mean_exceeds_probability(requests, mean, deviation, alarm.threshold)


def _moments(alarm: Alarm, side: Baseline) -> tuple[float, float]:
    if watched_quantity(alarm) is Quantity.PREDICTIONS:
        assert side.predictions is not None
        return side.predictions.mean, side.predictions.deviation
    assert side.latency is not None
    return side.latency.moments
