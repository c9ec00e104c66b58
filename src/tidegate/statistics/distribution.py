"""Values of requests as counts by value, sorted, and what is read off them. Pure.

Values come from sketches (``monitoring.sketch``), so each stands for all within 1 % of it."""

import math
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

# Quantiles by the nearest rank, the inverse of the empirical distribution function. Pure. Source: Hyndman and Fan,
# "Sample Quantiles in Statistical Packages", The American Statistician 1996, type 1. Of few values a high quantile
# is the highest, so that a guard does not look away.


V = TypeVar("V")


def quantile(rising: Sequence[float], level: float) -> float:
    """The smallest of these values, in ascending order, that the part ``level`` (0 to 1) of them does not exceed."""
    return rising[max(0, math.ceil(level * len(rising)) - 1)]


def quantile_of_counts(counted: Iterable[tuple[V, float]], total: float, level: float) -> V | None:
    """The same of values that each stand for ``count`` ones. ``total``: sum of the counts. None without values."""
    rank = math.ceil(level * total) - 1
    seen, last = 0.0, None
    for value, count in counted:
        seen, last = seen + count, value
        if seen > rank:
            break
    return last


@dataclass(frozen=True)
class Distribution:
    """``values`` in ascending order, each with its count in ``counts``."""

    values: tuple[float, ...] = ()
    counts: tuple[int, ...] = ()

    @classmethod
    def of(cls, counted: Mapping[float, int]) -> "Distribution":
        """Values that are not finite, and counts that are not positive, are left out."""
        usable = sorted((value, count) for value, count in counted.items() if math.isfinite(value) and count > 0)
        return cls(tuple(value for value, _ in usable), tuple(count for _, count in usable))

    @property
    def total(self) -> int:
        return sum(self.counts)

    def above(self, threshold: float) -> int:
        """Number of values above the threshold."""
        return sum(self.counts[bisect_right(self.values, threshold) :])

    def below(self, threshold: float) -> int:
        """Number of values below the threshold."""
        return sum(self.counts[: bisect_left(self.values, threshold)])

    def quantile(self, level: float) -> float | None:
        """The smallest value that this part (0 to 1) of all values does not exceed; None without values."""
        return quantile_of_counts(zip(self.values, self.counts, strict=True), self.total, level)


def merge(parts: Iterable[Distribution]) -> Distribution:
    whole: dict[float, int] = {}
    for part in parts:
        for value, count in zip(part.values, part.counts, strict=True):
            whole[value] = whole.get(value, 0) + count
    return Distribution.of(whole)
