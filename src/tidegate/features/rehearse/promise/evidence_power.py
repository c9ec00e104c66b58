"""The power of the comparison of two versions in a rollout: the smallest difference that it can find, by stage. Pure.

The logarithm of the evidence grows with the requests like a sum of independent steps, whose mean and variance
follow from the difference. It is taken for a Brownian motion with that drift, whose first passage of the level at
which a comparison fails has a known distribution (inverse Gaussian). Compared with rollouts drawn by chance
(``test_evidence_power.py``) probabilities are right for latency and predictions, and up to eleven
percentage points off for errors where few requests fail, as each of those is a large step.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache

from tidegate.domain.evidence import OF_PAIRS, Comparison, EvidenceConfig
from tidegate.features.evidence.comparisons import make_tests
from tidegate.features.evidence.judge import false_alarm_rates
from tidegate.features.evidence.pace import LATENCY_SLACK
from tidegate.features.rehearse.promise.pair_power import MOST_BIAS, chance_to_find_in_pairs
from tidegate.features.rehearse.promise.passage import (
    ComparedStage,
    Growth,
    count_blocks,
    count_each_width,
    mixture_chance,
)
from tidegate.statistics import assignments, rates, shares

PREDICTIONS_PER_SECOND = 25.0
"""Predictions of a version that are read in a second at most, with one worker."""
LEAST_RATE = 1e-6
TEXTS_PER_SECOND = 5.0
"""Texts of a version that are measured in a second at most, with one worker."""
USUAL_REFUSALS = 0.01
"""Part of the old version's answers that refuse."""
SMALLEST = 1e-4
STEPS = 14
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


def chance_to_find(
    comparison: Comparison,
    config: EvidenceConfig,
    stages: Sequence[ComparedStage],
    usual: float,
    difference: float,
    variants: int = 1,
) -> float:
    """Return the probability that a comparison fails by the end of these stages. ``usual``: failure rate of the old
    version, for errors; ``difference``: further part of the requests that fail, or that lie beyond the threshold; for
    pairs see ``pair_power``."""
    if comparison in OF_PAIRS:
        return chance_to_find_in_pairs(comparison, config, stages, difference, variants)
    level = -math.log(false_alarm_rates(config, variants)[comparison])
    compared = [stage for stage in stages if stage.compared]
    if not compared:
        return 0.0
    looks = sum(count_blocks(stage.seconds) for stage in compared)
    tests = len(make_tests(comparison, config))
    if comparison is Comparison.ERRORS:
        growths = _growth_of_rates(
            lambda effect: _errors(config.errors, effect, usual, difference), compared, usual
        )
        return mixture_chance(level, rates.WEIGHTS, growths, looks)
    if comparison is Comparison.TEXT:
        growths = _growth_of_rates(
            lambda effect: _refusals(config.text.refusals, effect, difference), compared, USUAL_REFUSALS
        )
        return mixture_chance(level, [weight / tests for weight in rates.WEIGHTS], growths, looks)
    if comparison is Comparison.PREDICTIONS:
        parts = [weight / tests for weight in assignments.WEIGHTS]
        growths = list(_growth_of_assignments(compared, config.predictions, difference))
        return mixture_chance(level, parts, growths, looks)
    parts = [weight / tests for weight in shares.WEIGHTS]
    return mixture_chance(level, parts, list(_growth_of_bets(compared, LATENCY_SLACK, difference)), looks)


def smallest_difference(
    comparison: Comparison,
    config: EvidenceConfig,
    stages: Sequence[ComparedStage],
    usual: float,
    power: float,
    variants: int = 1,
) -> float | None:
    """Return the smallest difference that is found with this probability by the end of these stages; None: not even
    the largest one is."""
    most = _largest_difference(comparison, usual)

    def found(difference: float) -> bool:
        return chance_to_find(comparison, config, stages, usual, difference, variants) >= power

    if not found(most):
        return None
    low, high = math.log(SMALLEST), math.log(most)
    for _ in range(STEPS):
        middle = (low + high) / 2
        low, high = (low, middle) if found(math.exp(middle)) else (middle, high)
    return math.exp(high)


def _largest_difference(comparison: Comparison, usual: float) -> float:
    match comparison:
        case Comparison.ERRORS:
            return 1 - usual
        case Comparison.TEXT:
            return 1 - USUAL_REFUSALS
        case Comparison.PAIRED:
            return MOST_BIAS
        case Comparison.FEATURES:
            return 1.0
        case _:
            return 1 - USUAL_SHARE


def _growth_of_rates(
    growth: Callable[[float], Callable[[ComparedStage], Growth]], stages: Sequence[ComparedStage], usual: float
) -> list[Growth]:
    """Return the growth by each alternative of the test of rates, over these stages. ``growth``: that by an
    alternative which assumes a given effect."""
    effects = rates.assumed_effects(min(max(usual, LEAST_RATE), rates.LARGEST_RATE))
    return [sum(map(growth(effect), stages), Growth()) for effect in effects]


