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
from dataclasses import dataclass, replace

from tidegate.domain.evidence import Counts

EFFECTS = (0.004, 0.012, 0.04, 0.12, 0.4)
"""Differences beyond the tolerance that the alternatives assume."""
WEIGHTS = (0.05, 0.1, 0.7, 0.1, 0.05)
"""Parts of the stake on each of them; their sum is 1. Most is on a few percent: much more shows in a few requests
anyway, and much less harms slowly."""
FEWEST = 20
"""Requests of the old version before the first block that counts: its rate is not known earlier."""
PRIOR_HITS, PRIOR_REQUESTS = 0.1, 10.0
"""What is assumed of the old version's rate before any request."""
LARGEST_RATE = 0.999
BISECTIONS = 40


@dataclass(frozen=True)
class RateTest:
    """State of the test. ``logs`` are the logarithms of the e-values of the alternatives."""

    tolerance: float
    logs: tuple[float, ...] = (0.0,) * len(EFFECTS)
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
        steps = (
            log_ratio(counts, old, min(old + self.tolerance + effect, LARGEST_RATE), self.tolerance)
            for effect in EFFECTS
        )
        return replace(after, logs=tuple(log + step for log, step in zip(self.logs, steps, strict=True)))

    @property
    def log_evidence(self) -> float:
        """Logarithm of the e-value."""
        return log_mixture(self.logs, WEIGHTS)


def log_ratio(counts: Counts, old: float, new: float, tolerance: float) -> float:
    """Logarithm of the likelihood of the alternative (``old``, ``new``) over that of its projection."""
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
    tolerance."""
    if tolerance == 0:
        return (old_n * old + new_n * new) / (old_n + new_n)
    low, high = old, new - tolerance
    for _ in range(BISECTIONS):
        middle = (low + high) / 2
        shifted = middle + tolerance
        slope = old_n * (middle - old) / (middle * (1 - middle)) + new_n * (shifted - new) / (
            shifted * (1 - shifted)
        )
        low, high = (low, middle) if slope > 0 else (middle, high)
    return (low + high) / 2


def log_mixture(logs: tuple[float, ...], weights: tuple[float, ...]) -> float:
    """Logarithm of the weighted mean of e-values given by their logarithms."""
    most = max(logs)
    return most + math.log(math.fsum(w * math.exp(log - most) for log, w in zip(logs, weights, strict=True)))
