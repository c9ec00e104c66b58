"""Values that measurements may have, and sums that stay finite. Pure.

One infinite number would spoil every sum and average that it is merged into: sums saturate at the largest float
instead.
"""

import math
import sys
from collections.abc import Iterable

LARGEST = 2.0**360
"""CloudWatch's bound for a value, in both directions. A sum of fewer than 2^663 such values is finite."""
MAX = sys.float_info.max


def bounded(value: float) -> float | None:
    """The value brought into CloudWatch's range; None for what is not a number."""
    if -LARGEST <= value <= LARGEST:
        return value
    if value != value:
        return None
    return LARGEST if value > 0 else -LARGEST


def saturated(value: float) -> float:
    """The value itself, or the finite one that is nearest to it; 0 for what is not a number."""
    if math.isfinite(value):
        return value
    return 0.0 if value != value else math.copysign(MAX, value)


def add(values: Iterable[float]) -> float:
    """The sum of finite values, at most the largest float in size."""
    some = values if isinstance(values, list) else list(values)
    total = sum(some)
    if math.isfinite(total):
        return total
    # Halved often enough, no partial sum overflows, whatever the signs and the order.
    return saturated(math.fsum(value * 2.0**-64 for value in some) * 2.0**64)
