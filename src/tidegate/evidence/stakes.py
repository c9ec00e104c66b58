"""Stakes that begin anew with each block, so that a long good time does not hide what begins after it. Pure."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from tidegate.evidence.rates import log_mixture

FIRST_PART = 0.5
"""Part of the stake of a test that is placed with its first block."""


@dataclass(frozen=True)
class Stakes:
    """The stakes of one test, on several bets each. A stake is multiplied in every block from its beginning on.

    ``FIRST_PART`` begins with the first block, the rest with later ones: 1 / (n (n + 1)) of it with the block after
    the n-th. What has not begun counts as it is. Each part is an e-process, and the parts are fixed beforehand, so
    their sum is one. (Shin, Ramdas and Rinaldo, "E-detectors", 2024, sum the same processes without weights.)"""

    first: tuple[float, ...]
    """By bet: the logarithm of what a stake of 1 from the first block on has become."""
    later: tuple[float, ...] = ()
    """By bet: the logarithm of what has become of all that began later."""
    blocks: int = 0

    @classmethod
    def on(cls, bets: int) -> "Stakes":
        return cls((0.0,) * bets, (-math.inf,) * bets)

    def multiply(self, steps: Sequence[float]) -> "Stakes":
        """After a block that multiplies each bet by the exponential of its step."""
        later = self.later
        if self.blocks:
            begun = -math.log(self.blocks * (self.blocks + 1))
            later = tuple(_log_sum(one, begun) + step for one, step in zip(later, steps, strict=True))
        first = tuple(one + step for one, step in zip(self.first, steps, strict=True))
        return Stakes(first, later, self.blocks + 1)

    @property
    def log_evidence(self) -> float:
        """Logarithm of the mean over the bets."""
        each, left = 1 / len(self.first), 1 / max(1, self.blocks)
        logs = (*self.first, *self.later, math.log(left))
        first, rest = FIRST_PART * each, (1 - FIRST_PART) * each
        return log_mixture(logs, (first,) * len(self.first) + (rest,) * len(self.later) + (1 - FIRST_PART,))


def _log_sum(one: float, other: float) -> float:
    """Logarithm of the sum of two numbers that are given by theirs; the second one is finite."""
    most = max(one, other)
    return most + math.log(math.exp(one - most) + math.exp(other - most))
