"""The tests of the feature evidence for many rollouts at a time, as arrays. A unit test compares them with those."""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from tidegate.statistics import assignments, assurance, means, rates, shares, stakes

Array = NDArray[np.float64]
NEWTONS = 8
"""Steps of a safeguarded Newton iteration, which gives the projection to the last digits."""
LEAST = 1e-12
"""Least rate of the other version at the projection, where that is smaller by a part."""


class StakesOfMany:
    """``stakes.Stakes`` of many rollouts. A rollout whose block has nothing to add keeps its number of blocks."""

    def __init__(self, rollouts: int, weights: Sequence[float]) -> None:
        self.weights = np.array(weights)[:, np.newaxis]
        self.first = np.zeros((len(weights), rollouts))
        self.later = np.full((len(weights), rollouts), -np.inf)
        self.blocks = np.zeros(rollouts)
        self.stages = 0

    def multiply(self, steps: Array, used: NDArray[np.bool_]) -> None:
        """``steps``: by bet and rollout. ``used``: rollouts whose block counts."""
        n = np.maximum(self.blocks, 1)
        soon = stakes.SOON_PART / (n * (n + 1))
        part = soon + stakes.LATE_PART * stakes.EVEN / ((stakes.EVEN + n - 1) * (stakes.EVEN + n))
        begun = np.log(np.where(used & (self.blocks > 0), part, 1e-300))
        self.later = np.logaddexp(self.later, begun)
        self.first, self.later = self.first + np.where(used, steps, 0), self.later + np.where(used, steps, 0)
        self.blocks += used

    def enter_stage(self) -> None:
        """As if all rollouts had blocks before it."""
        self.stages += 1
        self.later = np.logaddexp(self.later, np.log(stakes.STAGE_PART / (self.stages * (self.stages + 1))))

    @property
    def log_evidence(self) -> Array:
        n = np.maximum(self.blocks, 1)
        left = stakes.SOON_PART / n + stakes.STAGE_PART / (self.stages + 1)
        left += stakes.LATE_PART * stakes.EVEN / (stakes.EVEN + n - 1)
        most = np.maximum(np.maximum(self.first, self.later).max(axis=0), 0.0)
        placed = stakes.FIRST_PART * np.exp(self.first - most) + np.exp(self.later - most)
        return np.asarray(most + np.log((self.weights * placed).sum(axis=0) + left * np.exp(-most)))


class RateTests:
    """``rates.RateTest`` of many rollouts."""

    def __init__(self, rollouts: int, tolerance: float) -> None:
        self.tolerance = tolerance
        self.stakes = StakesOfMany(rollouts, rates.WEIGHTS)
        self.old_n = np.zeros(rollouts)
        self.old_k = np.zeros(rollouts)

    def update(self, old_n: Array, old_k: Array, new_n: Array, new_k: Array) -> None:
        old = (self.old_k + rates.PRIOR_HITS) / (self.old_n + rates.PRIOR_REQUESTS)
        old = np.minimum(old, rates.LARGEST_RATE - self.tolerance)
        used = (self.old_n >= rates.FEWEST) & (old_n > 0) & (new_n > 0)
        relative = np.clip(rates.RELATIVE * old, rates.LEAST_EFFECT, rates.MOST_EFFECT)
        steps = []
        for effect in (*rates.EFFECTS, relative):
            new = np.minimum(old + self.tolerance + effect, rates.LARGEST_RATE)
            step = log_ratios((old_n, old_k, new_n, new_k), old, new, self.tolerance)
            steps.append(np.where(new > old + self.tolerance, step, 0.0))
        self.stakes.multiply(np.array(steps), used)
        self.old_n += old_n
        self.old_k += old_k

    @property
    def log_evidence(self) -> Array:
        return self.stakes.log_evidence


