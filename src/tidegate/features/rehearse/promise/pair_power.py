"""The power of comparisons of pairs in a rollout: the chance that a comparison fails, by difference. Pure.

Pairs come in every stage in which the old version has requests, from its own requests: not only from what the new
version gets. As in ``evidence_power``, the logarithm of the evidence is taken for a Brownian motion."""

import math
from collections.abc import Iterator, Sequence

from tidegate.domain.evidence import Comparison, EvidenceConfig
from tidegate.features.evidence import features, pairs
from tidegate.features.evidence.judge import false_alarm_rates
from tidegate.features.evidence.pair_judge import FIRST_COLUMNS, OF_PARTS
from tidegate.features.evidence.people import part_of_rate
from tidegate.features.rehearse.promise.passage import ComparedStage, Growth, count_blocks, mixture_chance
from tidegate.statistics import means

PAIRS_PER_SECOND = 20.0
"""Requests that are copied in a second, with one worker of the old version."""
ROWS_PER_SECOND = 4.0
"""Those of which the outputs of the stages are compared."""
TEXTS_PER_SECOND = 1.0
"""Those of which a judge may be shown the texts."""
COLUMNS = 20
"""Assumed number of columns, among which the stake is divided."""
USUAL_SPREAD = 0.8 * math.sqrt(math.pi / 2)
"""Standard deviation of the difference of a pair, over the tolerated mean absolute difference: that of normal
differences that make use of four fifths of it."""
MOST_BIAS = pairs.CLIP


def chance_to_find_in_pairs(
    comparison: Comparison,
    config: EvidenceConfig,
    stages: Sequence[ComparedStage],
    difference: float,
    variants: int = 1,
) -> float:
    """Return the probability that a comparison fails by the end of these stages. ``difference``: for PAIRED the mean
    difference of two predictions that are scores, in units; for FEATURES the part of the requests in which one column
    has another value; for JUDGE by how much more often the old version's answer is preferred, where every pair is
    decided."""
    rate = false_alarm_rates(config, variants)[comparison]
    if comparison is Comparison.JUDGE and config.judging is not None and config.judging.labels:
        rate = part_of_rate(rate)
    level = -math.log(rate)
    paired = [stage for stage in stages if stage.paired]
    count = sum(count_pairs(comparison, stage) for stage in paired)
    if config.judging is not None and comparison is Comparison.JUDGE:
        count = min(count, config.judging.asks)
    count -= features.LEARNED_FROM if comparison is Comparison.FEATURES else 0
    looks = sum(count_blocks(stage.seconds) for stage in paired)
    if count < (pairs.OF_SCORES if comparison is Comparison.PAIRED else 1):
        return 0.0
    parts, growths = zip(*_bets(comparison, config, difference), strict=True)
    return mixture_chance(level, parts, [Growth(count * one.mean, count * one.variance) for one in growths], looks)


def count_pairs(comparison: Comparison, stage: ComparedStage) -> float:
    """Return the number of pairs of a stage, if no two requests are equal."""
    most = {Comparison.FEATURES: ROWS_PER_SECOND, Comparison.JUDGE: TEXTS_PER_SECOND}.get(
        comparison, PAIRS_PER_SECOND
    )
    return min(most, stage.rate * (1 - stage.share)) * stage.seconds


def _bets(comparison: Comparison, config: EvidenceConfig, difference: float) -> Iterator[tuple[float, Growth]]:
    """Yield the bets on a difference: the part of the whole stake that each has, and its growth by one pair."""
    if comparison is Comparison.FEATURES:
        tolerance = config.features.rows
        for effect in means.EFFECTS:
            rate = tolerance + effect * (1 - tolerance)
            hit, miss = math.log(rate / tolerance), math.log((1 - rate) / (1 - tolerance))
            variance = difference * (1 - difference) * (hit - miss) ** 2
            growth = Growth(difference * hit + (1 - difference) * miss, variance)
            yield FIRST_COLUMNS / len(means.EFFECTS) / COLUMNS, growth
        return
    if comparison is Comparison.JUDGE:
        tolerance, worse = config.judge, (1 + difference) / 2
        for bet, weight in zip(means.NET_BETS, means.NET_WEIGHTS, strict=True):
            won = math.log1p(bet * (1 - tolerance) / (1 + tolerance))
            lost = math.log1p(-bet)
            variance = worse * (1 - worse) * (won - lost) ** 2
            yield weight, Growth(worse * won + (1 - worse) * lost, variance)
        return
    whole = (1 - OF_PARTS) * (0.5 if config.slices else 1.0)
    width, limits = 2 * pairs.CLIP, config.paired.limits(amounts=False)
    mean, limit = (difference + pairs.CLIP) / width, (limits.bias + pairs.CLIP) / width
    variance = (USUAL_SPREAD * limits.distance / width) ** 2
    for bet, penalty in zip(means.BETS, means.PENALTIES, strict=True):
        gain = bet * (mean - limit) / mean - penalty * variance / mean**2
        part = whole / len(pairs.make_pair_tests(limits)) / len(means.BETS)
        yield part, Growth(gain, variance * (bet / mean) ** 2)
