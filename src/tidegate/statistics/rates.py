"""Test of two failure rates: does the new version fail more often than the old one, by more than a tolerance?

The test is an e-process: it starts at 1, and where the null hypothesis holds it ever reaches 1 / alpha with
probability alpha at most (Ville's inequality), however often it is looked at. Each block of requests multiplies it
by the ratio of two likelihoods: of an alternative, and of the rates within the null hypothesis that are closest to
it (Kullback-Leibler divergence weighted by the requests). As the null hypothesis (new <= old + tolerance) is
convex, the expectation of that ratio is at most 1 under every rate in it; this is the reverse information
projection of Turner, Ly and Gruenwald, "Generic E-variables for exact sequential k-sample tests", J. Stat. Plan.
Inference 230 (2024). Only the difference within a block counts, so rates may change over time as long as they
change for both versions.

The requests of a block must be independent of one another, given the rates.
"""

import math
from dataclasses import dataclass, field, replace

from tidegate.domain.evidence import Counts
from tidegate.statistics.stakes import Stakes

EFFECTS = (0.004, 0.012, 0.035, 0.12, 0.4)
"""Differences beyond the tolerance that the alternatives assume."""
RELATIVE, LEAST_EFFECT, MOST_EFFECT = 3.0, 0.001, 0.04
"""One more alternative assumes so many times the old rate, and not less and not more than these: what fails one in a
thousand shows soon that it fails four."""
WEIGHTS = (0.01, 0.03, 0.45, 0.03, 0.02, 0.46)
"""Parts of the stake on each of them; their sum is 1. Most is on a few percent and on a multiple of the old rate:
much more shows in a few requests anyway, and much less harms slowly."""
FEWEST = 20
"""Requests of the old version before the first block that counts: its rate is not known earlier."""
PRIOR_HITS, PRIOR_REQUESTS = 0.1, 10.0
"""What is assumed of the old version's rate before any request."""
LARGEST_RATE = 0.999
BISECTIONS = 40


@dataclass(frozen=True)
class RateTest:
    """State of the test. ``stakes``: on the alternatives."""

    tolerance: float
    stakes: Stakes = field(default_factory=lambda: Stakes.on(WEIGHTS))
    old_requests: int = 0
    old_hits: int = 0

    def update(self, counts: Counts) -> "RateTest":
        """The state after a block. A block without requests of both versions adds nothing but the old rate."""
        old_n, old_k, new_n, _ = counts
        after = replace(self, old_requests=self.old_requests + old_n, old_hits=self.old_hits + old_k)
        if self.old_requests < FEWEST or not old_n or not new_n:
            return after
        old = (self.old_hits + PRIOR_HITS) / (self.old_requests + PRIOR_REQUESTS)
        old = min(old, LARGEST_RATE - self.tolerance)
        steps = [
            log_ratio(counts, old, min(old + self.tolerance + effect, LARGEST_RATE), self.tolerance)
            for effect in assumed_effects(old)
        ]
        return replace(after, stakes=self.stakes.multiply(steps))

    def enter_stage(self) -> "RateTest":
        """Enter a stage, in which a difference may begin that was not there before."""
        return replace(self, stakes=self.stakes.enter_stage())

    @property
    def log_evidence(self) -> float:
        """Logarithm of the e-value."""
        return self.stakes.log_evidence


def assumed_effects(old: float) -> tuple[float, ...]:
    """Return the effects beyond the tolerance that the alternatives assume, in the order of their weights."""
    return (*EFFECTS, min(max(RELATIVE * old, LEAST_EFFECT), MOST_EFFECT))


def log_ratio(counts: Counts, old: float, new: float, tolerance: float) -> float:
    """Return the logarithm of the likelihood of the alternative (``old``, ``new``) over that of its projection."""
    old_n, old_k, new_n, new_k = counts
    if new <= old + tolerance:
        return 0.0
    null_old = project(old_n, new_n, old, new, tolerance)
    null_new = null_old + tolerance
    return (
        old_k * math.log(old / null_old)
        + (old_n - old_k) * math.log((1 - old) / (1 - null_old))
        + new_k * math.log(new / null_new)
        + (new_n - new_k) * math.log((1 - new) / (1 - null_new))
    )


def project(old_n: float, new_n: float, old: float, new: float, tolerance: float) -> float:
    """The old rate of the closest point of the null hypothesis: it lies on the edge, where new = old +
    tolerance. A negative tolerance is one by which the new rate must be smaller."""
    if tolerance == 0:
        return (old_n * old + new_n * new) / (old_n + new_n)
    low, high = max(old, -tolerance), new - tolerance
    for _ in range(BISECTIONS):
        middle = (low + high) / 2
        shifted = middle + tolerance
        slope = old_n * (middle - old) / (middle * (1 - middle)) + new_n * (shifted - new) / (
            shifted * (1 - shifted)
        )
        low, high = (low, middle) if slope > 0 else (middle, high)
    return (low + high) / 2
