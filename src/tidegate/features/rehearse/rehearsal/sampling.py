"""Draws a version's requests period by period: how many arrive, how many fail, how slow they are.

Requests are divided into latency kinds whose numbers are independent and Poisson distributed; a binomial number of
all requests fails. The limits between kinds are the latencies that an alarm distinguishes, so what an alarm sees is
distributed as if each request had been drawn individually.
"""

import math
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import accumulate, pairwise
from random import Random
from typing import NamedTuple

from tidegate.features.rehearse.promise import Baseline, LatencyDistribution, distributions

FINE_CUTS = (0.0001, 0.001, 0.01, *(i / 24 for i in range(1, 24)), 0.97, 0.98, 0.99, 0.995, 0.999, 0.9999)
"""Quantiles that also separate kinds if an alarm watches an average or a sum."""
_SLICES = 64

Table = tuple[int, list[float]]
"""The smallest number, and the cumulative probabilities from there on."""


@dataclass(frozen=True)
class LatencyKind:
    """Requests of similar latency: their fraction of all requests, and their mean in microseconds."""

    part: float
    latency: float


def make_kinds(spread: LatencyDistribution | None, cuts: Iterable[float]) -> tuple[LatencyKind, ...]:
    """Make kinds that ``cuts`` (latencies) separate. Without a distribution there is one kind without a latency."""
    if spread is None:
        return (LatencyKind(1.0, 0.0),)
    inner = sorted({1 - spread.slower_than(cut) for cut in cuts})
    edges = [0.0, *(part for part in inner if 0 < part < 1), 1.0]
    return tuple(LatencyKind(b - a, _mean_between(spread, a, b)) for a, b in pairwise(edges) if b > a)


def _mean_between(spread: LatencyDistribution, low: float, high: float) -> float:
    width = (high - low) / _SLICES
    parts = (min(1 - 1e-15, max(1e-15, low + (i + 0.5) * width)) for i in range(_SLICES))
    return sum(spread.quantile(part) for part in parts) / _SLICES


class DrawnRequests(NamedTuple):
    """One version's requests in one period. ``kinds``: number of requests of each kind. ``predictions``: sum of the
    predictions."""

    requests: int = 0
    errors: int = 0
    kinds: tuple[int, ...] = ()
    predictions: float = 0.0
    refused: int = 0

    def plus(self, other: "DrawnRequests") -> "DrawnRequests":
        if not other.requests:
            return self
        if not self.requests:
            return other
        return DrawnRequests(
            self.requests + other.requests,
            self.errors + other.errors,
            tuple(a + b for a, b in zip(self.kinds, other.kinds, strict=True)),
            self.predictions + other.predictions,
            self.refused + other.refused,
        )


NOTHING = DrawnRequests()


@dataclass
class RequestSampler:
    """Draws one version's requests. Tables are cached between periods and can be shared between runs: ``chance`` is
    the only state."""

    side: Baseline
    kinds: Sequence[LatencyKind]
    _numbers: dict[float, list[Table]] = field(default_factory=dict)
    _parts: dict[tuple[float, int], Table] = field(default_factory=dict)

    def draw(self, expected: float, chance: Random, *, often: bool = True) -> DrawnRequests:
        """Draw a period with so many expected requests. ``often``: more periods like it will follow, so cache its
        table."""
        if expected <= 0:
            return NOTHING
        tables = self._numbers.get(expected)
        if tables is None:
            tables = [_accumulate(distributions.poisson(expected * kind.part)) for kind in self.kinds]
            if often:
                self._numbers[expected] = tables
        uniform = chance.random
        numbers = [low + bisect_right(sums, uniform()) for low, sums in tables]
        requests = sum(numbers)
        if not requests:
            return NOTHING
        failed = self._part(requests, self.side.error_rate, chance)
        shift = self._predictions(requests, chance)
        return DrawnRequests(
            requests, failed, tuple(numbers), shift, self._part(requests, self.side.refusal_rate, chance)
        )

    def _part(self, requests: int, rate: float, chance: Random) -> int:
        """Draw how many of the requests do what a fraction ``rate`` of all do."""
        if not rate:
            return 0
        table = self._parts.get((rate, requests))
        if table is None:
            table = self._parts[rate, requests] = _accumulate(distributions.binomial(requests, rate))
        return table[0] + bisect_right(table[1], chance.random())

    def _predictions(self, requests: int, chance: Random) -> float:
        usual = self.side.predictions
        if usual is None:
            return 0.0
        return requests * usual.mean + chance.gauss(0.0, 1.0) * usual.deviation * math.sqrt(requests)


def _accumulate(found: tuple[int, list[float]]) -> Table:
    low, chances = found
    return low, [*list(accumulate(chances))[:-1], 1.0]
