"""Test of two shares from random assignment: does the new version move more requests from a miss to a hit than a
tolerance allows? Chance decides which version answers a request, so that choice itself is the experiment.

The test is an e-process like that of ``rates``. Think of what the old version would answer each of the N requests
of a block as given: K of them are hits. How many of these chance gave to the new version is hypergeometric, however
the requests depend on one another (Fisher, "The Design of Experiments", 1935). The new version may have moved some
of the other N - K to hits (Rosenbaum, "Effects attributable to treatment", Biometrika 88, 2001). Each block
multiplies the e-process by ``exp(gain * new hits - loss * old hits)`` over the largest expectation that this can
have for any K, while the part of the requests that is expected to be moved is the tolerance at most. So the
expectation of the ratio is at most 1, whatever K is, and Ville's inequality bounds the product at all looks
together.

Requests that are equal are moved together: then the part that is moved varies around the tolerance, and a test that
takes them for independent finds a difference that is none. The bound holds if the requests of a block are moved in
groups of at most ``together`` requests, by chance for each group; where none is moved it holds whatever they are
like. With q misses of the old version on the new one and groups of the size m, the numbers of a group's requests
there are negatively associated (Joag-Dev and Proschan, Annals of Statistics 11, 1983), and each is at most as
spread as a binomial number (Hoeffding, JASA 58, 1963). So the expectation of ``exp(gain * moved)`` is at most ``(1
+ p * ((1 + q * z / (N - K)) ** m - 1)) ** ((N - K) / m)``, where z = exp(gain) - 1 and p is the probability that a
group is moved. It grows with m and is concave in p, so smaller groups and unequal probabilities give less.

It takes for granted that each request is assigned by itself, and that no request changes the answer to another one.
So it is no test of latencies: a request waits for those before it that went to the same version."""

import math
from dataclasses import dataclass, field, replace
from functools import lru_cache

from tidegate.domain.evidence import Counts
from tidegate.statistics.rates import FEWEST, project
from tidegate.statistics.stakes import Stakes

EFFECTS = (0.09, 0.25, 0.5)
"""Differences beyond the tolerance that the alternatives assume."""
WEIGHTS = (0.2, 0.4, 0.4)
"""Parts of the stake on each of them; their sum is 1."""
TOGETHER = 5
"""Requests of a block that are taken to be moved together at least."""
STEP = 20
"""The old version's share is rounded to such parts of 1, so that the same blocks have the same bets."""
LEAST_SHARE = 0.01
EXACT = 160
"""Requests of a block up to which the largest expectation is computed; of more, a bound of it."""
PLACES = 8
"""Numbers of hits between which the largest expectation is looked for at first."""
LOG_FACTORIALS = [math.lgamma(n + 1) for n in range(EXACT + 1)]
NEGLIGIBLE = -30.0
"""Logarithm of a term, to the largest one, from which on terms are left out."""


@dataclass(frozen=True)
class AssignmentTest:
    """State of the test. ``stakes``: on the alternatives."""

    tolerance: float
    stakes: Stakes = field(default_factory=lambda: Stakes.on(WEIGHTS))
    old_requests: int = 0
    old_hits: int = 0

    def update(self, counts: Counts, alike: int | None = None) -> "AssignmentTest":
        """The state after a block. A block without requests of both versions adds nothing but the old share.
        ``alike``: the largest number of the old version's requests that may be equal; None: all of them may be."""
        old_n, old_k, new_n, new_k = counts
        after = replace(self, old_requests=self.old_requests + old_n, old_hits=self.old_hits + old_k)
        if self.old_requests < FEWEST or not old_n or not new_n:
            return after
        share = round(STEP * self.old_hits / self.old_requests) / STEP
        if share + self.tolerance >= 1 - LEAST_SHARE:
            return after
        together = group_size(old_n, new_n, alike)
        steps = []
        for effect in EFFECTS:
            gain, loss, most = choose_bet(old_n, new_n, max(share, LEAST_SHARE), effect, self.tolerance, together)
            steps.append(gain * new_k - loss * old_k - most)
        return replace(after, stakes=self.stakes.multiply(steps))

    def enter_stage(self) -> "AssignmentTest":
        """Enter a stage, in which a difference may begin that was not there before."""
        return replace(self, stakes=self.stakes.enter_stage())

    @property
    def log_evidence(self) -> float:
        """Logarithm of the e-value."""
        return self.stakes.log_evidence


def group_size(old_n: int, new_n: int, alike: int | None) -> int:
    """Return how many requests of a block are taken to be moved together at most. Of those that are equal chance gave
    the old version its share."""
    whole = old_n + new_n
    return whole if alike is None else min(whole, max(TOGETHER, math.ceil(alike * whole / old_n)))


