"""The tests of ``tidegate.evidence`` for many rollouts at a time, as arrays. A unit test compares them with those."""

import numpy as np
from numpy.typing import NDArray

from tidegate.evidence import rates, shares

Array = NDArray[np.float64]
NEWTONS = 8
"""Steps of a safeguarded Newton iteration, which gives the projection to the last digits."""


class RateTests:
    """``rates.RateTest`` of many rollouts."""

    def __init__(self, rollouts: int, tolerance: float) -> None:
        self.tolerance = tolerance
        self.logs = np.zeros((len(rates.EFFECTS), rollouts))
        self.old_n = np.zeros(rollouts)
        self.old_k = np.zeros(rollouts)

    def update(self, old_n: Array, old_k: Array, new_n: Array, new_k: Array) -> None:
        old = (self.old_k + rates.PRIOR_HITS) / (self.old_n + rates.PRIOR_REQUESTS)
        old = np.minimum(old, rates.LARGEST_RATE - self.tolerance)
        used = (self.old_n >= rates.FEWEST) & (old_n > 0) & (new_n > 0)
        for number, effect in enumerate(rates.EFFECTS):
            new = np.minimum(old + self.tolerance + effect, rates.LARGEST_RATE)
            null = self._project(old_n, new_n, old, new)
            shifted = null + self.tolerance
            step = old_k * np.log(old / null) + (old_n - old_k) * np.log((1 - old) / (1 - null))
            step += new_k * np.log(new / shifted) + (new_n - new_k) * np.log((1 - new) / (1 - shifted))
            self.logs[number] += np.where(used, step, 0.0)
        self.old_n += old_n
        self.old_k += old_k

    def _project(self, old_n: Array, new_n: Array, old: Array, new: Array) -> Array:
        delta = self.tolerance
        low, high = old.copy(), new - delta
        at = np.clip((old_n * old + new_n * high) / np.maximum(old_n + new_n, 1), low, high)
        for _ in range(NEWTONS):
            shifted = at + delta
            one, two = at * (1 - at), shifted * (1 - shifted)
            slope = old_n * (at - old) / one + new_n * (shifted - new) / two
            bend = old_n * (1 / one - (at - old) * (1 - 2 * at) / one**2)
            bend += new_n * (1 / two - (shifted - new) * (1 - 2 * shifted) / two**2)
            low, high = np.where(slope > 0, low, at), np.where(slope > 0, at, high)
            step = at - slope / np.where(bend > 0, bend, np.inf)
            at = np.where((step >= low) & (step <= high), step, (low + high) / 2)
        return at

    @property
    def log_evidence(self) -> Array:
        return _mixture(self.logs, rates.WEIGHTS)


class ShareTests:
    """``shares.ShareTest`` of many rollouts."""

    def __init__(self, rollouts: int, tolerance: float) -> None:
        self.tolerance = tolerance
        self.logs = np.zeros((len(shares.BETS), rollouts))

    def update(self, old_n: Array, old_k: Array, new_n: Array, new_k: Array) -> None:
        used = (old_n > 0) & (new_n > 0)
        apart = new_k / np.maximum(new_n, 1) - old_k / np.maximum(old_n, 1)
        gain = np.where(used, (apart - self.tolerance) / (1 + self.tolerance), 0.0)
        for number, bet in enumerate(shares.BETS):
            self.logs[number] += np.log1p(bet * gain)

    @property
    def log_evidence(self) -> Array:
        return _mixture(self.logs, shares.WEIGHTS)


def log_mean(logs: list[Array]) -> Array:
    """Logarithm of the mean of e-values given by their logarithms."""
    return _mixture(np.array(logs), (1 / len(logs),) * len(logs))


def _mixture(logs: Array, weights: tuple[float, ...]) -> Array:
    most = logs.max(axis=0)
    mean = sum(weight * np.exp(log - most) for weight, log in zip(weights, logs, strict=True))
    return np.asarray(most + np.log(mean))
