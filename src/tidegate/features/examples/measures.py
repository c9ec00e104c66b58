"""Measures of quality on held-out data."""

import numpy as np
from numpy.typing import NDArray

from tidegate.statistics.ranking import count_steps, rank_counts

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
"""Those that the comparison of predictions in a rollout looks at."""

Numbers = NDArray[np.floating]


def auc(score: Numbers, positive: NDArray[np.bool_]) -> float:
    """``statistics.ranking``'s; 0.5 where a class is missing."""
    found = rank_counts(count_steps(zip(score.tolist(), positive.astype(int).tolist(), strict=True))).auc
    return 0.5 if found is None else found


def r_squared(predicted: Numbers, true: Numbers) -> float:
    """Explained part of the variance; negative for predictions that are worse than the mean."""
    return float(1 - ((true - predicted) ** 2).sum() / ((true - true.mean()) ** 2).sum())


def moved(old: Numbers, new: Numbers) -> float:
    """Largest part of predictions that moved across a quantile of the old version's, 0 to 1: what the comparison of
    predictions holds against its tolerance."""
    levels = np.quantile(old, QUANTILES)
    return max(float(abs((new > level).mean() - (old > level).mean())) for level in levels)
