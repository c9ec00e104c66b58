"""Evidence as a Brownian motion: its growth over the stages of a rollout, and the chance that it passes a limit."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tidegate.features.evidence.block_widths import LAST_WIDTH, LATEST_WIDTHS

PLACED = 0.9
"""Part of a stake that a difference meets which is there from the beginning: what begins some blocks later misses
little of it."""
MOST_LUCK, BISECTIONS = 12.0, 40
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


def count_each_width(seconds: float) -> Iterator[tuple[int, float]]:
    """Blocks of a stage of this length, by their width in seconds."""
    begin = 0.0
    for until, width in (*LATEST_WIDTHS, (math.inf, LAST_WIDTH)):
        if seconds > begin:
            yield width, (min(seconds, until) - begin) / width
        begin = until


def count_blocks(seconds: float) -> int:
    return max(1, round(sum(count for _, count in count_each_width(seconds))))


def mixture_chance(level: float, parts: Sequence[float], growths: Sequence[Growth], looks: int) -> float:
    """Probability that the weighted sum of several bets has passed a level at one of the looks. All of them see the
    same requests, so that they are lucky together: where their sum is just at the level at the end, the largest one
    says which limit it has to pass."""
    spreads = [math.sqrt(one.variance) for one in growths]
    known = [math.log(part * PLACED) for part in parts]

    def sides(luck: float) -> list[float]:
        return [log + one.mean + luck * spread for log, one, spread in zip(known, growths, spreads, strict=True)]

    low, high = -MOST_LUCK, MOST_LUCK
    if _log_sum(sides(high)) < level:
        return 0.0
    for _ in range(BISECTIONS):
        middle = (low + high) / 2
        low, high = (middle, high) if _log_sum(sides(middle)) < level else (low, middle)
    found = sides(high)
    best = max(range(len(found)), key=found.__getitem__)
    return _pass_chance(growths[best], found[best] - known[best], looks)


def _log_sum(logs: Sequence[float]) -> float:
    most = max(logs)
    return most + math.log(math.fsum(math.exp(log - most) for log in logs))


def _pass_chance(growth: Growth, limit: float, looks: int) -> float:
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
