import math
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.domain.errors import Invalid
from tidegate.domain.metric import MetricId, Sample
from tidegate.monitoring import sketch
from tidegate.monitoring.samples import merge, statistic

METRIC = MetricId.of("mine", "Latency", {"Endpoint": "a"})


def sample(values: Sequence[float], at: int = 0, resolution: int = 1, known: bool = True) -> Sample:
    bins = sketch.merge({sketch.index(v): 1.0} for v in values) if known else {}
    low, high = min(values), max(values)
    return Sample(METRIC, at, len(values), sum(values), low, high, bins, "Seconds", resolution)


def test_merging_adds_up() -> None:
    whole = merge([sample([5, 1], at=120), sample([9], at=60, resolution=60)])
    assert (whole.metric, whole.unit) == (METRIC, "Seconds")
    assert (whole.at, whole.resolution) == (60, 61)
    assert (whole.count, whole.total, whole.low, whole.high) == (3, 15, 1, 9)
    assert sum(whole.bins.values()) == 3


def test_one_sample_stays_as_it_is() -> None:
    one = sample([1, 2])
    assert merge([one]) is one


def test_merging_leaves_its_parts_alone() -> None:
    parts = [sample([1, 2]), sample([2])]
    before = [dict(part.bins) for part in parts]
    merge(parts)
    assert [part.bins for part in parts] == before


@given(st.lists(st.lists(st.integers(0, 10**9), min_size=1, max_size=20), min_size=1, max_size=6))
def test_merging_equals_taking_all_values_at_once(groups: list[list[int]]) -> None:
    whole = merge([sample(group) for group in groups])
    assert whole == sample([value for group in groups for value in group])


@pytest.mark.parametrize(
    ("name", "value"), [("SampleCount", 4), ("Sum", 20), ("Average", 5), ("Minimum", 2), ("Maximum", 8)]
)
def test_plain_statistics(name: str, value: float) -> None:
    assert statistic(sample([2, 4, 6, 8]), name) == value


@given(st.lists(st.floats(1e-3, 1e9), min_size=1, max_size=50), st.floats(0, 100))
def test_a_percentile_is_within_one_percent_of_the_value_at_its_rank(values: list[float], percent: float) -> None:
    name = f"p{percent:.3f}"
    exact = sorted(values)[max(0, math.ceil(float(name[1:]) / 100 * len(values)) - 1)]
    found = statistic(sample(values), name)
    assert found is not None
    assert found == pytest.approx(exact, rel=0.01)
    assert min(values) <= found <= max(values)


@pytest.mark.parametrize(("name", "value"), [("p0", 3), ("p100", 1000), ("p100.0", 1000), ("p50", 3)])
def test_percentiles_stay_between_the_smallest_and_the_largest(name: str, value: float) -> None:
    assert statistic(sample([3, 3, 3, 1000]), name) == value


@pytest.mark.parametrize("name", ["SampleCount", "Sum", "Average", "Minimum", "Maximum", "p99"])
def test_nothing_has_no_statistics(name: str) -> None:
    assert statistic(Sample(METRIC, 0, 0, 0, 0, 0), name) is None


def test_sums_alone_have_no_percentiles() -> None:
    assert statistic(sample([1, 2], known=False), "p50") is None
    assert statistic(sample([1, 2], known=False), "Average") == 1.5


def test_values_that_are_only_known_in_part_have_no_percentiles() -> None:
    assert statistic(merge([sample([1, 2]), sample([5, 9], known=False)]), "p50") is None


def test_equal_values_are_known_from_their_sums() -> None:
    assert statistic(sample([7, 7], known=False), "p99") == 7
    mixed = merge([sample([7, 7, 7], known=False), sample([1, 2])])
    assert statistic(mixed, "p99.9") == 7


@pytest.mark.parametrize("name", ["", "sum", "P99", "p", "p101", "p-1", "p9_9", "p100.1", "tm101", "iqm", "p99 "])
def test_an_unknown_statistic_is_refused(name: str) -> None:
    with pytest.raises(Invalid, match="is not supported: use SampleCount, Sum"):
        statistic(sample([1]), name)


HUNDRED = sample([float(value) for value in range(1, 101)])


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("tm90", 45.5),
        ("TM(10%:90%)", 50.5),
        ("TM(:90%)", 45.5),
        ("TM(90%:)", 95.5),
        ("TM(10:20)", 15.5),
        ("TM(:20)", 10.5),
        ("IQM", 50.5),
        ("tc90", 90.0),
        ("TC(10%:90%)", 80.0),
        ("TC(90:)", 10.0),
        ("ts90", 4095.0),
        ("TS(80%:)", 1810.0),
        ("wm90", (45.5 * 90 + 90 * 10) / 100),
        ("WM(10%:90%)", 50.5),
        ("PR(:30)", 30.0),
        ("PR(20:50)", 30.0),
        ("PR(95.5:)", 5.0),
        ("PR(:1000)", 100.0),
        ("PR(-1:0.5)", 0.0),
    ],
)
def test_trimmed_statistics(name: str, expected: float) -> None:
    assert statistic(HUNDRED, name) == pytest.approx(expected, rel=0.02)


@given(st.lists(st.floats(0.01, 1e6), min_size=1, max_size=30), st.integers(1, 99), st.integers(1, 99))
def test_trimmed_statistics_agree_with_each_other(values: list[float], one: int, other: int) -> None:
    whole, low, high = sample(values), min(one, other), max(one, other) + 1
    bounds = f"({low}%:{high}%)"
    count, total, mean = (statistic(whole, f"{kind}{bounds}") for kind in ("TC", "TS", "TM"))
    assert count == pytest.approx(len(values) * (high - low) / 100)
    assert count is not None and mean is not None
    assert total == pytest.approx(mean * count)
    assert min(values) * 0.98 <= mean <= max(values) * 1.02
    winsorized = statistic(whole, f"WM{bounds}")
    assert winsorized is not None and min(values) * 0.98 <= winsorized <= max(values) * 1.02


@pytest.mark.parametrize("name", ["TM(200:300)", "WM(200:300)"])
def test_the_mean_of_no_values_is_missing(name: str) -> None:
    found = statistic(HUNDRED, name)
    assert found is None if name.startswith("TM") else found == 200


@pytest.mark.parametrize("name", ["tm90", "PR(:2)", "IQM"])
def test_values_of_which_only_sums_are_known_have_no_trimmed_statistics(name: str) -> None:
    assert statistic(sample([1, 2, 3], known=False), name) is None


@pytest.mark.parametrize(
    "name",
    [
        "tm101",
        "TM90",
        "TM()",
        "TM(:)",
        "TM(90%:10%)",
        "TM(10%:90)",
        "PR(10%:90%)",
        "PR90",
        "tm",
        "IQM90",
        "XM(1:2)",
    ],
)
def test_an_impossible_trimmed_statistic_is_refused(name: str) -> None:
    with pytest.raises(Invalid, match=r"TM\(10%:90%\)"):
        statistic(HUNDRED, name)
