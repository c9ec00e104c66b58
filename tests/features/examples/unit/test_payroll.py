"""The generator of payments does what it says."""

import numpy as np
import pytest

from tidegate.features.examples import payroll
from tidegate.features.examples.measures import auc
from tidegate.features.examples.payroll import BRAZIL, BRAZIL_JOINS, FEATURES, MONTH_STARTS


@pytest.fixture(scope="module")
def year() -> payroll.Payments:
    return payroll.generate(employees=4_000)


def test_the_same_seed_gives_the_same_year(year: payroll.Payments) -> None:
    again, other = payroll.generate(employees=4_000), payroll.generate(employees=4_000, seed=8)
    assert np.array_equal(year.x, again.x) and np.array_equal(year.fraud, again.fraud)
    assert not np.array_equal(year.x[:100], other.x[:100])


def test_december_is_ten_times_a_usual_month(year: payroll.Payments) -> None:
    months = np.bincount(np.searchsorted(MONTH_STARTS, year.day, side="right"), minlength=13)[1:]
    assert 8 < months[11] / np.median(months[:11]) < 13


def test_brazil_joins_in_september(year: payroll.Payments) -> None:
    days = year.day[year.country == BRAZIL]
    assert len(days) and days.min() >= BRAZIL_JOINS


def test_frauds_are_rare_come_as_likely_as_said_and_are_known_late(year: payroll.Payments) -> None:
    frauds = int(year.fraud.sum())
    assert 0.002 < frauds / len(year.fraud) < 0.02
    expected, spread = year.probability.sum(), np.sqrt((year.probability * (1 - year.probability)).sum())
    assert abs(frauds - expected) < 5 * spread
    lag = year.known_on[year.fraud] - year.day[year.fraud]
    assert lag.min() >= 0 and 10 < np.median(lag) < 35


def test_a_row_as_csv_has_every_feature(year: payroll.Payments) -> None:
    assert len(year.csv(0).split(b",")) == len(FEATURES)


def test_auc_against_values_that_are_known() -> None:
    fraud = np.array([False, True, False, True])
    assert auc(np.array([0.1, 0.4, 0.35, 0.8]), fraud) == 1.0
    assert auc(np.array([0.5, 0.5, 0.5, 0.5]), fraud) == 0.5
    assert auc(np.array([0.4, 0.1, 0.8, 0.35]), fraud) == 0.0
    assert auc(np.array([0.1, 0.2, 0.3, 0.4]), fraud) == 0.75
