"""Quantiles by the nearest rank, the inverse of the empirical distribution function. Pure.

Source: Hyndman and Fan, "Sample Quantiles in Statistical Packages", The American Statistician 1996, type 1.

Of few values a high quantile is the highest, so that a guard does not look away."""

import math
from collections.abc import Iterable, Sequence
from typing import TypeVar

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
