"""Losses of predictions whose labels are known, and a test of two versions' losses. Pure.

The test is an e-process like that of ``shares``: each version answered requests of its own, so labels of both are
paired as they come. A bet on the gain of each pair, a number from -1 to 1 whose expectation is at most 0 while the
new version is not worse by more than its tolerance, multiplies the e-process by ``1 + bet * gain`` (Waudby-Smith and
Ramdas, "Estimating means of bounded random variables by betting", JRSS-B 86, 2024). Losses must be bounded for that:
a single label must not decide anything, however wrong a prediction is."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from tidegate.statistics.stakes import Stakes

LEAST_PROBABILITY = 1e-4
"""A smaller probability of what was true counts as this, so that one label never outweighs thousands."""
MOST_LOSS = -math.log(LEAST_PROBABILITY)
USUAL, REACH = 0.9, 3.0
"""An error counts at most as this many times the error that so large a part of the old version's is below. Of normal
errors one in a million is larger; of heavy-tailed ones (a log-normal with sigma 1.5) one in 40."""
LEAST_REACH = 1e-9
"""Part of the size of the labels that the reach is at least: what rounding changes is no error."""
BETS = (0.03, 0.1, 0.3, 0.6, 0.95)
"""Below 1, so that no gain makes the e-process negative."""
WEIGHTS = (0.15, 0.25, 0.3, 0.2, 0.1)
"""Parts of the stake on each of them; their sum is 1."""


def log_loss(score: float, positive: bool) -> float:
    """Return the log loss of one label, from 0 to ``MOST_LOSS``. ``score``: a probability."""
    return -math.log(max(LEAST_PROBABILITY, score if positive else 1 - score))


def find_reach(errors: Sequence[float], labels: Iterable[float]) -> float:
    """The size from which all errors count the same, by some errors of the old version, of which there is one at
    least, and their labels. It is above 0."""
    ordered = sorted(errors)
    usual = ordered[math.ceil(USUAL * len(ordered)) - 1] or ordered[-1]
    floor = LEAST_REACH * max(map(abs, labels), default=0.0)
    return max(usual * REACH, floor, math.ulp(0.0))


@dataclass(frozen=True)
class GainTest:
    """State of the test. ``stakes``: on the bets."""

    stakes: Stakes = field(default_factory=lambda: Stakes.on(WEIGHTS))

    def update(self, gains: Sequence[float]) -> "GainTest":
        """The state after a block of gains, from -1 to 1."""
        steps = [math.fsum(math.log1p(bet * gain) for gain in gains) for bet in BETS]
        return replace(self, stakes=self.stakes.multiply(steps))

    @property
    def log_evidence(self) -> float:
        """Logarithm of the e-value."""
        return self.stakes.log_evidence
