"""What evidence is said to find is what it finds, in rollouts drawn by chance."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.evidence import Versions, delays
from tidegate.advisor.promise.evidence_power import chance_to_find, smallest_difference
from tidegate.advisor.promise.passage import ComparedStage, count_blocks
from tidegate.domain.evidence import OF_TRAFFIC, Comparison, EvidenceConfig
from tidegate.evidence.block_widths import block_width

ERRORS = EvidenceConfig(compare=(Comparison.ERRORS,))
PREDICTIONS = EvidenceConfig(compare=(Comparison.PREDICTIONS,))
ROLLOUTS = 300
APART = 0.1
"""How far computed and drawn probabilities may lie apart: three deviations of the draw, and the approximation."""


@pytest.mark.parametrize(
    ("versions", "difference", "seconds"),
    [
        (Versions(new_errors=0.05), 0.04, (8, 15, 25, 45)),
        (Versions(new_errors=0.02), 0.01, (60, 150)),
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


def test_moved_predictions_are_found_when_computed() -> None:
    """All the moved ones go above the old 95th percentile, where the difference is 0.95 of them."""
    taken, _ = delays(Versions(moved=0.3), PREDICTIONS, ROLLOUTS, 120)
    first, last = (float(np.quantile(taken, part)) for part in (0.05, 0.95))

    def said(seconds: float) -> float:
        stage = ComparedStage(0.1, seconds, 100)
        return chance_to_find(Comparison.PREDICTIONS, PREDICTIONS, [stage], 0.0, 0.3 * 0.95)

    assert said(first * 0.85) < 0.1
    assert said(last * 1.15) > 0.9


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
