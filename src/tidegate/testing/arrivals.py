"""Shapes of traffic, second by second: jumps, with the chance of arrivals on top where it is asked for."""

import math
from collections.abc import Callable, Sequence
from statistics import NormalDist


def ramp(low: float, high: float, *, before: int, rise: int, after: int) -> list[float]:
    """Arrivals per second that go from ``low`` to ``high`` in a straight line within ``rise`` seconds."""
    rising = [low + (high - low) * (n + 1) / rise for n in range(rise)]
    return [low] * before + rising + [high] * after


def draw_arrivals(rates: Sequence[float], draw: Callable[[], float]) -> list[float]:
    """Counts of a Poisson process with these rates; ``draw`` gives numbers from 0 to 1, all alike."""
    return [float(_poisson(rate, draw)) for rate in rates]


def _poisson(mean: float, draw: Callable[[], float]) -> int:
    """By multiplication for small means; for large ones by the normal law, which is close enough there."""
    if mean > 50:
        return max(0, round(NormalDist(mean, math.sqrt(mean)).inv_cdf(min(max(draw(), 1e-12), 1 - 1e-12))))
    limit, product, count = math.exp(-mean), draw(), 0
    while product > limit:
        product *= draw()
        count += 1
    return count
