"""Measures of quality on held-out data."""

import numpy as np
from numpy.typing import NDArray

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
"""Those that the comparison of predictions in a rollout looks at."""

Numbers = NDArray[np.floating]


def auc(score: Numbers, positive: NDArray[np.bool_]) -> float:
    """Probability that a positive one scores above a negative one; ties count half."""
    _, place, counts = np.unique(score, return_inverse=True, return_counts=True)
    ranks = np.cumsum(counts) - (counts - 1) / 2
    many = int(positive.sum())
    few = len(positive) - many
    if not many or not few:
        return 0.5
    return float((ranks[place][positive].sum() - many * (many + 1) / 2) / (many * few))


def r_squared(predicted: Numbers, true: Numbers) -> float:
    """Explained part of the variance; negative for predictions that are worse than the mean."""
    return float(1 - ((true - predicted) ** 2).sum() / ((true - true.mean()) ** 2).sum())


def moved(old: Numbers, new: Numbers) -> float:
    """Largest part of predictions that moved across a quantile of the old version's, 0 to 1: what the comparison of
    predictions holds against its tolerance."""
    levels = np.quantile(old, QUANTILES)
    return max(float(abs((new > level).mean() - (old > level).mean())) for level in levels)
