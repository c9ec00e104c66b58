"""Bounds of rates and of means that hold at every number of observations together. Pure."""

import math

from tidegate.domain.evidence import Sums

LEVEL = 0.95
"""With this probability the bounds hold at every moment together."""
PRIOR = 0.5
"""Both parameters of the beta distribution over which the bounds mix (Jeffreys' prior)."""
BISECTIONS = 40
BETS = (0.003, 0.01, 0.03, 0.1, 0.2, 0.4, 0.6, 0.8, 0.95)
PENALTIES = tuple(-math.log1p(-bet) - bet for bet in BETS)

Bounds = tuple[float, float]


def mean_bounds(sums: Sums, centre: float, level: float = LEVEL) -> Bounds:
    """Return bounds of the mean of values from 0 to 1; they are narrow for values close to ``centre``. For any bet
    below 1, ``exp(bet * (x - m) - penalty * (x - centre) ** 2)`` in units of the largest distance from the centre has
    an expectation of at most 1 where m is that of x (Fan, Grama and Liu 2015, lemma 4.1), and so has the product over
    values that come one after the other (Howard, Ramdas, McAuliffe and Sekhon, Annals of Statistics 49, 2021)."""
    count, total, squares = sums
    if not count:
        return 0.0, 1.0
    reach = max(centre, 1 - centre)
    spread = max(0.0, squares - 2 * centre * total + count * centre * centre) / reach**2
    limit = math.log(2 * len(BETS) / (1 - level))
    margins = ((limit + penalty * spread) / bet for bet, penalty in zip(BETS, PENALTIES, strict=True))
    margin, mean = reach * min(margins) / count, total / count
    return max(0.0, mean - margin), min(1.0, mean + margin)


def difference_bounds(old: tuple[int, int], new: tuple[int, int], level: float = LEVEL) -> Bounds:
    """Return bounds of how much more of the new version's requests are hits. ``old`` and ``new``: hits and
    requests."""
    each = (1 + level) / 2
    (old_low, old_high), (new_low, new_high) = rate_bounds(*old, each), rate_bounds(*new, each)
    return new_low - old_high, new_high - old_low


def rate_bounds(hits: int, requests: int, level: float = LEVEL) -> Bounds:
    """Return bounds of a rate that hold at every number of requests together, for independent requests whose rate
    does not change: those rates against which the beta mixture's e-value is below ``1 / (1 - level)`` (Robbins
    1970)."""
    if requests <= 0:
        return 0.0, 1.0
    limit = -math.log(1 - level)
    rate = hits / requests
    inside = min(max(rate, 1e-12), 1 - 1e-12)
    low = 0.0 if not hits else _cross(hits, requests, limit, 1e-12, inside)
    high = 1.0 if hits == requests else _cross(hits, requests, limit, 1 - 1e-12, inside)
    return min(low, rate), max(high, rate)


def _cross(hits: int, requests: int, limit: float, outside: float, inside: float) -> float:
    """Find by bisection the rate between ``outside`` and ``inside`` at which the e-value reaches the limit."""
    for _ in range(BISECTIONS):
        middle = (outside + inside) / 2
        if _log_value(hits, requests, middle) > limit:
            outside = middle
        else:
            inside = middle
    return inside


def _log_value(hits: int, requests: int, rate: float) -> float:
    """Return the logarithm of the e-value against this rate."""
    mixed = _log_beta(hits + PRIOR, requests - hits + PRIOR) - _log_beta(PRIOR, PRIOR)
    return mixed - hits * math.log(rate) - (requests - hits) * math.log1p(-rate)


def _log_beta(one: float, other: float) -> float:
    return math.lgamma(one) + math.lgamma(other) - math.lgamma(one + other)
