"""Measures from ordered pairs, compared with scikit-learn's."""

import math

import numpy
import pytest
import sklearn.metrics
from hypothesis import given
from hypothesis import strategies as st

from tidegate.statistics.measures import measure_binary, measure_numeric

PAIRS = st.lists(
    st.tuples(st.sampled_from([number / 20 for number in range(21)]), st.sampled_from([0.0, 1.0])), min_size=1
)


@given(PAIRS)
def test_they_are_those_of_scikit_learn(pairs: list[tuple[float, float]]) -> None:
    pairs = sorted(pairs, reverse=True)
    scores, labels = (numpy.array(side) for side in zip(*pairs, strict=True))
    found = measure_binary(iter(pairs), len(pairs), 0.5, 0.1)
    assert found is not None
    assert found.accuracy == pytest.approx(float(((scores >= 0.5) == (labels == 1)).mean()))
    assert found.brier == pytest.approx(float(((scores - labels) ** 2).mean()))
    if len(set(labels)) == 2:
        assert found.auc == pytest.approx(sklearn.metrics.roc_auc_score(labels, scores))
        assert found.average_precision == pytest.approx(sklearn.metrics.average_precision_score(labels, scores))
        assert found.auc_low is not None and found.auc_high is not None and found.auc is not None
        assert 0 <= found.auc_low <= found.auc <= found.auc_high <= 1
    else:
        assert found.auc is found.auc_low is found.auc_high is None, "a class was never seen"


def test_calibration_is_the_difference_of_score_and_rate() -> None:
    pairs = [(0.95, 1.0)] * 90 + [(0.95, 0.0)] * 10 + [(0.05, 1.0)] * 20 + [(0.05, 0.0)] * 80
    found = measure_binary(pairs, 200, 0.5, 0.5)
    assert found is not None and found.calibration_error == pytest.approx((0.05 + 0.15) / 2)
    assert found.precision_top == pytest.approx(0.9)


def test_scores_that_are_no_probabilities_have_no_calibration() -> None:
    found = measure_binary([(3.0, 1.0), (-1.0, 0.0)], 2, 0.0, 0.5)
    assert found is not None and found.calibration_error is None and found.brier is None and found.auc == 1


@pytest.mark.parametrize("absurd", [1e200, -1e299])
def test_a_score_whose_square_is_no_number_stops_no_measure(absurd: float) -> None:
    """A version that answers such is what labels are to find."""
    pairs = sorted([(0.9, 1.0), (0.1, 0.0), (absurd, 0.0)], reverse=True)
    found = measure_binary(pairs, 3, 0.5, 0.5)
    assert found is not None and found.brier is None
    assert found.auc == (0.5 if absurd > 0 else 1.0)


def test_equal_scores_have_no_order() -> None:
    """A constant score is no better than chance, however the rows come."""
    for pairs in ([(0.5, 1.0)] * 10 + [(0.5, 0.0)] * 30, [(0.5, 0.0)] * 30 + [(0.5, 1.0)] * 10):
        found = measure_binary(pairs, 40, 0.6, 0.1)
        assert found is not None and (found.auc, found.average_precision, found.precision_top) == (0.5, 0.25, 0.25)


def test_errors_of_amounts() -> None:
    found = measure_numeric([(10.0, 8.0), (5.0, 9.0)])
    assert found is not None
    assert (found.pairs, found.mean_absolute_error, found.bias) == (2, 3.0, -1.0)
    assert found.root_mean_square_error == pytest.approx(math.sqrt(10))


def test_without_pairs_nothing_is_said() -> None:
    assert measure_binary([], 0, 0.5, 0.1) is None and measure_numeric([]) is None
