"""Converts sums of trees to predictions by XGBoost's objectives, as exactly as the library."""

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.float32]
Evaluation = Callable[[Matrix], Matrix]


def _keep(values: Matrix) -> Matrix:
    return values


def _probability(sums: Matrix) -> Matrix:
    one = np.float32(1)
    if len(sums) == 1:  # the same with scalars, in a quarter of the time
        odds = -sums.item()
        return np.array([0 if odds >= MOST_ODDS else one / (one + np.float32(math.exp(odds)))], np.float32)
    return np.asarray(one / (one + _exponential(-sums)))


MOST_ODDS = math.log(float(np.finfo(np.float32).max))
"""Beyond it the exponential overflows float32."""


_LEAST_CHANCE = np.float32(1e-6)


def _log_odds(values: Matrix) -> Matrix:
    """Return the log-odds of probabilities. XGBoost clips a base score that is closer to 0 or 1 than a millionth, as
    that of a model of rare events may be."""
    values = np.clip(values, _LEAST_CHANCE, np.float32(1) - _LEAST_CHANCE)
    return -_logarithm(np.float32(1) / values - np.float32(1))


def _logarithm(values: Matrix) -> Matrix:
    """Return the logarithm, computed in float64: as exact as the C library's, which numpy's for float32 is not."""
    with np.errstate(divide="ignore"):
        return np.log(values, dtype=np.float64).astype(np.float32)


def _exponential(sums: Matrix) -> Matrix:
    """The exponential in float64: as exact as the C library's, which numpy's is not in float32."""
    with np.errstate(over="ignore"):
        return np.exp(sums, dtype=np.float64).astype(np.float32)


def _shares(sums: Matrix) -> Matrix:
    powers = _exponential(sums - sums.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True, dtype=np.float64).astype(np.float32))


LINKS: dict[str, tuple[Evaluation, Evaluation]] = {
    "binary:logistic": (_probability, _log_odds),
    "reg:logistic": (_probability, _log_odds),
    "multi:softprob": (_shares, _keep),
    **dict.fromkeys(("count:poisson", "reg:gamma", "reg:tweedie"), (_exponential, _logarithm)),
    **dict.fromkeys(
        ("reg:squarederror", "reg:absoluteerror", "reg:pseudohubererror", "reg:quantileerror", "rank:ndcg"),
        (_keep, _keep),
    ),
    **dict.fromkeys(("reg:squaredlogerror", "rank:pairwise", "rank:map", "binary:logitraw"), (_keep, _keep)),
}
"""Objective -> (function from sums to predictions, function from its base score to a sum)."""


TOLERANCE = 1e-6
"""Largest ``deviation`` of results that count as the library's own."""
_SMALL_SUM, _SMALL_CHANCE = 1.0, 1e-3


def deviation(found: Matrix, right: Matrix, objective: str) -> Matrix:
    """Return the deviation of each result from the library's, as a share of its size. Rounding in a sum of trees does
    not shrink with the sum, so sums below 1 count as 1. Probabilities and rates do shrink with it: those of rare
    events are compared by their own size, down to 0.001."""
    small = _SMALL_SUM if LINKS[objective][0] is _keep else _SMALL_CHANCE
    return np.asarray(np.abs(found - right) / np.maximum(np.float32(small), np.abs(right)))