class HarmRateTests:
    """``assurance.HarmRateTest`` of many rollouts."""

    def __init__(self, rollouts: int, harm: float) -> None:
        self.harm = harm
        self.stakes = StakesOfMany(rollouts, assurance.WEIGHTS)
        self.requests = np.zeros(rollouts)
        self.hits = np.zeros(rollouts)

    def update(self, old_n: Array, old_k: Array, new_n: Array, new_k: Array, seconds: int = 1) -> None:
        usual = (self.hits + rates.PRIOR_HITS) / (self.requests + rates.PRIOR_REQUESTS)
        usual = np.minimum(usual, assurance.LARGEST_RATE - self.harm)
        used = (self.requests >= rates.FEWEST) & (old_n > 0) & (new_n > 0)
        power = np.minimum(1.0, assurance.MOST_PER_SECOND * seconds / np.maximum(new_n, 1)) / assurance.CLUMP
        counts = (new_n, new_k, old_n, old_k)
        steps = [
            power * log_ratios(counts, usual + part * self.harm, usual, -self.harm) for part in assurance.PARTS
        ]
        self.stakes.multiply(np.array(steps), used)
        self.requests += old_n + new_n
        self.hits += old_k + new_k

    @property
    def log_evidence(self) -> Array:
        return self.stakes.log_evidence


def log_ratios(counts: tuple[Array, Array, Array, Array], old: Array, new: Array, delta: float) -> Array:
    """``rates.log_ratio`` of many rollouts."""
    old_n, old_k, new_n, new_k = counts
    null = _project(old_n, new_n, old, new, delta)
    shifted = null + delta
    step = old_k * np.log(old / null) + (old_n - old_k) * np.log((1 - old) / (1 - null))
    step += new_k * np.log(new / shifted) + (new_n - new_k) * np.log((1 - new) / (1 - shifted))
    return np.asarray(step)


def _project(old_n: Array, new_n: Array, old: Array, new: Array, delta: float) -> Array:
    low, high = np.maximum(old, LEAST - delta if delta < 0 else 0.0), new - delta
    start = (old_n * old + new_n * high) / np.maximum(old_n + new_n, 1)
    if delta < 0:
        # The root lies close to where the other version's rate would be zero.
        pull = old_n * np.maximum(0.0, -delta - old) / (-delta * (1 + delta))
        start = np.where(pull > 0, new * new_n / np.maximum(new_n + pull, LEAST) - delta, start)
    at = np.clip(start, low, high)
    for _ in range(NEWTONS):
        shifted = at + delta
        one, two = at * (1 - at), shifted * (1 - shifted)
        slope = old_n * (at - old) / one + new_n * (shifted - new) / two
        bend = old_n * (1 / one - (at - old) * (1 - 2 * at) / one**2)
        bend += new_n * (1 / two - (shifted - new) * (1 - 2 * shifted) / two**2)
        low, high = np.where(slope > 0, low, at), np.where(slope > 0, at, high)
        step = at - slope / np.where(bend > 0, bend, np.inf)
        at = np.where((step >= low) & (step <= high), step, (low + high) / 2)
    return np.asarray(at)


class ShareTests:
    """``shares.ShareTest`` of many rollouts."""

    def __init__(self, rollouts: int, tolerance: float) -> None:
        self.tolerance = tolerance
        self.stakes = StakesOfMany(rollouts, shares.WEIGHTS)

    def update(self, old_n: Array, old_k: Array, new_n: Array, new_k: Array) -> None:
        used = (old_n > 0) & (new_n > 0)
        apart = new_k / np.maximum(new_n, 1) - old_k / np.maximum(old_n, 1)
        gain = np.where(used, (apart - self.tolerance) / (1 + self.tolerance), 0.0)
        self.stakes.multiply(np.log1p(np.array(shares.BETS)[:, np.newaxis] * gain), used)

    @property
    def log_evidence(self) -> Array:
        return self.stakes.log_evidence


