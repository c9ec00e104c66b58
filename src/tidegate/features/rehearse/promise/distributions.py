"""Probabilities of counts: how many of a period's requests are hits, and how likely a condition on them is.

Requests arrive independently, so their number in a period is Poisson distributed; and splitting a Poisson stream by
independent coin tosses gives independent Poisson streams (Kingman, "Poisson Processes", 1993, chapter 5). Hits and
other requests are therefore independent, and a binomial tail over an unknown number of requests becomes a sum over
two Poisson distributions. All sums are exact but for tails below 1e-17.
"""

import math
from bisect import bisect_left
from collections.abc import Callable
from itertools import accumulate
from operator import mul
from statistics import NormalDist

_NORMAL = NormalDist()
_REACH = 9.0
"""Standard deviations around the mean that are summed; 1e-18 lies beyond."""


def poisson(mean: float) -> tuple[int, list[float]]:
    """The smallest count that matters, and the probabilities from there on."""
    if mean <= 0:
        return 0, [1.0]
    (low, high), top = _poisson_range(mean), int(mean)
    peak = math.exp(top * math.log(mean) - mean - math.lgamma(top + 1))
    upward = accumulate([mean / k for k in range(top + 1, high + 1)], mul, initial=peak)
    downward = list(accumulate([k / mean for k in range(top, low, -1)], mul, initial=peak))
    return low, _normalize([*reversed(downward[1:]), *upward])


def _poisson_range(mean: float) -> tuple[int, int]:
    """The smallest and the largest count that matter."""
    reach = _REACH * math.sqrt(mean) + 20
    return (max(0, int(mean - reach)), int(mean + reach) + 1) if mean > 0 else (0, 0)


def binomial(trials: int, part: float) -> tuple[int, list[float]]:
    """The same for hits among ``trials``."""
    if trials == 0 or part <= 0:
        return 0, [1.0]
    if part >= 1:
        return trials, [1.0]
    mean = trials * part
    reach = _REACH * math.sqrt(mean * (1 - part)) + 20
    low, high = max(0, int(mean - reach)), min(trials, int(mean + reach) + 1)
    top = min(trials, int(mean))
    chosen = math.lgamma(trials + 1) - math.lgamma(top + 1) - math.lgamma(trials - top + 1)
    peak = math.exp(chosen + top * math.log(part) + (trials - top) * math.log1p(-part))
    odds = part / (1 - part)
    upward, downward = [peak], []
    for k in range(top, high):
        upward.append(upward[-1] * (trials - k) / (k + 1) * odds)
    value = peak
    for k in range(top, low, -1):
        value *= k / ((trials - k + 1) * odds)
        downward.append(value)
    return low, _normalize(downward[::-1] + upward)


def _normalize(chances: list[float]) -> list[float]:
    """Scale to a sum of 1, which removes the rounding errors of ``lgamma``."""
    total = math.fsum(chances)
    return [chance / total for chance in chances]


def breach_probability(hits: float, others: float, breaches: Callable[[int, int], bool]) -> float:
    """Probability that ``breaches(h, o)`` holds for Poisson counts with these means, among periods with at least one
    request. If ``breaches`` holds, it must also hold for fewer others and for more hits."""
    (h0, h1), (o0, o1) = _poisson_range(hits), _poisson_range(others)
    if not breaches(h1, o0):
        return 0.0
    _, weights = poisson(hits)

    def first_breach(count: int) -> int:
        return bisect_left(range(len(weights)), True, key=lambda place: breaches(h0 + place, count))

    start, end, total = first_breach(o0), first_breach(o1), 0.0
    if start < end:
        below = list(accumulate(poisson(others)[1], initial=0.0))
        passed, step = bisect_left(range(o0, o1), True, key=lambda o: not breaches(h0 + start, o)), 0
        for place in range(start, end):
            # The numbers grow evenly, so the last step is near the next one.
            before, passed = passed, min(passed + step, o1 - o0)
            while passed > before and not breaches(h0 + place, o0 + passed - 1):
                passed -= 1
            while breaches(h0 + place, o0 + passed):
                passed += 1
            step = passed - before
            total += weights[place] * below[passed]
    total += math.fsum(weights[end:])
    nothing = math.exp(-hits - others) if breaches(0, 0) else 0.0
    return min(1.0, max(0.0, total - nothing))


def mean_exceeds_probability(requests: float, mean: float, deviation: float, limit: float) -> float:
    """Probability that the average of a Poisson number of values exceeds ``limit``. Averages are taken as normal:
    exact for normal values, by the central limit theorem for others."""
    low, weights = poisson(requests)
    above = (
        weight * _NORMAL.cdf((mean - limit) * math.sqrt(low + place) / deviation)
        for place, weight in enumerate(weights)
        if low + place
    )
    return min(1.0, math.fsum(above))
