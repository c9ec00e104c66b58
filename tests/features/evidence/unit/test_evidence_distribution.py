"""Values as counts: quantiles, what lies beyond a threshold, and what is left out."""

import math

import pytest

from tidegate.domain.evidence import Comparison, EvidenceConfig
from tidegate.features.evidence.comparisons import SideCounts, add_sides, count_block, find_thresholds
from tidegate.features.evidence.pace import FEWEST, LEAST_DELAY
from tidegate.statistics.distribution import Distribution, merge

SOME = Distribution.of({1.0: 5, 2.0: 3, 10.0: 2})
LATENCY = EvidenceConfig(compare=(Comparison.LATENCY,), latency=0.5)


@pytest.mark.parametrize(
    ("level", "value"), [(0.0, 1.0), (0.5, 1.0), (0.51, 2.0), (0.8, 2.0), (0.81, 10.0), (1.0, 10.0)]
)
def test_a_quantile_is_the_smallest_value_that_a_part_does_not_exceed(level: float, value: float) -> None:
    assert SOME.quantile(level) == value


def test_an_empty_distribution_has_no_quantile() -> None:
    assert Distribution().quantile(0.5) is None


def test_values_beyond_a_threshold_do_not_include_it() -> None:
    assert [SOME.above(at) for at in (0.5, 1.0, 2.0, 10.0)] == [10, 5, 2, 0]
    assert [SOME.below(at) for at in (0.5, 1.0, 2.0, 11.0)] == [0, 0, 5, 10]


def test_what_is_no_number_is_left_out() -> None:
    found = Distribution.of({math.nan: 3, math.inf: 2, -math.inf: 1, 1.0: 4, 2.0: 0, 3.0: -1})
    assert (found.values, found.counts) == ((1.0,), (4,))


def test_distributions_add_up() -> None:
    assert merge((SOME, SOME, Distribution.of({0.5: 1}))) == Distribution.of({0.5: 1, 1.0: 10, 2.0: 6, 10.0: 4})
    both = add_sides(SideCounts(1, 1, SOME, SOME, 2), SideCounts(2, 0, SOME, SOME, 3))
    assert (both.requests, both.failed, both.latencies.total, both.unusable) == (3, 1, 20, 5)


def test_thresholds_need_enough_values_of_the_old_version() -> None:
    few = SideCounts(latencies=Distribution.of({1e4: FEWEST - 1}))
    assert find_thresholds("main", LATENCY, few) == {}
    assert len(find_thresholds("main", LATENCY, SideCounts(latencies=Distribution.of({1e4: FEWEST})))) == 2


@pytest.mark.parametrize(("latency", "limit"), [(100_000.0, 150_000.0), (500.0, 500.0 + LEAST_DELAY)])
def test_a_latency_exceeds_by_its_tolerance_and_at_least_a_millisecond(latency: float, limit: float) -> None:
    found = find_thresholds("main", LATENCY, SideCounts(latencies=Distribution.of({latency: 100})))
    assert list(found["main/latency/p50"]) == pytest.approx([latency, limit], rel=0.03)
    assert found["main/latency/p50"][1] > limit, "the sketch's error is on the side of the new version"


def test_a_block_has_counts_only_where_it_has_thresholds() -> None:
    old, new = SideCounts(10, 1, SOME), SideCounts(5, 2, Distribution.of({1.0: 1, 20.0: 4}))
    both = EvidenceConfig(compare=(Comparison.ERRORS, Comparison.LATENCY))
    assert count_block("main", both, {}, old, new) == {"main/errors/errors": (10, 1, 5, 2)}
    counts = count_block("main", both, {"main/latency/p50": (1.0, 2.0)}, old, new)
    assert counts["main/latency/p50"] == (10, 5, 5, 4)
    assert count_block("main", both, {}, SideCounts(), SideCounts()) == {}
