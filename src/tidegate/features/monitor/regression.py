"""Measures of a regression. Pure."""

import math
from collections.abc import Sequence

from tidegate.features.monitor.pairs import Pair
from tidegate.monitoring import finite
from tidegate.statistics.measures import measure_numeric


def measure_regression(pairs: Sequence[Pair]) -> dict[str, float]:
    """NaN where something cannot be said: r2 of labels that are all the same."""
    count = len(pairs)
    if not count:
        return dict.fromkeys(("mae", "mse", "rmse", "r2"), math.nan)
    found = measure_numeric((predicted, label) for label, predicted, _ in pairs)
    mean = measure_numeric((label, 0.0) for label, *_ in pairs)
    assert mean is not None  # there are pairs
    spread = measure_numeric((label, mean.bias) for label, *_ in pairs)
    assert found is not None and spread is not None
    mse = finite.saturated(found.root_mean_square_error * found.root_mean_square_error)
    apart = spread.root_mean_square_error
    ratio = found.root_mean_square_error / apart if apart else math.nan
    r2 = math.nan if math.isnan(ratio) else finite.saturated(1 - ratio * ratio)
    return {"mae": found.mean_absolute_error, "mse": mse, "rmse": found.root_mean_square_error, "r2": r2}
