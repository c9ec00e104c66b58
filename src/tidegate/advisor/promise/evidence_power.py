"""What the comparison of two versions can find in a rollout: the smallest difference, by stage. Pure.

The logarithm of the evidence grows with the requests like a sum of independent steps, whose mean and variance
follow from the difference. It is taken for a Brownian motion with that drift, whose first passage of the level at
which a comparison fails has a known distribution (inverse Gaussian). As the steps are not that small, probabilities
are some percentage points off for errors and up to twelve for predictions, compared with rollouts drawn by chance
(``tests/property/test_evidence_power.py``).
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from tidegate.advisor.promise.pair_power import MOST_BIAS, chance_to_find_in_pairs
from tidegate.advisor.promise.passage import ComparedStage, Growth, count_blocks, pass_chance
from tidegate.domain.evidence import OF_PAIRS, Comparison, EvidenceConfig
from tidegate.evidence import rates, shares
from tidegate.evidence.comparisons import make_tests
from tidegate.evidence.judge import false_alarm_rates
from tidegate.evidence.pace import LATENCY_SLACK

PREDICTIONS_PER_SECOND = 25.0
"""Predictions of a version that are read in a second at most, with one worker."""
TEXTS_PER_SECOND = 5.0
"""Texts of a version that are measured in a second at most, with one worker."""
USUAL_REFUSALS = 0.01
"""Part of the old version's answers that refuse."""
USUAL_SHARE = 0.5
"""Part of the old version's requests beyond the threshold that sees most: its median."""
SMALLEST = 1e-4
STEPS = 30


def chance_to_find(
    comparison: Comparison,
    config: EvidenceConfig,
    stages: Sequence[ComparedStage],
    usual: float,
    difference: float,
    variants: int = 1,
) -> float:
    """Probability that a comparison fails by the end of these stages. ``usual``: failure rate of the old version, for
    errors; ``difference``: further part of the requests that fail, or that lie beyond the threshold; for pairs see
    ``pair_power``."""
    if comparison in OF_PAIRS:
        return chance_to_find_in_pairs(comparison, config, stages, difference, variants)
    level = -math.log(false_alarm_rates(config, variants)[comparison])
    bets = [(level - math.log(part), growth) for part, growth in _bets(comparison, config, usual, difference)]
    compared = [stage for stage in stages if stage.compared]
    looks = sum(count_blocks(stage.seconds) for stage in compared)
    return max(pass_chance(sum(map(growth, compared), Growth()), limit, looks) for limit, growth in bets)


def smallest_difference(
    comparison: Comparison,
    config: EvidenceConfig,
    stages: Sequence[ComparedStage],
    usual: float,
    power: float,
    variants: int = 1,
) -> float | None:
    """The smallest difference that is found with this probability by the end of these stages; None: not even the
    largest one is."""
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


def _bets(
    comparison: Comparison, config: EvidenceConfig, usual: float, difference: float
) -> Iterator[tuple[float, Callable[[ComparedStage], Growth]]]:
    """What is staked on a difference: the part of the whole stake, and its growth in a stage."""
    if comparison is Comparison.ERRORS:
        for effect, weight in zip(rates.EFFECTS, rates.WEIGHTS, strict=True):
            yield weight, _errors(config.errors, effect, usual, difference)
        return
    tests = len(make_tests(comparison, config))
    if comparison is Comparison.TEXT:
        for effect, weight in zip(rates.EFFECTS, rates.WEIGHTS, strict=True):
            yield weight / tests, _refusals(config.text.refusals, effect, difference)
        return
    tolerance = config.predictions if comparison is Comparison.PREDICTIONS else LATENCY_SLACK
    for bet, weight in zip(shares.BETS, shares.WEIGHTS, strict=True):
        yield weight / tests, _shares(comparison, tolerance, bet, difference)


def _errors(tolerance: float, effect: float, usual: float, difference: float) -> Callable[[ComparedStage], Growth]:
    """Growth by one alternative of the test of rates."""
    old = min(max(usual, 1e-6), rates.LARGEST_RATE - tolerance - effect)
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
    """The same of refusals, in the sample of the answers that is measured."""
    growth = _errors(tolerance, effect, USUAL_REFUSALS, difference)

    def sampled(stage: ComparedStage) -> Growth:
        parts = (stage.rate * (1 - stage.share), stage.rate * stage.share)
        old, new = (min(part, TEXTS_PER_SECOND) for part in parts)
        return growth(replace(stage, rate=old + new, share=new / (old + new)))

    return sampled


def _step(rate: float, alternative: float, null: float) -> Growth:
    """Growth by one request that fails with ``rate``."""
    hit, miss = math.log(alternative / null), math.log((1 - alternative) / (1 - null))
    return Growth(rate * hit + (1 - rate) * miss, rate * (1 - rate) * (hit - miss) ** 2)


def _shares(
    comparison: Comparison, tolerance: float, bet: float, difference: float
) -> Callable[[ComparedStage], Growth]:
    """Growth by one bet of the test of shares."""

    def growth(stage: ComparedStage) -> Growth:
        blocks = count_blocks(stage.seconds)
        per_block = stage.rate * stage.seconds / blocks
        sizes = [max(1.0, per_block * part) for part in (1 - stage.share, stage.share)]
        if comparison is Comparison.PREDICTIONS:
            sizes = [min(size, PREDICTIONS_PER_SECOND * stage.seconds / blocks) for size in sizes]
        shifted = min(1.0, USUAL_SHARE + difference)
        variance = USUAL_SHARE * (1 - USUAL_SHARE) / sizes[0] + shifted * (1 - shifted) / sizes[1]
        variance /= (1 + tolerance) ** 2
        gain = (difference - tolerance) / (1 + tolerance)
        mean = math.log1p(bet * gain) - variance * bet**2 / (1 + bet * gain) ** 2 / 2
        used = min(blocks, stage.rate * stage.seconds * stage.share)  # blocks without a request add nothing
        return Growth(used * mean, used * variance * bet**2 / (1 + bet * gain) ** 2)

    return growth
