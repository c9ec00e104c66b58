"""Traces that are made: a December with its peak, and the working week of a bank. Pure.

**December.** The load at hour ``h`` of day ``d`` (1 to 31) is ``base * (1 + (peak - 1) * s(x))``, where
``x = day(h) * season(d) * pay(d, h)`` and ``s`` maps the smallest ``x`` of the month to 0 and the largest to 1: it is
never below ``base`` and reaches ``peak * base`` once. ``day(h) = 1 - 0.6 cos(2 pi (h - 2) / 24)`` is lowest at 2 and
highest at 14 o'clock. ``season(d)`` rises in a straight line from 1 on the first to 2 on the 23rd, and is 0.8 on the
24th to 26th, 1.2 from then on. ``pay(d, h)`` is 1.8 from 8 to 18 o'clock on pay days (the 1st, the 15th and the 23rd,
the last working day before the holidays of most years), else 1.

**Bank.** Mean calls in five minutes by weekday and hour to a large North American bank, March to October 2003. They
are facts computed from the series ``bank_calls`` of the R package fpp3 (Hyndman and Athanasopoulos, GPL-3), which
is not part of this package; it comes from Weinberg, Brown and Stroud (2007), "Bayesian forecasting of an
inhomogeneous Poisson process with applications to call center data", JASA 102:480. Only 7 to 21 o'clock of working
days was recorded. In between it goes in straight lines down to midnight and up again; midnight and the weekend have
a fifth of the quietest recorded hour.
"""

import math
from collections.abc import Callable
from itertools import pairwise
from random import Random

from tidegate.domain.errors import Invalid
from tidegate.load.trace import Trace

HOUR, DAY = 3600, 86_400
PAY_DAYS = (1, 15, 23)
FIRST_HOUR = 7
CALLS = (
    (72, 167, 303, 321, 313, 299, 283, 275, 263, 230, 171, 133, 109, 91),
    (86, 163, 274, 289, 278, 262, 249, 239, 227, 201, 152, 118, 97, 81),
    (82, 150, 251, 265, 259, 245, 236, 228, 219, 194, 146, 115, 93, 78),
    (86, 153, 249, 263, 254, 240, 233, 230, 221, 197, 149, 117, 92, 76),
    (96, 169, 268, 280, 267, 253, 245, 240, 231, 202, 151, 113, 83, 62),
)
"""Monday to Friday, 7 to 20 o'clock."""
NIGHT = 0.2


def december(
    base: float = 5.0, peak: float = 10.0, *, first: int = 1, days: int = 31, interval: float = 60.0, seed: int = 0
) -> Trace:
    """``base`` is requests per second in the quietest hour; ``first`` the day of December on which it begins."""
    if base <= 0 or peak < 1:
        raise Invalid(f"base {base:g} must be above 0 and peak {peak:g} at least 1")
    if not (1 <= first <= 31 and 1 <= days <= 32 - first):
        raise Invalid(f"{days} days from December {first}: it has the days 1 to 31")
    month = [_intensity(1 + at // DAY, at % DAY / HOUR) for at in range(0, 31 * DAY, 60)]
    low, high = min(month), max(month)

    def rate(at: float) -> float:
        moment = at + (first - 1) * DAY
        share = (_intensity(1 + int(moment // DAY), moment % DAY / HOUR) - low) / (high - low)
        return base * (1 + (peak - 1) * min(1.0, max(0.0, share)))

    return _sample(rate, days * DAY, interval, seed)


def _intensity(day: int, hour: float) -> float:
    season = 1 + (day - 1) / 22 if day <= 23 else 0.8 if day <= 26 else 1.2
    pay = 1.8 if day in PAY_DAYS and 8 <= hour < 18 else 1.0
    return (1 - 0.6 * math.cos(2 * math.pi * (hour - 2) / 24)) * season * pay


def bank_calls(mean: float = 10.0, *, days: int = 7, interval: float = 60.0, seed: int = 0) -> Trace:
    """From a Monday on. ``mean`` is requests per second over the recorded hours of a week."""
    if mean <= 0 or days < 1:
        raise Invalid(f"mean {mean:g} must be above 0 and days {days} at least 1")
    factor = mean / (sum(map(sum, CALLS)) / sum(map(len, CALLS)))

    def rate(at: float) -> float:
        return factor * _calls(int(at // DAY) % 7, at % DAY / HOUR)

    return _sample(rate, days * DAY, interval, seed)


def _calls(weekday: int, hour: float) -> float:
    """Between the middles of the hours it goes in straight lines."""
    quiet = NIGHT * min(map(min, CALLS))
    if weekday > 4:
        return quiet
    hours = CALLS[weekday]
    known = [(0.0, quiet), *((FIRST_HOUR + n + 0.5, float(calls)) for n, calls in enumerate(hours)), (24.0, quiet)]
    for (left, before), (right, after) in pairwise(known):
        if left <= hour <= right:
            return before + (after - before) * (hour - left) / (right - left)
    return quiet


def _sample(rate: Callable[[float], float], seconds: float, interval: float, seed: int) -> Trace:
    """Counts by chance (Poisson) around the rate in the middle of each interval."""
    if not 1 <= interval <= DAY:
        raise Invalid(f"interval {interval:g}: must be from 1 second to a day")
    random = Random(seed)
    at = [number * interval for number in range(math.ceil(seconds / interval))]
    return Trace(tuple(at), tuple(float(_poisson(rate(begin + interval / 2) * interval, random)) for begin in at))


def _poisson(mean: float, random: Random) -> int:
    """Knuth's product of uniform numbers; from 50 on the normal distribution, whose error is then below its noise."""
    if mean >= 50:
        return max(0, round(random.gauss(mean, math.sqrt(mean))))
    count, product, limit = 0, random.random(), math.exp(-mean)
    while product > limit:
        count, product = count + 1, product * random.random()
    return count
