"""The tests of drift, compared with SciPy's, and the control of false discoveries."""

import random

import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from tidegate.statistics.significance import (
    distance_of_counts,
    distance_of_samples,
    probability_of_counts,
    probability_of_distance,
    select_discoveries,
)

SAMPLES = st.lists(st.integers(0, 12).map(float), min_size=1, max_size=60)


@given(SAMPLES, SAMPLES)
def test_distance_is_the_largest_difference_at_any_point(first: list[float], second: list[float]) -> None:
    def below(sample: list[float], point: float) -> float:
        return sum(value <= point for value in sample) / len(sample)

    wanted = max(abs(below(first, point) - below(second, point)) for point in {*first, *second})
    assert distance_of_samples(sorted(first), sorted(second)) == pytest.approx(wanted)


@pytest.mark.parametrize("shift", [0.0, 0.05, 0.1, 0.3])
def test_its_probability_is_near_the_exact_one(shift: float) -> None:
    draw = random.Random(3)
    first = sorted(draw.gauss(0, 1) for _ in range(800))
    second = sorted(draw.gauss(shift, 1) for _ in range(500))
    exact = scipy.stats.ks_2samp(first, second, method="exact").pvalue
    found = probability_of_distance(distance_of_samples(first, second), 800, 500)
    assert found == pytest.approx(exact, rel=0.25, abs=0.01)


@given(
    st.lists(st.integers(10, 200), min_size=2, max_size=8), st.lists(st.integers(10, 200), min_size=8, max_size=8)
)
def test_probability_of_counts_is_that_of_scipy(first: list[int], second: list[int]) -> None:
    one = {str(place): float(count) for place, count in enumerate(first)}
    two = {str(place): float(count) for place, count in enumerate(second[: len(first)])}
    table = [list(one.values()), list(two.values())]
    if scipy.stats.contingency.expected_freq(table).min() >= 5.5:
        wanted = scipy.stats.chi2_contingency(table, correction=False).pvalue
        assert probability_of_counts(one, two) == pytest.approx(wanted, rel=1e-6, abs=1e-12)


def test_categories_are_compared_by_their_shares() -> None:
    assert distance_of_counts({"US": 80, "DE": 20}, {"US": 400, "DE": 500, "BR": 100}) == pytest.approx(0.4)
    assert probability_of_counts({"US": 1000}, {"US": 1000, "BR": 1}) == 1.0, "one rare value says nothing"
    assert probability_of_counts({"US": 1000}, {"US": 900, "BR": 100}) < 1e-9


@pytest.mark.parametrize(
    ("probabilities", "chosen"),
    [
        ([], []),
        ([0.04], [True]),
        ([0.06], [False]),
        ([0.01, 0.02, 0.03, 0.04], [True] * 4),
        ([0.04, 0.04, 0.9, 0.9], [False] * 4),
        ([0.9, 0.001, 0.02, 0.5], [False, True, True, False]),
    ],
)
def test_discoveries_are_selected_together(probabilities: list[float], chosen: list[bool]) -> None:
    assert select_discoveries(probabilities, 0.05) == chosen


def test_of_a_hundred_unchanged_columns_few_are_ever_called_changed() -> None:
    """In at most 5 % of looks is there one at all; a fixed seed, and three standard errors of room."""
    draw, false, looks = random.Random(11), 0, 60
    for _ in range(looks):
        found = []
        for _ in range(100):
            first = sorted(draw.random() for _ in range(120))
            second = sorted(draw.random() for _ in range(80))
            found.append(probability_of_distance(distance_of_samples(first, second), 120, 80))
        false += any(select_discoveries(found, 0.05))
    assert false / looks <= 0.05 + 3 * (0.05 * 0.95 / looks) ** 0.5
