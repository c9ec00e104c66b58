"""Quantiles by the nearest rank, of values and of values with counts; areas under curves of ranked scores."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.statistics.distribution import quantile, quantile_of_counts
from tidegate.statistics.ranking import RankedCounts, count_steps, rank_counts

VALUES = st.lists(st.integers(0, 20), min_size=1, max_size=60)


@given(VALUES, st.sampled_from([0.05, 0.25, 0.5, 0.75, 0.9, 0.99, 1.0]))
def test_quantiles_are_those_of_numpys_inverted_distribution(values: list[int], level: float) -> None:
    expected = np.quantile(values, level, method="inverted_cdf")
    assert quantile(sorted(values), level) == expected
    counted = [(value, values.count(value)) for value in sorted(set(values))]
    assert quantile_of_counts(counted, len(values), level) == expected


def test_without_values_there_is_no_quantile() -> None:
    assert quantile_of_counts([], 0, 0.5) is None


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 1)), min_size=1, max_size=40))
def test_the_area_is_the_share_of_pairs_in_the_right_order(pairs: list[tuple[int, int]]) -> None:
    above = [score for score, label in pairs if label]
    below = [score for score, label in pairs if not label]
    found = rank_counts(count_steps(pairs)).auc
    if not above or not below:
        assert found is None
        return
    wins = sum((one > other) + (one == other) / 2 for one in above for other in below)
    assert found == pytest.approx(wins / (len(above) * len(below)))


def test_average_precision_is_none_without_positives() -> None:
    counts = RankedCounts()
    counts.add(0, 3)
    assert counts.average_precision is None
    counts.add(1, 0)
    assert counts.average_precision == 0.25
