"""Tolerances of paired predictions from versions that are known to be good. Pure."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict

from tidegate.domain.evidence import NO_SUMS, PairedLimits, PairedTolerance, Sums
from tidegate.domain.pairs import Pair
from tidegate.features.evidence.pairs import (
    BIAS,
    DISTANCE,
    MOVED,
    ORDER,
    SLICE,
    SPREAD,
    TOP_BIAS,
    TOP_LEFT,
    UP,
    PairCounter,
    estimate,
    split_part,
)
from tidegate.features.evidence.units import learn_unit
from tidegate.statistics.means import add_sums

FACTOR = 1.25
"""What is tolerated, over the largest value of any good version."""
LEAST = PairedLimits(
    distance=0.05, bias=0.05, moved=0.01, top=0.05, top_bias=0.1, order=0.02, slice=0.1, failed=0.01
)  # fmt: skip
"""Tolerances are never smaller: rounding and a few requests give as much."""
MOST = PairedLimits(distance=2.5, bias=2.5, moved=0.9, top=0.9, top_bias=2.5, order=0.45, slice=2.5, failed=0.5)
"""Nor larger: a larger one could not be exceeded."""
LEAST_SLICE = 100
"""Pairs of a slice from which its bias is taken."""
_BLOCK = 50


def learn_tolerance(honest: Iterable[Sequence[Pair]], slices: tuple[str, ...] = ()) -> PairedTolerance:
    """From the pairs of a version with each good version of the same model, a thousand of each or more. They should
    differ in all that may honestly differ, such as seeds and a month more of data."""
    largest, amounts = dict[str, float](), False
    for pairs in honest:
        unit = learn_unit([0.0, *(pair.old for pair in pairs if pair.old is not None)])
        amounts = amounts or (unit is not None and not unit.logit)
        for name, value in _measure_pairs(pairs, slices).items():
            largest[name] = max(largest.get(name, 0.0), value)
    kept = {
        name: min(max(_round_up(FACTOR * value), getattr(LEAST, name)), getattr(MOST, name))
        for name, value in largest.items()
    }
    usual = PairedTolerance(**kept).limits(amounts)
    return PairedTolerance(**asdict(usual))


def _round_up(value: float) -> float:
    return math.ceil(value * 1000) / 1000


def _measure_pairs(pairs: Sequence[Pair], slices: tuple[str, ...] = ()) -> dict[str, float]:
    """Each statistic that a tolerance is for, as far as there are pairs for it."""
    counter, totals = PairCounter(slices), dict[str, Sums]()
    for begin in range(0, len(pairs), _BLOCK):
        for name, sums in counter.count(pairs[begin : begin + _BLOCK]).items():
            totals[name] = add_sums(totals.get(name, NO_SUMS), sums)
    return _statistics(totals)


def _statistics(totals: Mapping[str, Sums]) -> dict[str, float]:
    found = {name: estimate(name, totals[name]) for name in (DISTANCE, MOVED, ORDER) if name in totals}
    if BIAS in totals:
        found["bias"] = max(abs(estimate(name + UP, totals[name])) for name in (BIAS, SPREAD) if name in totals)
    if TOP_LEFT in totals:
        found["top"] = estimate(TOP_LEFT, totals[TOP_LEFT])
        found["top_bias"] = abs(estimate(TOP_BIAS + UP, totals[TOP_BIAS]))
    for name, sums in totals.items():
        part, statistic = split_part(name)
        if part and sums[0] >= LEAST_SLICE:
            signed = statistic in (BIAS, SPREAD)
            value = abs(estimate(name + UP, sums)) if signed else estimate(name, sums)
            statistic = BIAS if signed else statistic
            found[statistic] = max(found.get(statistic, 0.0), value)
    of_slices = [
        abs(estimate(name + UP, sums))
        for name, sums in totals.items()
        if name.startswith(SLICE) and sums[0] >= LEAST_SLICE
    ]
    return found | ({"slice": max(of_slices)} if of_slices else {})
