"""What a worker remembers of its models' answers."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.features.multi_model.worker.answers import LAST_BIN, SPAN, RecentAnswers, bin_of


@given(st.lists(st.floats(1e-5, 500), min_size=1, max_size=200))
def test_percentiles_are_within_a_bin_of_the_true_ones(latencies: list[float]) -> None:
    kept = RecentAnswers()
    for seconds in latencies:
        kept.note("a", seconds, False, 0.0)
    told = kept.summary("a", 1.0)
    assert told is not None and told.requests == len(latencies)
    for part, found in ((0.5, told.p50), (0.99, told.p99)):
        true = sorted(latencies)[math.ceil(part * len(latencies)) - 1]
        assert found == pytest.approx(true, rel=0.051)


def test_what_is_older_than_twenty_minutes_is_forgotten_but_the_last_use_is_not() -> None:
    kept = RecentAnswers()
    kept.note("a", 1.0, True, 0.0)
    kept.note("a", 0.001, False, SPAN + 1)
    both = kept.summary("a", SPAN + 2)
    assert both is not None and (both.requests, both.errors) == (2, 1)
    later = kept.summary("a", 2 * SPAN + 2)
    assert later is not None and (later.requests, later.errors) == (1, 0)
    late = kept.summary("a", 9 * SPAN)
    assert late is not None and (late.requests, late.p50, late.p99, late.last) == (0, None, None, SPAN + 1)


def test_memory_is_bounded_by_models_and_by_bins() -> None:
    kept = RecentAnswers(most=3)
    for number in range(10):
        kept.note("busy", 0.001, False, number)
        kept.note(f"m{number}", 0.001, False, number)
    assert len(kept) == 3 and kept.summary("busy", 10) is not None and kept.summary("m0", 10) is None
    assert {bin_of(seconds) for seconds in (0.0, -1.0, 1e-9)} == {0}
    assert bin_of(1e12) == LAST_BIN
