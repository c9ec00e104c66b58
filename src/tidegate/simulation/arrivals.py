"""Traffic shapes, second by second: ramps, optionally with random arrivals."""

import math
from collections.abc import Callable, Sequence
from statistics import NormalDist


def ramp(low: float, high: float, *, before: int, rise: int, after: int) -> list[float]:
    """Arrivals per second that rise linearly from ``low`` to ``high`` within ``rise`` seconds."""
    rising = [low + (high - low) * (n + 1) / rise for n in range(rise)]
    return [low] * before + rising + [high] * after


def draw_arrivals(rates: Sequence[float], draw: Callable[[], float]) -> list[float]:
    """Counts of a Poisson process with these rates; ``draw`` returns uniform numbers from 0 to 1."""
    return [float(_poisson(rate, draw)) for rate in rates]


def _poisson(mean: float, draw: Callable[[], float]) -> int:
    """Draws by multiplication for small means; for large ones from a normal distribution, which is close enough."""
    if mean > 50:
        return max(0, round(NormalDist(mean, math.sqrt(mean)).inv_cdf(min(max(draw(), 1e-12), 1 - 1e-12))))
    limit, product, count = math.exp(-mean), draw(), 0
    while product > limit:
        product *= draw()
        count += 1
    return count
