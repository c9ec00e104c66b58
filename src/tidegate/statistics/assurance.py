"""Tests of the reversed null: is it ruled out that the new version is worse by a given harm, or more?

A test of ``rates`` asks whether a version is worse; these ask whether a harm can be excluded. Each is an e-process
under the null hypothesis that the harm is there, so a version that has it is ever cleared of it with a probability of
1 / limit at most, at all looks together (Ville's inequality). The running maximum of an e-process counts: the
inequality is about its supremum. Of several harms each must be excluded at the same level, and nothing is divided
among them (intersection-union test: Berger, Technometrics 24, 1982).

Shares of blocks are tested by ``shares.ShareTest`` and means by ``means.MeanTest``, with the versions swapped, or the
values mirrored. This module has what these lack."""

import math
from dataclasses import dataclass, field, replace

from tidegate.domain.evidence import Counts
from tidegate.statistics.rates import FEWEST, PRIOR_HITS, PRIOR_REQUESTS, log_ratio, project
from tidegate.statistics.stakes import FIRST_PART, Stakes

PARTS = (0.0, 0.5)
"""Parts of the harm that the alternatives assume of the new version."""
WEIGHTS = (0.7, 0.3)
"""Parts of the stake on each of them; their sum is 1."""
CLUMP = 2
"""Failures that come together on average, such as those of a client that tries again: this many requests count as
one. Of independent requests one would do."""
MOST_PER_SECOND = 20
"""Requests of the new version as which those of one second count at most, before ``CLUMP``: a good second of many
requests says little about the next one."""
LEAST_RATE, LARGEST_RATE = 1e-5, 0.999


@dataclass(frozen=True)
class HarmRateTest:
    """State of the test whose null hypothesis is that the new version's failure rate exceeds the old one's by
    ``harm`` or more. It is ``rates.RateTest`` with the versions swapped and a negative tolerance, and with
    alternatives that fit: the new version fails as often as the old one, or by a part of the harm more. The step of a
    block is raised to a power below 1 (an e-value remains one), for requests that are not independent.
    ``stakes``: on the alternatives. ``requests`` and ``hits``: of both versions, before the next block."""

    harm: float
    """Above 0 and below 1."""
    stakes: Stakes = field(default_factory=lambda: Stakes.on(WEIGHTS))
    requests: int = 0
    hits: int = 0

    def update(self, counts: Counts, seconds: int = 1) -> "HarmRateTest":
        """The state after a block of so many seconds. One without requests of both versions adds nothing but the
        rate."""
        old_n, old_k, new_n, new_k = counts
        after = replace(self, requests=self.requests + old_n + new_n, hits=self.hits + old_k + new_k)
        if self.requests < FEWEST or not old_n or not new_n:
            return after
        usual = (self.hits + PRIOR_HITS) / (self.requests + PRIOR_REQUESTS)
        usual = min(usual, LARGEST_RATE - self.harm)
        power = min(1.0, MOST_PER_SECOND * seconds / new_n) / CLUMP
        swapped = (new_n, new_k, old_n, old_k)
        steps = [power * log_ratio(swapped, usual + part * self.harm, usual, -self.harm) for part in PARTS]
        return replace(after, stakes=self.stakes.multiply(steps))

    def enter_stage(self) -> "HarmRateTest":
        """Enter a stage, in which a version may do better than before."""
        return replace(self, stakes=self.stakes.enter_stage())

    @property
    def log_evidence(self) -> float:
        """Logarithm of the e-value against the harm."""
        return self.stakes.log_evidence


def count_requests(harm: float, usual: float, missed: float, share: float = 0.25) -> int:
    """Return about how many requests of the new version the test needs if both versions fail at the usual rate and
    the new one gets this share of them, few in a second."""
    usual = min(max(usual, LEAST_RATE), LARGEST_RATE - harm)
    null = project(share, 1 - share, usual, usual, -harm)
    new = usual * math.log(usual / null) + (1 - usual) * math.log((1 - usual) / (1 - null))
    other = null - harm
    old = usual * math.log(usual / other) + (1 - usual) * math.log((1 - usual) / (1 - other))
    growth = (new + (1 - share) / share * old) / CLUMP
    return math.ceil((-math.log(missed) - math.log(FIRST_PART * WEIGHTS[0])) / growth)
