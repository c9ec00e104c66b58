"""Stakes that begin anew with each block and with each stage, so that a long good time does not hide what begins
after it. Pure."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

FIRST_PART = 0.8
"""Part of the stake of a test that is placed with its first block."""
SOON_PART, LATE_PART, STAGE_PART = 0.1, 0.05, 0.05
"""Parts that are placed with the blocks after it (most of it soon; about evenly over the next ``EVEN``), and with the
stages after the first one."""
EVEN = 600
"""Blocks: a stage has 600 in its first half hour, 660 after an hour, 1,150 after a day."""


@dataclass(frozen=True)
class Stakes:
    """The stakes of one test, on several bets each. A stake is multiplied in every block from its beginning on.

    What has not begun counts as it is. Each part is an e-process, and the parts are fixed beforehand, so their sum is
    one. (Shin, Ramdas and Rinaldo, "E-detectors", 2024, sum the same processes without weights.) With the block after
    the n-th begins SOON / (n (n + 1)) + LATE * EVEN / ((EVEN + n - 1) (EVEN + n)), with the k-th further stage
    STAGE / (k (k + 1)): these add up to the parts."""

    weights: tuple[float, ...]
    """By bet: its part; their sum is 1."""
    first: tuple[float, ...]
    """By bet: the logarithm of what a stake of 1 from the first block on has become."""
    later: tuple[float, ...]
    """By bet: the logarithm of what has become of all that began later."""
    blocks: int = 0
    stages: int = 0
    """Stages entered after the first block."""

    @classmethod
    def on(cls, weights: Sequence[float]) -> "Stakes":
        return cls(tuple(weights), (0.0,) * len(weights), (-math.inf,) * len(weights))

    def multiply(self, steps: Sequence[float]) -> "Stakes":
        """After a block that multiplies each bet by the exponential of its step."""
        begun = self
        if self.blocks:
            n = self.blocks
            begun = self._begin(SOON_PART / (n * (n + 1)) + LATE_PART * EVEN / ((EVEN + n - 1) * (EVEN + n)))
        first = tuple(one + step for one, step in zip(self.first, steps, strict=True))
        later = tuple(one + step for one, step in zip(begun.later, steps, strict=True))
        return replace(self, first=first, later=later, blocks=self.blocks + 1)

    def enter_stage(self) -> "Stakes":
        """At the beginning of a stage: what a new version does with more traffic it may not have done before."""
        if not self.blocks:
            return self
        stage = self.stages + 1
        return replace(self._begin(STAGE_PART / (stage * (stage + 1))), stages=stage)

    def _begin(self, part: float) -> "Stakes":
        return replace(self, later=tuple(log_sum(one, math.log(part)) for one in self.later))

    @property
    def log_evidence(self) -> float:
        """Logarithm of the weighted mean over the bets."""
        left = SOON_PART / max(1, self.blocks) + STAGE_PART / (self.stages + 1)
        left += LATE_PART * EVEN / (EVEN + max(1, self.blocks) - 1)
        first = tuple(FIRST_PART * weight for weight in self.weights)
        return log_mixture((*self.first, *self.later, 0.0), (*first, *self.weights, left))


def log_mixture(logs: Sequence[float], weights: Sequence[float]) -> float:
    """Logarithm of the weighted mean of e-values given by their logarithms, of which one at least is finite."""
    most = max(logs)
    return most + math.log(math.fsum(w * math.exp(log - most) for log, w in zip(logs, weights, strict=True)))


def log_sum(one: float, other: float) -> float:
    """Logarithm of the sum of two numbers that are given by theirs; the second one is finite."""
    most = max(one, other)
    return most + math.log(math.exp(one - most) + math.exp(other - most))
