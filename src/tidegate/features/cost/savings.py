"""The commitment that makes a year cheapest, when it breaks even, and what it loses if the load falls.

A Savings Plan of ``c`` dollars an hour pays for ``x = c / (1 - d)`` dollars of on-demand use in every hour, used or
not; what goes above is on demand. A year of hours with on-demand cost ``u_h`` then costs

    f(x) = sum over h of  (1 - d) x + max(0, u_h - x),

which is convex and, between two values of ``u``, straight. Its slope is ``H (1 - d)`` less the number of hours above
``x``, so a further dollar pays exactly as long as more than ``1 - d`` of all hours use it: that part is the
break-even utilisation, and the best ``x`` is a value of the sorted load curve, with no search.
"""

import math
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

from tidegate.domain.errors import Invalid
from tidegate.features.cost.errors import at_least, in_range


@dataclass(frozen=True)
class Commitment:
    """A commitment for a year: ``hourly`` dollars are paid in every hour and cover ``covers`` dollars of on-demand
    use. Dollars a year: ``before`` is all on demand, ``after`` with the commitment. ``discount`` is a part of the
    on-demand price."""

    discount: float
    hourly: float
    covers: float
    before: float
    after: float
    utilisation: float
    """Part of what is committed that is used, over the year; 1 where nothing is committed."""

    @property
    def saving(self) -> float:
        return self.before - self.after

    @property
    def break_even(self) -> float:
        """Part of the hours that must use a committed dollar, or it is dearer than on demand."""
        return 1.0 - self.discount


def best(usage: Sequence[float], discount: float) -> Commitment:
    """Find the cheapest commitment for ``usage``, the on-demand dollars of each hour. Of several that cost the same,
    it is the smallest, which has less to lose."""
    _check(usage, discount)
    falling = sorted(usage, reverse=True)
    # The most hours that may stay above what is committed.
    above = math.floor(len(falling) * (1.0 - discount) + 1e-9)
    return commit(usage, discount, falling[above] if above < len(falling) else 0.0)


def commit(usage: Sequence[float], discount: float, covers: float) -> Commitment:
    """Make a commitment of one's own choice."""
    _check(usage, discount)
    at_least("what the commitment covers ($/h)", covers, 0)
    paid = (1.0 - discount) * covers
    used = math.fsum(min(one, covers) for one in usage)
    before = math.fsum(usage)
    whole = covers * len(usage)
    return Commitment(
        discount, paid, covers, before, paid * len(usage) + (before - used), used / whole if whole else 1.0
    )


def loss(usage: Sequence[float], made: Commitment, falls: float) -> float:
    """Return the dollars a year that the commitment costs more than on demand would (negative: it still saves), if
    every hour's load falls by the part ``falls``."""
    in_range("part by which the load falls", falls, 0, 1)
    less = [one * (1.0 - falls) for one in usage]
    return -commit(less, made.discount, made.covers).saving


def bearable(usage: Sequence[float], made: Commitment) -> float:
    """Return the part (0 to 1) by which the load can fall until the commitment saves nothing; 1 where none is
    made."""
    if made.covers == 0:
        return 1.0
    load, paid = _SortedLoad(usage), made.hourly * len(usage)
    low, high = 0.0, 1.0
    for _ in range(40):
        middle = (low + high) / 2
        left = 1.0 - middle
        used = left * load.used(made.covers / left)
        low, high = (middle, high) if paid <= used else (low, middle)
    return low


def curve(usage: Sequence[float], discount: float, points: int = 40) -> list[tuple[float, float]]:
    """Return (dollars covered an hour, dollars a year), evenly from none to the busiest hour, for a chart."""
    _check(usage, discount)
    in_range("points of a curve", points, 2, 10_000)
    top = max(usage)
    load, before = _SortedLoad(usage), math.fsum(usage)
    steps = [top * step / (points - 1) for step in range(points)]
    return [(covers, (1.0 - discount) * covers * len(usage) + (before - load.used(covers))) for covers in steps]


class _SortedLoad:
    """Hours sorted by their use, so that the use that a commitment covers is looked up."""

    def __init__(self, usage: Sequence[float]) -> None:
        self._rising = sorted(usage)
        self._sums = [0.0, *accumulate(self._rising)]

    def used(self, covers: float) -> float:
        """Return the sum over all hours of the use that a commitment of this size pays for."""
        below = bisect_right(self._rising, covers)
        return self._sums[below] + covers * (len(self._rising) - below)


def _check(usage: Sequence[float], discount: float) -> None:
    in_range("discount", discount, 0, 0.99)
    if not usage:
        raise Invalid("savings: no hours of use to commit for")
    at_least("on-demand dollars of an hour", min(usage), 0)
    at_least("on-demand dollars of an hour", max(usage), 0)