def _errors(tolerance: float, effect: float, usual: float, difference: float) -> Callable[[ComparedStage], Growth]:
    """Return the growth by one alternative of the test of rates, as a function of the stage."""
    old = min(max(usual, LEAST_RATE), rates.LARGEST_RATE - tolerance - effect)
    new = min(old + tolerance + effect, rates.LARGEST_RATE)

    def growth(stage: ComparedStage) -> Growth:
        old_n, new_n = 1 - stage.share, stage.share
        null = rates.project(old_n, new_n, old, new, tolerance)
        one = _step(usual, old, null)
        two = _step(min(1.0, usual + difference), new, null + tolerance)
        requests = stage.rate * stage.seconds
        return Growth(
            requests * (old_n * one.mean + new_n * two.mean),
            requests * (old_n * one.variance + new_n * two.variance),
        )

    return growth


def _refusals(tolerance: float, effect: float, difference: float) -> Callable[[ComparedStage], Growth]:
    """Return the growth for refusals, in the sample of the answers that is measured, as a function of the stage."""
    growth = _errors(tolerance, effect, USUAL_REFUSALS, difference)

    def sampled(stage: ComparedStage) -> Growth:
        parts = (stage.rate * (1 - stage.share), stage.rate * stage.share)
        old, new = (min(part, TEXTS_PER_SECOND) for part in parts)
        # The first answers of the old version only tell its usual rate. Few come in a second, so this takes a while.
        seconds = max(0.0, stage.seconds - rates.FEWEST / old)
        return growth(ComparedStage(new / (old + new), seconds, old + new))

    return sampled


def _step(rate: float, alternative: float, null: float) -> Growth:
    """Return the growth by one request that fails with ``rate``."""
    hit, miss = math.log(alternative / null), math.log((1 - alternative) / (1 - null))
    return Growth(rate * hit + (1 - rate) * miss, rate * (1 - rate) * (hit - miss) ** 2)


def _growth_of_assignments(
    stages: Sequence[ComparedStage], tolerance: float, difference: float
) -> Iterator[Growth]:
    """Yield the growth by each alternative of the tests of predictions, of requests that differ."""
    shifted = min(1.0, USUAL_SHARE + difference)
    for effect in assignments.EFFECTS:
        mean = variance = 0.0
        for stage in stages:
            for width, number in count_each_width(stage.seconds):
                parts = (stage.rate * (1 - stage.share), stage.rate * stage.share)
                old_n, new_n = (min(part, PREDICTIONS_PER_SECOND) * width for part in parts)
                for new, chance in _counts_of(new_n):
                    old = max(1, round(old_n))
                    together = assignments.group_size(old, new, 1)
                    gain, loss, most = assignments.choose_bet(old, new, USUAL_SHARE, effect, tolerance, together)
                    step = gain * new * shifted - loss * old * USUAL_SHARE - most
                    spread = gain**2 * new * shifted * (1 - shifted)
                    spread += loss**2 * old * USUAL_SHARE * (1 - USUAL_SHARE)
                    mean, variance = mean + number * chance * step, variance + number * chance * spread
        yield Growth(mean, variance)


def _counts_of(mean: float) -> Iterator[tuple[int, float]]:
    """Yield the numbers of requests that a block may have, with their chances: none adds nothing."""
    if mean > COUNTED_OUT:
        yield round(mean), 1.0
        return
    for count in range(1, int(mean + 5 * math.sqrt(mean)) + 5):
        chance = math.exp(count * math.log(mean) - mean - math.lgamma(count + 1))
        if count == 1 or chance >= UNLIKELY * mean:
            yield count, chance


def _growth_of_bets(stages: Sequence[ComparedStage], tolerance: float, difference: float) -> Iterator[Growth]:
    """Yield the growth of each bet of the tests of shares, for latencies.

    A block multiplies a bet by a function of the two shares in it. Mean and variance are sums over what the block can
    have: the number of the new version's requests is Poisson distributed, and small enough in most blocks to be
    counted out; larger ones, and the old version's, are taken for normal."""
    blocks = [
        (number, *_block(stage.rate * width, stage.share, difference))
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
def _block(requests: float, share: float, difference: float) -> tuple[float, Outcomes, Outcomes]:
    """Return the chance that a block has requests of both versions, and the shares of the old and of the new one
    then."""
    old, new = requests * (1 - share), requests * share
    shifted = min(1.0, USUAL_SHARE + difference)
    before = _normal_shares(max(1.0, old), USUAL_SHARE, NODES)
    if new > COUNTED_OUT:
        return 1.0, before, _normal_shares(new, shifted, MORE_NODES)
    return -math.expm1(-new), before, list(_counted_shares(new, shifted))


def _normal_shares(count: float, share: float, nodes: Sequence[tuple[float, float]]) -> Outcomes:
    spread = math.sqrt(share * (1 - share) / count)
    return [(min(1.0, max(0.0, share + place * spread)), chance) for place, chance in nodes]


def _counted_shares(mean: float, share: float) -> Iterator[tuple[float, float]]:
    for count, chance in _counts_of(mean):
        for hits in range(count + 1):
            of_hits = math.comb(count, hits) * share**hits * (1 - share) ** (count - hits)
            if of_hits > UNLIKELY:
                yield hits / count, chance * of_hits
