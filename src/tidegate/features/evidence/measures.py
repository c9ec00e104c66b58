"""Measure what each test of a comparison found in a stage: an estimate, its bounds, and whether it may be about to
fail. Pure.

A failure is decided by the e-processes of ``judge``. What is measured here decides the rest: a difference is proved
to be within its tolerance if its upper bound is (that bound holds at all times together), and a stage does not end
while an estimate lies above the tolerance by more than chance explains."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import NormalDist

from tidegate.domain.evidence import NO_SUMS, Counts, Finding, Measurement, Sums
from tidegate.features.evidence.bounds import difference_bounds, mean_bounds
from tidegate.features.evidence.comparisons import NOTHING, Test
from tidegate.statistics.means import add_sums
from tidegate.statistics.rates import RateTest

MOST_MEASURED = 100
"""Tests of a comparison that are listed: those with most evidence."""
RISING = 0.3
"""Part of the evidence for a failure from which on a comparison is rising."""
CHANCE = 0.05
"""Probability with which an estimate lies as far above its tolerance by chance at one look, soon after the stage
began. Of parts of the requests, and of columns, it is that of any of them."""
SOON, LATER = 300.0, 0.5
"""After so many seconds more is required, by the logarithm of the time: an equal version that is held by chance must
not be held until the deadline (``python -m bench.evidence_holds``)."""
FEWEST_BLOCKS = 5
"""Blocks before an estimate says anything."""
FEW = 3.0
"""By this many blocks in all of them the deviation that is required is larger: of few blocks the spread is not
known."""
NO_COUNTS: Counts = (0, 0, 0, 0)


@dataclass(frozen=True)
class StageData:
    """The data of a test in the newest stage that has any of it. ``blocks``: sums of the means of blocks, from 0 to
    1. Those of one block may depend on one another, so deviations are taken between blocks."""

    stage: int = -1
    counts: Counts = NO_COUNTS
    sums: Sums = NO_SUMS
    blocks: Sums = NO_SUMS
    seconds: int = 0

    def count(self, stage: int, counts: Counts, seconds: int) -> "StageData":
        """Return the data after a block of requests. One without requests of both versions compares nothing."""
        old_n, old_k, new_n, new_k = counts
        if not old_n or not new_n:
            return self
        before = self if stage == self.stage else StageData()
        mean = (1 + new_k / new_n - old_k / old_n) / 2
        counted = add_counts(before.counts, counts)
        return StageData(stage, counted, NO_SUMS, _add_mean(before.blocks, mean), before.seconds + seconds)

    def sum(self, stage: int, sums: Sums, seconds: int) -> "StageData":
        """Return the data after a block of pairs."""
        if not sums[0]:
            return self
        before = self if stage == self.stage else StageData()
        mean = sums[1] / sums[0]
        summed = add_sums(before.sums, sums)
        return StageData(stage, NO_COUNTS, summed, _add_mean(before.blocks, mean), before.seconds + seconds)


def _add_mean(blocks: Sums, mean: float) -> Sums:
    return add_sums(blocks, (1, mean, mean * mean))


def add_counts(one: Counts, other: Counts) -> Counts:
    return (one[0] + other[0], one[1] + other[1], one[2] + other[2], one[3] + other[3])


def take_usable(counts: Counts) -> Counts:
    """Return the counts, or none if they make no sense: such counts are no evidence."""
    old_n, old_k, new_n, new_k = counts
    return counts if 0 <= old_k <= old_n and 0 <= new_k <= new_n else NOTHING


def is_above(data: StageData, tolerance: float, tests: int) -> bool:
    """Whether the mean of blocks lies above the tolerance by more than chance explains, where so many tests look.
    ``tolerance``: as a mean from 0 to 1."""
    count, total, squares = data.blocks
    if count < FEWEST_BLOCKS:
        return False
    mean = total / count
    spread = max(0.0, squares - count * mean * mean) / (count - 1)
    age = math.sqrt(1 + LATER * math.log(max(1.0, data.seconds / SOON)))
    deviations = NormalDist().inv_cdf(1 - CHANCE / max(1, tests)) * (1 + FEW / count) * age
    return mean - tolerance > deviations * math.sqrt(spread / count) + 1e-12


@dataclass(frozen=True)
class TestState:
    """The state of a test as a measurement needs it: ``evidence`` by itself, whether there is ``enough`` to judge it
    by, whether it ``failed``, and among how many ``tests`` a large estimate is no surprise, or None where the present
    stage has no data of it."""

    evidence: float
    enough: bool
    failed: bool
    tests: int | None


def measure_counts(name: str, test: Test, data: StageData, state: TestState) -> Measurement:
    """Measure a test of two shares. A test of rates takes requests for independent, as its failure does; one of
    shares takes blocks."""
    old_n, old_k, new_n, new_k = data.counts
    if isinstance(test, RateTest):
        estimate = new_k / new_n - old_k / old_n
        bounds = difference_bounds((old_k, old_n), (new_k, new_n))
    else:
        estimate = 2 * data.blocks[1] / data.blocks[0] - 1
        low, high = mean_bounds(data.blocks, 0.5)
        bounds = 2 * low - 1, 2 * high - 1
    level = (1 + test.tolerance) / 2
    return _measure(name, (estimate, *bounds, test.tolerance), min(old_n, new_n), data, level, state)


def measure_sums(
    name: str, data: StageData, level: float, centre: float, unit: Callable[[float], float], state: TestState
) -> Measurement:
    """Measure a test of a mean from 0 to 1. ``level``: its tolerance, as such a mean; ``centre``: where values lie
    that do not differ; ``unit`` gives a mean in the unit of the tolerance."""
    low, high = mean_bounds(data.sums, centre)
    shown = unit(data.sums[1] / data.sums[0]), unit(low), unit(high), unit(level)
    return _measure(name, shown, data.sums[0], data, level, state)


def _measure(
    name: str,
    shown: tuple[float, float, float, float],
    count: int,
    data: StageData,
    level: float,
    state: TestState,
) -> Measurement:
    estimate, low, high, tolerance = shown
    rising = state.tests is not None and is_above(data, level, state.tests)
    if state.failed:
        finding = Finding.FAIL
    elif not state.enough:
        finding = Finding.NO_DATA
    else:
        finding = Finding.PASS if high <= tolerance and not rising else Finding.UNDECIDED
    return Measurement(name, finding, estimate, low, high, tolerance, count, state.evidence, rising)


def choose_measured(found: Sequence[Measurement]) -> tuple[Measurement, ...]:
    """Return the measurements that are listed, in their order."""
    if len(found) <= MOST_MEASURED:
        return tuple(found)
    kept = {one.test for one in sorted(found, key=lambda one: (-one.rising, -one.evidence))[:MOST_MEASURED]}
    return tuple(one for one in found if one.test in kept)


def conclude(found: Sequence[Measurement]) -> Finding:
    """Conclude the finding of a comparison that has enough data and no failure. It passes only if each test that has
    any data proves that its difference is within the tolerance."""
    return Finding.PASS if found and all(one.finding is Finding.PASS for one in found) else Finding.UNDECIDED


def format_difference(value: float) -> str:
    return f"{value:+.3g}"


def measured_cells(one: Measurement) -> tuple[str, str, str, str, str, str]:
    """Return a row of a table: test, finding, estimate, bounds, tolerance and count."""
    bounds = f"{format_difference(one.low)} to {format_difference(one.high)}"
    finding = f"{one.finding}, rising" if one.rising and one.finding is not Finding.FAIL else str(one.finding)
    return one.test, finding, format_difference(one.estimate), bounds, f"{one.tolerance:.3g}", f"{one.count:,}"
