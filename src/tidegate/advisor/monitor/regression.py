"""Measures of a regression. Pure."""

import math
from collections.abc import Sequence

from tidegate.advisor.monitor.pairs import Pair


def measure_regression(pairs: Sequence[Pair]) -> dict[str, float]:
    """NaN where something cannot be said: r2 of labels that are all the same."""
    count = len(pairs)
    if not count:
        return dict.fromkeys(("mae", "mse", "rmse", "r2"), math.nan)
    try:
        mse = math.fsum((label - predicted) ** 2 for label, predicted, _ in pairs) / count
        mean = math.fsum(label for label, *_ in pairs) / count
        spread = math.fsum((label - mean) ** 2 for label, *_ in pairs) / count
        mae = math.fsum(abs(label - predicted) for label, predicted, _ in pairs) / count
    except OverflowError:  # of absurd amounts
        mae = mse = spread = math.inf
    r2 = 1 - mse / spread if 0 < spread < math.inf else math.nan
    return {"mae": mae, "mse": mse, "rmse": math.sqrt(mse), "r2": r2}
