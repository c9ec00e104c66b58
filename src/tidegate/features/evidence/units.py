"""The unit of a version's predictions, learned so that outliers do not decide it. Pure."""

import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass

_LEAST_SCORE = 1e-6
PART = 2.0**-4
"""Predictions are taken by this part where they are subtracted: the difference of two of them must be a number."""
_MOST = 1e300
"""Places beyond this count as this: the difference of two of them must be a number."""
USUAL = 0.95
"""Part of the predictions that are taken to be no outliers."""
REACH = 3.0
"""Times that part's distance from the middle, beyond which a prediction counts as if it were there. Of a normal
distribution nothing is."""


OF_ERROR = 1.5
"""Mean absolute errors that a unit is."""


@dataclass(frozen=True)
class Unit:
    """A unit for predictions. ``logit``: they are scores from 0 to 1."""

    logit: bool
    size: float = 1.0

    def place(self, value: float) -> float:
        if not self.logit:
            return min(max(value / self.size, -_MOST), _MOST)
        score = min(max(value, _LEAST_SCORE), 1 - _LEAST_SCORE)
        return math.log(score / (1 - score))


NARROW = 0.1
"""Part of the size of predictions that is the unit of a few that are all equal."""


def narrow_unit(old: Sequence[float]) -> Unit:
    """Return the unit of a few predictions that are all equal: they say nothing of how far they spread."""
    if all(0 <= value <= 1 for value in old):
        return Unit(True)
    size = NARROW * max(abs(value) for value in old)
    return Unit(False, size if size > 0 else NARROW)


def error_unit(error: float) -> Unit | None:
    """Return the unit of amounts from the old version's mean absolute error on labelled rows; None if that is 0 or
    not finite."""
    size = OF_ERROR * error
    return Unit(False, size) if math.isfinite(size) and size > 0 else None


def learn_unit(old: Sequence[float]) -> Unit | None:
    """Learn the unit from the old version's predictions; None if all are equal."""
    values = sorted(old)
    if values[0] == values[-1]:
        return None
    if values[0] >= 0 and values[-1] <= 1:
        return Unit(True)
    middle = values[len(values) // 2]
    apart = [value * PART - middle * PART for value in values]
    sizes = sorted(abs(one) for one in apart)
    usual = sizes[math.ceil(USUAL * len(sizes)) - 1]
    if not usual:  # nearly all are equal: only the others say how large a difference is
        others = [size for size in sizes if size]
        usual = others[(len(others) - 1) // 2]
    reach = REACH * usual
    # In parts of the reach, whose squares are numbers whatever the predictions are.
    parts = [min(max(one / reach, -1.0), 1.0) for one in apart]
    mean = math.fsum(parts) / len(parts)
    size = reach * math.sqrt(math.fsum((part - mean) ** 2 for part in parts) / len(parts)) / 2
    size = min(size, sys.float_info.max * PART) / PART
    return Unit(False, size) if size > 0 else None