class AssignmentTests:
    """``assignments.AssignmentTest`` of many rollouts."""

    def __init__(self, rollouts: int, tolerance: float) -> None:
        self.tolerance = tolerance
        self.stakes = StakesOfMany(rollouts, assignments.WEIGHTS)
        self.old_n = np.zeros(rollouts)
        self.old_k = np.zeros(rollouts)

    def update(self, old_n: Array, old_k: Array, new_n: Array, new_k: Array, alike: Array) -> None:
        shares = np.round(assignments.STEP * self.old_k / np.maximum(self.old_n, 1)) / assignments.STEP
        used = (self.old_n >= rates.FEWEST) & (old_n > 0) & (new_n > 0)
        used &= shares + self.tolerance < 1 - assignments.LEAST_SHARE
        shares = np.maximum(shares, assignments.LEAST_SHARE)
        kinds, kind = np.unique(np.stack([old_n, new_n, alike, shares], axis=1)[used], axis=0, return_inverse=True)
        steps = np.zeros((len(assignments.EFFECTS), len(old_n)))
        for number, effect in enumerate(assignments.EFFECTS):
            bets = np.array([self._bet(row, effect) for row in kinds]).reshape(-1, 3)[kind.ravel()]
            steps[number, used] = bets[:, 0] * new_k[used] - bets[:, 1] * old_k[used] - bets[:, 2]
        self.stakes.multiply(steps, used)
        self.old_n += old_n
        self.old_k += old_k

    def _bet(self, kind: Array, effect: float) -> tuple[float, float, float]:
        old_n, new_n, alike = (int(one) for one in kind[:3])
        together = assignments.group_size(old_n, new_n, alike)
        return assignments.choose_bet(old_n, new_n, float(kind[3]), effect, self.tolerance, together)

    @property
    def log_evidence(self) -> Array:
        """Logarithm of the e-value of each rollout."""
        return self.stakes.log_evidence


class MeanTests:
    """``means.MeanTest`` of many rollouts."""

    def __init__(self, rollouts: int, tolerance: float) -> None:
        self.tolerance = tolerance
        self.stakes = StakesOfMany(rollouts, (1 / len(means.BETS),) * len(means.BETS))
        self.count = np.zeros(rollouts)
        self.total = np.zeros(rollouts)

    def update(self, count: Array, total: Array, squares: Array) -> None:
        mean = np.maximum((self.total + self.tolerance) / (self.count + 1), max(self.tolerance, means.LEAST_MEAN))
        spread = (squares - 2 * mean * total + count * mean * mean) / mean**2
        gain = (total - count * self.tolerance) / mean
        bets, penalties = np.array(means.BETS)[:, np.newaxis], np.array(means.PENALTIES)[:, np.newaxis]
        self.stakes.multiply(bets * gain - penalties * spread, count > 0)
        self.count += count
        self.total += total

    @property
    def log_evidence(self) -> Array:
        return self.stakes.log_evidence


class NetTests:
    """``means.NetTest`` of many rollouts."""

    def __init__(self, rollouts: int, tolerance: float) -> None:
        self.tolerance = tolerance
        self.stakes = StakesOfMany(rollouts, means.NET_WEIGHTS)

    def update(self, alike: Array, worse: Array, better: Array, seconds: int) -> None:
        count = alike + worse + better
        part = np.minimum(1.0, means.MOST_PER_SECOND * seconds / np.maximum(count, 1))
        bets, delta = np.array(means.NET_BETS)[:, np.newaxis], self.tolerance
        steps = worse * np.log1p(bets * (1 - delta) / (1 + delta)) + better * np.log1p(-bets)
        steps += alike * np.log1p(-bets * delta / (1 + delta))
        self.stakes.multiply(np.minimum(part * steps, means.MOST_STEP * math.sqrt(seconds)), count > 0)

    @property
    def log_evidence(self) -> Array:
        return self.stakes.log_evidence


def log_mean(logs: list[Array]) -> Array:
    """Logarithm of the mean of e-values given by their logarithms."""
    return _mixture(np.array(logs), (1 / len(logs),) * len(logs))


def _mixture(logs: Array, weights: tuple[float, ...]) -> Array:
    most = logs.max(axis=0)
    mean = sum(weight * np.exp(log - most) for weight, log in zip(weights, logs, strict=True))
    return np.asarray(most + np.log(mean))
