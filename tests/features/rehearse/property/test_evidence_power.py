"""What evidence is said to find is what it finds, in rollouts drawn by chance."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.evidence import Versions, delays
from bench.evidence_arrays import AssignmentTests, ShareTests
from tidegate.domain.evidence import OF_TRAFFIC, Comparison, EvidenceConfig
from tidegate.features.evidence.block_widths import block_width
from tidegate.features.evidence.comparisons import make_tests
from tidegate.features.evidence.pace import LATENCY_SLACK
from tidegate.features.rehearse.promise.evidence_power import (
    PREDICTIONS_PER_SECOND,
    chance_to_find,
    smallest_difference,
)
from tidegate.features.rehearse.promise.passage import ComparedStage, count_blocks

ERRORS = EvidenceConfig(compare=(Comparison.ERRORS,))
ROLLOUTS = 300
APART = 0.15
"""How far computed and drawn probabilities of errors may lie apart: the approximation where few requests fail, and
the draw."""
CLOSE = 0.09
"""The same of shares: three deviations of the draw."""


@pytest.mark.parametrize(
    ("versions", "difference", "seconds"),
    [
        (Versions(new_errors=0.05), 0.04, (8, 15, 25, 45)),
        (Versions(new_errors=0.02), 0.01, (60, 300)),
        (Versions(20, 0.05, new_errors=0.2), 0.19, (10, 20, 40)),
    ],
    ids=["one to five percent", "one percent more", "few requests"],
)
def test_errors_are_found_as_surely_as_computed(
    versions: Versions, difference: float, seconds: tuple[int, ...]
) -> None:
    taken, _ = delays(versions, ERRORS, ROLLOUTS, max(seconds))
    for until in seconds:
        stage = ComparedStage(versions.share, until, versions.rate)
        said = chance_to_find(Comparison.ERRORS, ERRORS, [stage], versions.old_errors, difference)
        assert said == pytest.approx(float(np.mean(taken <= until)), abs=APART)


@pytest.mark.parametrize(
    ("comparison", "stage", "difference"),
    [
        (Comparison.PREDICTIONS, ComparedStage(0.1, 30, 100), 0.25),
        (Comparison.PREDICTIONS, ComparedStage(0.1, 30, 20), 0.4),
        (Comparison.LATENCY, ComparedStage(0.1, 40, 100), 0.2),
        (Comparison.LATENCY, ComparedStage(0.1, 120, 20), 0.2),
    ],
    ids=["predictions", "two predictions a second", "latency", "two latencies a second"],
)
def test_shares_are_found_as_surely_as_computed(
    comparison: Comparison, stage: ComparedStage, difference: float
) -> None:
    """What the test of the median finds, with its part of the stake."""
    config, chance = EvidenceConfig(compare=(comparison,)), np.random.default_rng(1)
    predictions = comparison is Comparison.PREDICTIONS
    more = [np.ones(ROLLOUTS)] if predictions else []
    test = AssignmentTests(ROLLOUTS, config.predictions) if predictions else ShareTests(ROLLOUTS, LATENCY_SLACK)
    if predictions:
        known = np.full(ROLLOUTS, 200.0)
        test.update(known, known / 2, 0 * known, 0 * known, *more)
    limit = -math.log(config.false_rollback_rate / len(make_tests(comparison, config)))
    most = PREDICTIONS_PER_SECOND if predictions else math.inf
    found = np.zeros(ROLLOUTS, bool)
    for _ in range(int(stage.seconds)):
        old_n, new_n = (
            np.minimum(chance.poisson(stage.rate * part, ROLLOUTS), most)
            for part in (1 - stage.share, stage.share)
        )
        old_k, new_k = (
            chance.binomial(old_n.astype(int), 0.5),
            chance.binomial(new_n.astype(int), 0.5 + difference),
        )
        test.update(*(part.astype(float) for part in (old_n, old_k, new_n, new_k)), *more)
        found |= test.log_evidence >= limit
    said = chance_to_find(comparison, config, [stage], 0.0, difference)
    assert 0.05 < said < 0.99, "neither sure nor impossible"
    assert said == pytest.approx(float(found.mean()), abs=CLOSE)


@given(
    st.sampled_from(list(OF_TRAFFIC)),
    st.floats(0.01, 0.5),
    st.floats(10, 10_000),
    st.floats(1, 1000),
    st.floats(0.0001, 0.2),
)
def test_more_of_everything_finds_more(
    comparison: Comparison, share: float, seconds: float, rate: float, usual: float
) -> None:
    config = EvidenceConfig(compare=OF_TRAFFIC)
    stage = ComparedStage(share, seconds, rate)

    def smallest(*stages: ComparedStage) -> float:
        found = smallest_difference(comparison, config, stages, usual, 0.95)
        return 1.0 if found is None else found

    one = smallest(stage)
    assert 0 < one <= 1
    assert smallest(stage, stage) <= one * 1.0001, "a second stage like it"
    assert smallest(stage, ComparedStage(1.0, seconds, rate)) == one, (
        "all traffic on the new version compares nothing"
    )


def test_stages_without_two_versions_find_nothing() -> None:
    alone = [ComparedStage(1.0, 3600, 100), ComparedStage(0.1, 0, 100)]
    assert smallest_difference(Comparison.ERRORS, ERRORS, alone, 0.01, 0.95) is None
    assert chance_to_find(Comparison.ERRORS, ERRORS, [], 0.01, 0.5) == 0


@given(st.integers(1, 20_000))
def test_blocks_are_counted_as_the_ledger_makes_them(seconds: int) -> None:
    at = blocks = 0
    while at < seconds:
        at += block_width(at)
        blocks += 1
    assert count_blocks(seconds) == pytest.approx(blocks, abs=1)
