"""Statistics of many rehearsed rollouts."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist, fmean

from tidegate.statistics.distribution import quantile


@dataclass(frozen=True)
class Proportion:
    """``count`` of ``of``, with the 95 % confidence interval of the probability."""

    count: int
    of: int
    low: float
    high: float

    @classmethod
    def wilson(cls, count: int, of: int) -> "Proportion":
        """Wilson's score interval (Journal of the American Statistical Association 22, 1927)."""
        if not of:
            return cls(0, 0, 0.0, 1.0)
        z, part = NormalDist().inv_cdf(0.975), count / of
        middle = part + z * z / (2 * of)
        reach = z * math.sqrt(part * (1 - part) / of + z * z / (4 * of * of))
        scale = 1 + z * z / of
        low = 0.0 if not count else (middle - reach) / scale
        high = 1.0 if count == of else (middle + reach) / scale
        return cls(count, of, low, high)

    @property
    def share(self) -> float:
        return self.count / self.of if self.of else 0.0


@dataclass(frozen=True)
class ValueSpread:
    """Median, 95th percentile, maximum and mean of some values."""

    p50: float
    p95: float
    most: float
    mean: float

    @classmethod
    def of(cls, values: Sequence[float]) -> "ValueSpread | None":
        if not values:
            return None
        rising = sorted(values)
        return cls(quantile(rising, 0.5), quantile(rising, 0.95), rising[-1], fmean(rising))
