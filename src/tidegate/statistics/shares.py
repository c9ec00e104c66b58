"""Test of two shares: is a property more frequent among the new version's requests, by more than a tolerance?

The test is an e-process like that of ``rates``, and asks less of the requests: those of one block may depend on
one another in any way, as latencies do that wait in one queue, and what slows both versions at the same time
cancels out. A block counts as one observation, the difference of the two shares. A bet on that difference
multiplies the e-process by ``1 + bet * (difference - tolerance)``, whose expectation is at most 1 while the
expected difference is within the tolerance (Waudby-Smith and Ramdas, "Estimating means of bounded random variables
by betting", JRSS-B 86, 2024). The price is speed: a block at most doubles the e-process, however many requests it
has."""

import math
from dataclasses import dataclass, field, replace

from tidegate.domain.evidence import Counts
from tidegate.statistics.stakes import Stakes

BETS = (0.15, 0.35, 0.65, 0.95)
"""Stakes on the difference; below 1, so that no difference makes the e-process negative."""
WEIGHTS = (0.15, 0.2, 0.2, 0.45)
"""Parts of the stake on each of them; their sum is 1."""


@dataclass(frozen=True)
class ShareTest:
    """State of the test. ``stakes``: on the bets."""

    tolerance: float
    stakes: Stakes = field(default_factory=lambda: Stakes.on(WEIGHTS))

    def update(self, counts: Counts) -> "ShareTest":
        """The state after a block. A block without requests of both versions adds nothing."""
        old_n, old_k, new_n, new_k = counts
        if not old_n or not new_n:
            return self
        gain = (new_k / new_n - old_k / old_n - self.tolerance) / (1 + self.tolerance)
        return replace(self, stakes=self.stakes.multiply([math.log1p(bet * gain) for bet in BETS]))

    def enter_stage(self) -> "ShareTest":
        """At the beginning of a stage, in which a difference may begin that was not there."""
        return replace(self, stakes=self.stakes.enter_stage())

    @property
    def log_evidence(self) -> float:
        """Logarithm of the e-value."""
        return self.stakes.log_evidence