@lru_cache(65536)
def choose_bet(
    old_n: int, new_n: int, share: float, effect: float, tolerance: float, together: int
) -> tuple[float, float, float]:
    """Return the gain by a hit of the new version, the loss by one of the old version, and what is taken off for the
    block. They are those of the likelihood ratio to the closest shares within the tolerance, for a smaller effect
    the more what is moved varies by chance."""
    part, edge = new_n / (old_n + new_n), share + tolerance
    usual, moved = edge * (1 - edge), together * part * (1 - part) * tolerance * (1 - tolerance)
    new = min(edge + effect * usual / (usual + moved), (1 + edge) / 2, 1 - LEAST_SHARE)
    null = project(old_n, new_n, share, new, tolerance)
    gain, loss = log_odds(new) - log_odds(null + tolerance), log_odds(null) - log_odds(share)
    return gain, loss, log_normaliser(old_n, new_n, share, gain, loss, tolerance, together)


def log_odds(rate: float) -> float:
    return math.log(rate / (1 - rate))


def log_normaliser(
    old_n: int, new_n: int, share: float, gain: float, loss: float, tolerance: float, together: int
) -> float:
    """Return the logarithm of the largest expectation of ``exp(gain * new hits - loss * old hits)``: for any given
    number of hits, and where groups of requests are hits of the old version together, by chance, with its share."""
    whole = old_n + new_n
    if whole > EXACT:
        return log_bound(old_n, new_n, gain, loss, tolerance, together)

    @lru_cache(None)
    def expect(hits: int) -> float:
        part = min(1.0, tolerance * whole / max(1, whole - hits))
        return log_expectation(old_n, new_n, hits, gain, loss, part, together)

    width = max(1, whole // PLACES)
    best = max((*range(0, whole, width), whole), key=expect)
    low, high = max(0, best - width), min(whole, best + width)
    while high - low > 2:
        one, two = low + (high - low) // 3, high - (high - low) // 3
        low, high = (one, high) if expect(one) < expect(two) else (low, two)
    fixed = max(expect(hits) for hits in (best, *range(low, high + 1)))
    groups, part = max(1, whole // together), min(1.0, tolerance / (1 - share))
    drawn = [
        log_choose(groups, hits)
        + hits * math.log(share)
        + (groups - hits) * math.log1p(-share)
        + log_expectation(old_n, new_n, round(hits * whole / groups), gain, loss, part, together)
        for hits in range(groups + 1)
    ]
    return max(fixed, log_sum(drawn))


def log_bound(old_n: int, new_n: int, gain: float, loss: float, tolerance: float, together: int) -> float:
    """Return an upper bound of that which needs no sums: any of the requests may be moved, hits included, and the
    number of hits on the new version is taken for binomial (Hoeffding 1963)."""
    whole = old_n + new_n
    odds = math.expm1(gain + loss)
    rate = min(1.0, max(0.0, new_n / (whole * loss) - 1 / odds))
    grown = together * math.log1p(new_n / whole * math.expm1(gain))
    moved = whole / together * (grown + math.log(tolerance + (1 - tolerance) * math.exp(-grown)))
    return new_n * math.log1p(rate * odds) - loss * whole * rate + moved


def log_sum(logs: list[float]) -> float:
    most = max(logs)
    return most + math.log(math.fsum(math.exp(one - most) for one in logs))


def log_expectation(
    old_n: int, new_n: int, hits: int, gain: float, loss: float, part: float, together: int
) -> float:
    """Return the logarithm of the largest expectation of ``exp(gain * new hits - loss * old hits)`` where ``hits`` of
    the requests are hits of the old version, and each group of the others is moved with the probability ``part``."""
    misses = old_n + new_n - hits
    lowest, highest = max(0, hits - old_n), min(hits, new_n)
    size, z = min(together, misses), math.expm1(gain)
    fixed = LOG_FACTORIALS[hits] + LOG_FACTORIALS[misses] - log_choose(old_n + new_n, new_n) - loss * hits

    def term(at: int) -> float:
        count = new_n - at
        log = (gain + loss) * at
        if count and size == 1:
            log += count * math.log1p(part * z)
        elif count:
            grown = size * math.log1p(count / misses * z)
            log += misses / size * (grown + math.log(part + (1 - part) * math.exp(-grown)))
        places = LOG_FACTORIALS[at] + LOG_FACTORIALS[hits - at]
        return log - places - LOG_FACTORIALS[count] - LOG_FACTORIALS[misses - count]

    middle = min(highest, max(lowest, round(new_n * hits / (old_n + new_n))))
    found, most = [term(middle)], term(middle)
    for step, end in ((1, highest), (-1, lowest)):
        at = middle
        while at != end:
            at += step
            found.append(term(at))
            most = max(most, found[-1])
            if found[-1] < most + NEGLIGIBLE:
                break
    return fixed + log_sum(found)


def log_choose(n: int, k: int) -> float:
    return LOG_FACTORIALS[n] - LOG_FACTORIALS[k] - LOG_FACTORIALS[n - k]
