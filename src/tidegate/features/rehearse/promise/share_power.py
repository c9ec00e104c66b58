"""How fast evidence of the tests of shares grows, for latencies and predictions. Pure.

A block multiplies a bet by a function of the two shares in it. Its mean and variance are sums over what the block can
have: the number of the new version's requests is Poisson distributed, and small enough in most blocks to be counted
out; larger ones, and the old version's, are taken for normal."""

import math
from collections.abc import Iterator, Sequence
from functools import lru_cache

from tidegate.features.rehearse.promise.passage import ComparedStage, Growth, count_each_width
from tidegate.statistics import shares

USUAL_SHARE = 0.5
"""Part of the old version's requests beyond the threshold that sees most: its median."""
COUNTED_OUT = 12
"""New requests of a block that are counted out at most."""
NODES = ((-math.sqrt(3), 1 / 6), (0.0, 2 / 3), (math.sqrt(3), 1 / 6))
"""Of a normal distribution, with their chances (Gauss and Hermite)."""
FAR, NEAR = (2.85697, 0.0112574), (1.355626, 0.2220759)
MORE_NODES = ((-FAR[0], FAR[1]), (-NEAR[0], NEAR[1]), (0.0, 0.5333334), NEAR, FAR)
UNLIKELY = 1e-4

Outcomes = Sequence[tuple[float, float]]
"""Shares with their chances."""


def growth_of_bets(
    stages: Sequence[ComparedStage], tolerance: float, difference: float, most: float
) -> Iterator[Growth]:
    """Of each bet over these stages. ``most``: values of a version that are read in a second."""
    blocks = [
        (number, *_block(stage.rate * width, stage.share, difference, most * width))
        for stage in stages
        for width, number in count_each_width(stage.seconds)
    ]
    for bet in shares.BETS:
        mean = variance = 0.0
        for number, used, old, new in blocks:
            steps = [
                (one * two, math.log1p(bet * (after - before - tolerance) / (1 + tolerance)))
                for before, one in old
                for after, two in new
            ]
            whole = math.fsum(chance for chance, _ in steps)
            first = used * math.fsum(chance * step for chance, step in steps) / whole
            second = used * math.fsum(chance * step * step for chance, step in steps) / whole
            mean, variance = mean + number * first, variance + number * (second - first * first)
        yield Growth(mean, variance)


@lru_cache(4096)
def _block(requests: float, share: float, difference: float, most: float) -> tuple[float, Outcomes, Outcomes]:
    """The chance that a block has requests of both versions, and the shares of the old and of the new one then."""
    old, new = requests * (1 - share), requests * share
    shifted = min(1.0, USUAL_SHARE + difference)
    before = _normal_shares(max(1.0, min(old, most)), USUAL_SHARE, NODES)
    if min(new, most) > COUNTED_OUT:
        return 1.0, before, _normal_shares(min(new, most), shifted, MORE_NODES)
    return -math.expm1(-new), before, list(_counted_shares(new, shifted, most))


def _normal_shares(count: float, share: float, nodes: Sequence[tuple[float, float]]) -> Outcomes:
    spread = math.sqrt(share * (1 - share) / count)
    return [(min(1.0, max(0.0, share + place * spread)), chance) for place, chance in nodes]


def _counted_shares(mean: float, share: float, most: float) -> Iterator[tuple[float, float]]:
    for count in range(1, int(mean + 5 * math.sqrt(mean)) + 5):
        chance = math.exp(count * math.log(mean) - mean - math.lgamma(count + 1))
        if count > 1 and chance < UNLIKELY * mean:
            continue
        read = int(min(count, max(1.0, most)))
        for hits in range(read + 1):
            of_hits = math.comb(read, hits) * share**hits * (1 - share) ** (read - hits)
            if of_hits > UNLIKELY:
                yield hits / read, chance * of_hits
