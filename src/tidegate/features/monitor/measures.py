"""The measures of one kind of problem, and how far chance moves them. Pure; randomness is passed in."""

import math
from collections.abc import Callable, Mapping, Sequence
from random import Random
from statistics import stdev

from tidegate.features.monitor.binary import measure_binary, sizes_of_two
from tidegate.features.monitor.model_quality import ProblemType
from tidegate.features.monitor.multiclass import measure_multiclass
from tidegate.features.monitor.pairs import Pair
from tidegate.features.monitor.regression import measure_regression

Measures = Mapping[str, float]
"""Name -> value; NaN where it cannot be said."""
MEASURE: dict[ProblemType, Callable[[Sequence[Pair]], dict[str, float]]] = {
    ProblemType.BINARY: measure_binary,
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
    """Of how many pairs each measure is."""
    made = dict.fromkeys(MEASURE[problem](pairs), len(pairs))
    return {**made, **(sizes_of_two(pairs) if problem is ProblemType.BINARY else {})}


def deviations(problem: ProblemType, pairs: Sequence[Pair], draw: Random) -> Measures:
    """SageMaker's ``standard_deviation`` of each measure; NaN of fewer pairs."""
    if len(pairs) < FEWEST_FOR_DEVIATION:
        return dict.fromkeys(MEASURE[problem](pairs), math.nan)
    size = int(SHARE * len(pairs))
    return _spread([MEASURE[problem](draw.sample(pairs, size)) for _ in range(SAMPLES)])


def standard_errors(problem: ProblemType, pairs: Sequence[Pair], draw: Random) -> Measures:
    """By drawing as many pairs again and again (Efron 1979); NaN where too few samples have a value."""
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
