"""The tests that each comparison consists of, their thresholds, and the counts of one block for each of them.
Pure.

Latencies and predictions are compared by the part of the requests beyond a threshold. Thresholds are quantiles of
what the old version answered before the block: a threshold that was chosen by the block itself would spoil the
test."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from tidegate.domain.evidence import Comparison, Counts, EvidenceConfig
from tidegate.features.evidence.pace import FEWEST, LATENCY_SLACK, allowed_delay, harmful_delay
from tidegate.features.evidence.texts import (
    TextCounts,
    add_texts,
    count_text_block,
    find_text_thresholds,
    make_text_tests,
)
from tidegate.statistics.assignments import AssignmentTest
from tidegate.statistics.distribution import Distribution, merge
from tidegate.statistics.rates import RateTest
from tidegate.statistics.shares import ShareTest

LATENCY_LEVELS = {"p50": 0.5, "p99": 0.99}
PREDICTION_LEVELS = {"p5": 0.05, "p25": 0.25, "p50": 0.5, "p75": 0.75, "p95": 0.95}
ABOVE, BELOW = "above ", "below "
UNUSABLE = "unusable"
ALIKE = "alike"
"""Not a test: of each version's predictions in a block, the largest number that is equal."""
UNUSABLE_MORE = 0.01
"""Part of the answers that may be without a finite number in addition to those of the old version."""
HARM = "harm "
"""Before the level of the latencies by which a harm is ruled out. They are no test of a difference."""
NOTHING: Counts = (0, 0, 0, 0)
Test = RateTest | ShareTest | AssignmentTest
Thresholds = Mapping[str, tuple[float, float]]
"""By key of a test: threshold of the old and of the new version."""


@dataclass(frozen=True)
class SideCounts:
    """The counts of one version in a block. Latencies in microseconds."""

    requests: int = 0
    failed: int = 0
    latencies: Distribution = field(default_factory=Distribution)
    predictions: Distribution = field(default_factory=Distribution)
    unusable: int = 0
    """Sampled answers without a finite number."""
    texts: TextCounts = field(default_factory=TextCounts)


def add_sides(one: SideCounts, other: SideCounts) -> SideCounts:
    return SideCounts(
        one.requests + other.requests,
        one.failed + other.failed,
        merge((one.latencies, other.latencies)),
        merge((one.predictions, other.predictions)),
        one.unusable + other.unusable,
        add_texts(one.texts, other.texts),
    )


def make_tests(comparison: Comparison, config: EvidenceConfig) -> Mapping[str, Test]:
    """Make the tests of one comparison, by name."""
    match comparison:
        case Comparison.ERRORS:
            return {"errors": RateTest(config.errors)}
        case Comparison.LATENCY:
            return {level: ShareTest(LATENCY_SLACK) for level in LATENCY_LEVELS}
        case Comparison.PREDICTIONS:
            sides = ((side, level) for level in PREDICTION_LEVELS for side in (ABOVE, BELOW))
            moved = {side + level: AssignmentTest(config.predictions) for side, level in sides}
            return {**moved, UNUSABLE: RateTest(UNUSABLE_MORE)}
        case Comparison.TEXT:
            return make_text_tests(config.text)
        case Comparison.PAIRED | Comparison.FEATURES | Comparison.JUDGE:
            return {}  # made by ``pair_judge``, which tests sums


def test_key(variant: str, comparison: Comparison, test: str) -> str:
    return f"{variant}/{comparison}/{test}"


def find_thresholds(variant: str, config: EvidenceConfig, past: SideCounts) -> dict[str, tuple[float, float]]:
    """Find thresholds for the next block from the old version's counts before it. Tests without enough data have
    none."""
    return dict(_thresholds(variant, config, past))


def _thresholds(
    variant: str, config: EvidenceConfig, past: SideCounts
) -> Iterator[tuple[str, tuple[float, float]]]:
    harm = None if config.assure is None else config.assure.harm.latency
    if Comparison.LATENCY in config.compare and past.latencies.total >= FEWEST:
        for test, level in LATENCY_LEVELS.items():
            old = past.latencies.quantile(level) or 0.0
            yield test_key(variant, Comparison.LATENCY, test), (old, allowed_delay(old, config.latency))
            if harm is not None:
                yield test_key(variant, Comparison.LATENCY, HARM + test), (old, harmful_delay(old, harm))
    if Comparison.PREDICTIONS in config.compare and past.predictions.total >= FEWEST:
        for name, level in PREDICTION_LEVELS.items():
            value = past.predictions.quantile(level) or 0.0
            for side in (ABOVE, BELOW):
                yield test_key(variant, Comparison.PREDICTIONS, side + name), (value, value)
    if Comparison.TEXT in config.compare:
        for name, both in find_text_thresholds(config.text, past.texts):
            yield test_key(variant, Comparison.TEXT, name), both


def count_block(
    variant: str, config: EvidenceConfig, thresholds: Thresholds, old: SideCounts, new: SideCounts
) -> dict[str, Counts]:
    """Return the counts of a block by key of the test. Tests without thresholds have none."""
    found: dict[str, Counts] = {}
    for comparison in config.compare:
        if comparison is Comparison.TEXT:
            found |= _count_texts(variant, thresholds, old.texts, new.texts)
            continue
        for test in make_tests(comparison, config):
            key = test_key(variant, comparison, test)
            if comparison is Comparison.ERRORS:
                found[key] = (old.requests, old.failed, new.requests, new.failed)
            elif test == UNUSABLE:
                answers = [one.predictions.total + one.unusable for one in (old, new)]
                found[key] = (answers[0], old.unusable, answers[1], new.unusable)
            elif key in thresholds:
                found[key] = _count_beyond(comparison, test, thresholds[key], old, new)
        if comparison is Comparison.PREDICTIONS:
            counts = (_count_alike(old.predictions), _count_alike(new.predictions))
            found[test_key(variant, comparison, ALIKE)] = (*counts[0], *counts[1])
    for level in LATENCY_LEVELS:
        if (key := test_key(variant, Comparison.LATENCY, HARM + level)) in thresholds:
            found[key] = _count_beyond(Comparison.LATENCY, level, thresholds[key], old, new)
    return {key: counts for key, counts in found.items() if counts != NOTHING}


def _count_alike(values: Distribution) -> tuple[int, int]:
    """Return the number of values, and the largest number of them that is equal."""
    return values.total, max(values.counts, default=0)


def _count_texts(
    variant: str, thresholds: Thresholds, old: TextCounts, new: TextCounts
) -> Iterator[tuple[str, Counts]]:
    start = test_key(variant, Comparison.TEXT, "")
    known = {key.removeprefix(start): both for key, both in thresholds.items() if key.startswith(start)}
    for name, counts in count_text_block(known, old, new):
        yield test_key(variant, Comparison.TEXT, name), counts


def _count_beyond(
    comparison: Comparison, test: str, thresholds: tuple[float, float], old: SideCounts, new: SideCounts
) -> Counts:
    if comparison is Comparison.LATENCY:
        before, after = old.latencies, new.latencies
        return before.total, before.above(thresholds[0]), after.total, after.above(thresholds[1])
    before, after = old.predictions, new.predictions
    if test.startswith(ABOVE):
        return before.total, before.above(thresholds[0]), after.total, after.above(thresholds[1])
    return before.total, before.below(thresholds[0]), after.total, after.below(thresholds[1])
