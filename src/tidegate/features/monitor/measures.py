"""The measures of one kind of problem, and how far chance moves them. Pure; randomness is passed in."""

import math
from collections.abc import Callable, Mapping, Sequence
from random import Random
from statistics import stdev

from tidegate.features.monitor.binary import measure_two_classes, sizes_of_two
from tidegate.features.monitor.model_quality import ProblemType
from tidegate.features.monitor.multiclass import measure_multiclass
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


Measures = Mapping[str, float]
"""Name -> value; NaN where it cannot be said."""
MEASURE: dict[ProblemType, Callable[[Sequence[Pair]], dict[str, float]]] = {
    ProblemType.BINARY: measure_two_classes,
    ProblemType.MULTICLASS: measure_multiclass,
    ProblemType.REGRESSION: measure_regression,
}
FEWEST_FOR_DEVIATION = 200
"""Pairs from which SageMaker gives a standard deviation: that of five samples of 80 %."""
SAMPLES, SHARE = 5, 0.8
DRAWS = 80
"""Samples that a standard error is taken from."""
MOST_DRAWN = 2_000
"""Pairs of such a sample; the error of more pairs follows from theirs."""


def sizes(problem: ProblemType, pairs: Sequence[Pair]) -> dict[str, int]:
    """Return the number of pairs from which each measure is made."""
    made = dict.fromkeys(MEASURE[problem](pairs), len(pairs))
    return {**made, **(sizes_of_two(pairs) if problem is ProblemType.BINARY else {})}


def deviations(problem: ProblemType, pairs: Sequence[Pair], draw: Random) -> Measures:
    """Return SageMaker's ``standard_deviation`` of each measure; NaN if there are fewer pairs than it needs."""
    if len(pairs) < FEWEST_FOR_DEVIATION:
        return dict.fromkeys(MEASURE[problem](pairs), math.nan)
    size = int(SHARE * len(pairs))
    return _spread([MEASURE[problem](draw.sample(pairs, size)) for _ in range(SAMPLES)])


def standard_errors(problem: ProblemType, pairs: Sequence[Pair], draw: Random) -> Measures:
    """Estimate standard errors by drawing as many pairs again and again (Efron 1979); NaN where too few samples have
    a value."""
    size = min(len(pairs), MOST_DRAWN)
    found = _spread([MEASURE[problem](draw.choices(pairs, k=size)) for _ in range(DRAWS)])
    scale = math.sqrt(size / len(pairs))
    return {name: value * scale for name, value in found.items()}


def _spread(found: Sequence[Measures]) -> dict[str, float]:
    made: dict[str, float] = {}
    for name in found[0]:
        values = [one[name] for one in found if math.isfinite(one.get(name, math.nan))]
        made[name] = stdev(values) if len(values) > max(1, len(found) / 2) else math.nan
    return made
