"""Tests of sums: is the mean of values from 0 to 1 above a tolerance? A block of values is known by its sums alone.

Both tests are e-processes: under the null hypothesis (the expectation of each value, given those before it, is at
most the tolerance) they start at 1 and ever reach 1 / alpha with probability alpha at most. Values may come one by
one or in blocks of any size, and what they follow from may change over time."""

import math
from dataclasses import dataclass, field, replace
from typing import Protocol

from tidegate.domain.evidence import NO_SUMS, Sums
from tidegate.statistics.stakes import Stakes


class SumTest(Protocol):
    """An e-process over blocks of sums."""

    @property
    def tolerance(self) -> float: ...

    def update(self, sums: Sums, seconds: int = 1) -> "SumTest":
        """The state after a block of so many seconds."""

    def enter_stage(self) -> "SumTest": ...

    @property
    def log_evidence(self) -> float: ...


BETS = (0.05, 0.15, 0.35, 0.65)
"""Stakes of the bets on the mean: the small ones find small differences in many values."""
PENALTIES = tuple(-math.log1p(-bet) - bet for bet in BETS)
LEAST_MEAN = 1e-9
"""The mean that is assumed at least: the square of a smaller tolerance may not be a number to divide by."""


@dataclass(frozen=True)
class MeanTest:
    """Test of the mean of any values from 0 to 1, with an empirical Bernstein bound: a bet is multiplied by
    ``exp(bet * (x - tolerance) / m - penalty * ((x - m) / m) ** 2)`` for each value x, where m is the mean of the
    values before its block, and not less than the tolerance: from a smaller one, each value that is too large would
    lie so far away that its penalty exceeds its gain. No value lies below m by more than m, so the expectation of
    that is at most 1 (Fan, Grama and Liu 2015, lemma 4.1; Howard, Ramdas, McAuliffe and Sekhon, Annals of Statistics
    49, 2021), and its product needs no more of a block than its number, sum and sum of squares."""

    tolerance: float
    stakes: Stakes = field(default_factory=lambda: Stakes.on((1 / len(BETS),) * len(BETS)))
    seen: Sums = NO_SUMS

    def update(self, sums: Sums, seconds: int = 1) -> "MeanTest":
        count, total, squares = sums
        if not count:
            return self
        mean = max(self.tolerance, LEAST_MEAN, (self.seen[1] + self.tolerance) / (self.seen[0] + 1))
        spread = (squares - 2 * mean * total + count * mean * mean) / mean**2
        gain = (total - count * self.tolerance) / mean
        steps = [bet * gain - penalty * spread for bet, penalty in zip(BETS, PENALTIES, strict=True)]
        return MeanTest(self.tolerance, self.stakes.multiply(steps), add_sums(self.seen, sums))

    def enter_stage(self) -> "MeanTest":
        return replace(self, stakes=self.stakes.enter_stage())

    @property
    def log_evidence(self) -> float:
        return self.stakes.log_evidence


EFFECTS = (0.03, 0.1, 0.3, 0.9)
"""Parts of what lies between the tolerance and 1 by which the alternatives exceed the tolerance."""


@dataclass(frozen=True)
class HitTest:
    """Test of the mean of values that are 0 or 1: the likelihood ratios of larger rates to the tolerance. Where only
    few values may be 1 it is much faster than the test of any mean."""

    tolerance: float
    """Above 0."""
    stakes: Stakes = field(default_factory=lambda: Stakes.on((1 / len(EFFECTS),) * len(EFFECTS)))

    def update(self, sums: Sums, seconds: int = 1) -> "HitTest":
        count, hits, _ = sums
        if not count:
            return self
        rates = (self.tolerance + effect * (1 - self.tolerance) for effect in EFFECTS)
        steps = [
            hits * math.log(rate / self.tolerance) + (count - hits) * math.log((1 - rate) / (1 - self.tolerance))
            for rate in rates
        ]
        return HitTest(self.tolerance, self.stakes.multiply(steps))

    def enter_stage(self) -> "HitTest":
        return replace(self, stakes=self.stakes.enter_stage())

    @property
    def log_evidence(self) -> float:
        return self.stakes.log_evidence


