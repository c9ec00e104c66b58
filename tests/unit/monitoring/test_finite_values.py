"""No sum, average or percentile of finite measurements is infinite or no number."""

import math
import sys
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.domain.metric import Latency, MetricId, Sample
from tidegate.monitoring import finite, sketch
from tidegate.monitoring.samples import flaw, merge, statistic
from tidegate.monitoring.sketch import merge_spreads

METRIC = MetricId.of("mine", "Latency", {"Endpoint": "a"})
FINITE = st.floats(allow_nan=False, allow_infinity=False)
MAX = sys.float_info.max


@given(FINITE)
def test_every_value_has_a_bin_and_every_bin_a_finite_value(value: float) -> None:
    key = sketch.index(value)
    assert sketch.is_bin(key)
    assert math.isfinite(sketch.value(key))
    assert math.isfinite(sketch.highest(key))


@pytest.mark.parametrize("key", [10**9, -(10**9), sketch.HIGHEST + 1, sketch.LOWEST - 1, sketch.ZERO + 1])
def test_what_no_value_falls_into_is_no_bin(key: int) -> None:
    assert not sketch.is_bin(key)
    assert math.isfinite(sketch.value(key))


@st.composite
def samples(draw: st.DrawFn) -> Sample:
    values = draw(st.lists(FINITE, min_size=1, max_size=3))
    count = draw(st.floats(0, MAX, exclude_min=True))
    bins = sketch.merge({sketch.index(value): count} for value in values) if draw(st.booleans()) else {}
    total = draw(FINITE)
    return Sample(METRIC, draw(st.integers(0, 10)), count, total, min(values), max(values), bins)


@given(st.lists(samples(), min_size=1, max_size=5))
def test_merging_finite_samples_leaves_finite_statistics(some: list[Sample]) -> None:
    assert [flaw(one) for one in some] == [None] * len(some)
    whole = merge([merge(some), merge(some)])
    assert flaw(whole) is None
    for name in ("SampleCount", "Sum", "Minimum", "Maximum", "Average", "p0", "p50", "p99.9", "p100"):
        found = statistic(whole, name)
        assert found is None or math.isfinite(found)


@given(st.lists(st.tuples(FINITE, FINITE), min_size=1, max_size=5))
def test_spreads_stay_finite(parts: list[tuple[float, float]]) -> None:
    whole = merge_spreads([Latency({0: MAX}, total, low, low) for total, low in parts])
    assert whole is not None
    assert math.isfinite(whole.total) and all(map(math.isfinite, whole.bins.values()))


@given(st.lists(FINITE, max_size=20))
def test_a_sum_saturates_only_where_the_true_one_is_out_of_range(values: list[float]) -> None:
    found = finite.add(values)
    assert math.isfinite(found)
    if abs(found) == MAX:
        exact = Fraction()
        for value in values:
            exact = exact + Fraction(value)
        assert abs(int(exact)) > int(MAX) // 2


@pytest.mark.parametrize(
    ("values", "total"),
    [([MAX, MAX], MAX), ([-MAX, -MAX, 1], -MAX), ([MAX, MAX, -MAX], MAX), ([], 0), ([1, 2.5], 3.5)],
)
def test_sums_that_overflow_saturate(values: list[float], total: float) -> None:
    assert finite.add(values) == pytest.approx(total, rel=1e-9)


@pytest.mark.parametrize(
    ("sample", "why"),
    [
        (Sample(METRIC, 0, 1, math.inf, 1, 1), "not finite"),
        (Sample(METRIC, 0, 1, math.nan, 1, 1), "not finite"),
        (Sample(METRIC, 0, math.inf, 1, 1, 1), "not finite"),
        (Sample(METRIC, 0, 1, 1, -math.inf, 1), "not finite"),
        (Sample(METRIC, 0, 1, 1, 1, math.nan), "not finite"),
        (Sample(METRIC, 0, 1, 1, 1, 1, {0: math.nan}), "not finite"),
        (Sample(METRIC, 0, -1, 1, 1, 1), "negative"),
        (Sample(METRIC, 0, 1, 1, 1, 1, {0: -1.0}), "negative"),
        (Sample(METRIC, 0, 1, 1, 1, 1, {10**7: 1.0}), "bin"),
        (Sample(METRIC, -1, 1, 1, 1, 1), "moment"),
        (Sample(METRIC, 2**70, 1, 1, 1, 1), "moment"),
        (Sample(MetricId("a", "b\0"), 0, 1, 1, 1, 1), "text"),
        (Sample(MetricId("a", "b", (("c", "\ud800"),)), 0, 1, 1, 1, 1), "text"),
    ],
)
def test_what_cannot_be_kept_is_found(sample: Sample, why: str) -> None:
    assert why in (flaw(sample) or "")
