"""The number of requests that a dedicated test, without alarms, needs to tell a bad version from a good one. Pure.

All requests form one period: of ``n`` requests a Poisson number are hits (errors, or slower than some latency), and
the version is bad if there are ``k`` or more. Finds the smallest number of requests for which such a ``k`` exists.
"""

import math
from statistics import NormalDist

from tidegate.features.rehearse.promise.baseline import Baseline, Quantity, VersionFault

MAX_EXACT_HITS = 400
"""Above this number a normal approximation is used."""
TRIED_QUANTILES = (0.5, 0.75, 0.9, 0.95, 0.98, 0.99, 0.995, 0.999)
"""Quantiles of a good version's latency that are tried as the definition of a hit."""
_NORMAL = NormalDist()


def fewest_requests(
    quantity: Quantity, good: Baseline, size: float, power: float, false_alarms: float
) -> int | None:
    """Requests of the new version that reveal a fault of ``size`` with ``power``, while a good version is rejected
    with a probability of at most ``false_alarms``. None if no number is enough, or the baseline is unknown."""
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