NET_BETS = (0.05, 0.2, 0.9)
"""Stakes on the net share; below 1, so that no pair makes the e-process negative."""
NET_WEIGHTS = (0.2, 0.3, 0.5)
"""Parts of the stake on each of them; most is on a version that seldom fails and then fails much."""
MOST_PER_SECOND = 20
"""Pairs as which those of one second count at most."""
MOST_STEP = 0.65
"""Logarithm of what one second may multiply the evidence by, whatever happened in it: a clump of failures of equal
versions is as likely to be the one's as the other's, so it must not much more than double what it may also lose."""


@dataclass(frozen=True)
class NetTest:
    """Test of a net share: do more pairs turn out badly on the new version only (value 1) than on the old one only
    (value 0), by more than a tolerance? Pairs that both versions treat alike have the value 1/2. Requests fail on any
    version now and then, so what only one of them fails is no evidence by itself: only the difference is.

    A bet on the difference d of a pair (1, 0 or -1) multiplies by ``1 + bet * (d - tolerance) / (1 + tolerance)``,
    whose expectation is at most 1 while that of d is within the tolerance (Waudby-Smith and Ramdas, "Estimating means
    of bounded random variables by betting", JRSS-B 86, 2024).

    Failures come in clumps: a copy is asked for a moment after the request, so the beginning of an outage fails only
    copies, and its end only requests. That is why a second counts as ``MOST_PER_SECOND`` pairs at most (a power below
    1 of an e-value has an expectation of at most 1, too) and multiplies by ``exp(MOST_STEP)`` at most, a longer block
    by the root of its seconds as a power of that, while what it takes away is not limited (a smaller value remains an
    e-value). ``python -m bench.evidence_failures`` simulates
    the bound. Whole blocks as units held it as well, but found 4 % of failures in 300 s instead of in 50; asking both
    versions again after a disagreement would miss failures that come by chance."""

    tolerance: float
    stakes: Stakes = field(default_factory=lambda: Stakes.on(NET_WEIGHTS))

    def update(self, sums: Sums, seconds: int = 1) -> "NetTest":
        count = sums[0]
        if not count:
            return self
        alike, worse, better = split_net(sums)
        part = min(1.0, MOST_PER_SECOND * seconds / count)
        steps = []
        for bet in NET_BETS:
            lost, won = -self.tolerance / (1 + self.tolerance), (1 - self.tolerance) / (1 + self.tolerance)
            step = worse * math.log1p(bet * won) + better * math.log1p(-bet) + alike * math.log1p(bet * lost)
            steps.append(min(part * step, MOST_STEP * math.sqrt(seconds)))
        return NetTest(self.tolerance, self.stakes.multiply(steps))

    def enter_stage(self) -> "NetTest":
        return replace(self, stakes=self.stakes.enter_stage())

    @property
    def log_evidence(self) -> float:
        return self.stakes.log_evidence


def split_net(sums: Sums) -> tuple[float, float, float]:
    """How many pairs both versions treat alike, and how many turn out badly on the new one only and on the old one
    only: the three counts that follow from sums of 1, 1/2 and 0."""
    count, total, squares = sums
    alike = max(0.0, 4 * (total - squares))
    worse = max(0.0, total - alike / 2)
    return alike, worse, max(0.0, count - alike - worse)


def add_sums(one: Sums, other: Sums) -> Sums:
    return one[0] + other[0], one[1] + other[1], one[2] + other[2]


def mirror(sums: Sums) -> Sums:
    """The sums of 1 - x."""
    count, total, squares = sums
    return count, count - total, count - 2 * total + squares
