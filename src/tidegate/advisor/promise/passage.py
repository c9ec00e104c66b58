"""Evidence as a Brownian motion: its growth over the stages of a rollout, and the chance that it passes a limit."""

import math
from dataclasses import dataclass

from tidegate.evidence.block_widths import LATEST_WIDTHS, block_width

OVERSHOOT = 0.5826
"""By how many deviations of one look a walk that is looked at now and then passes a limit later (Siegmund
1979)."""


@dataclass(frozen=True)
class ComparedStage:
    """``share``: part of the requests that the new version gets, 0 to 1; ``seconds``: its bake; ``rate``: requests
    per second to both versions."""

    share: float
    seconds: float
    rate: float

    @property
    def compared(self) -> bool:
        """Whether both versions get requests."""
        return 0 < self.share < 1 and self.seconds > 0

    @property
    def paired(self) -> bool:
        """Whether the new version gets copies of the old one's requests."""
        return self.share < 1 and self.seconds > 0


@dataclass(frozen=True)
class Growth:
    """Mean and variance of the logarithm of the evidence that some requests add."""

    mean: float = 0.0
    variance: float = 0.0

    def __add__(self, other: "Growth") -> "Growth":
        return Growth(self.mean + other.mean, self.variance + other.variance)


def count_blocks(seconds: float) -> int:
    """Blocks of a stage of this length."""
    blocks, begin = 0.0, 0.0
    for until, width in LATEST_WIDTHS:
        blocks += max(0.0, min(seconds, until) - begin) / width
        begin = until
    blocks += max(0.0, seconds - begin) / block_width(seconds)
    return max(1, round(blocks))


def pass_chance(growth: Growth, limit: float, looks: int) -> float:
    """Probability that a Brownian motion with this growth at its end has passed the limit at one of the looks."""
    if growth.variance <= 0:
        return float(growth.mean >= limit)
    deviation = math.sqrt(growth.variance)
    limit += OVERSHOOT * deviation / math.sqrt(looks)
    over = _normal((growth.mean - limit) / deviation)
    mirrored = 2 * growth.mean * limit / growth.variance
    back = _normal((-growth.mean - limit) / deviation)
    return over + (math.exp(mirrored + math.log(back)) if back > 0 and mirrored < 700 else 0.0)


def _normal(z: float) -> float:
    return math.erfc(-z / math.sqrt(2)) / 2
