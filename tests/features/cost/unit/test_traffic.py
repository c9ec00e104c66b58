"""A year of traffic, hour by hour: calendars, peaks, growth, and figures that cannot be."""

from datetime import date

import pytest

from tidegate.domain.errors import Invalid
from tidegate.features.cost.shapes import PAYROLL, SHAPES, STEADY, shape
from tidegate.features.cost.traffic import PeakDays, Shape, Traffic


def at(year: int, month: int, day: int, hour: int) -> int:
    """Index of an hour of the year."""
    return (date(year, month, day) - date(year, 1, 1)).days * 24 + hour


def test_a_year_has_8760_hours_and_a_leap_year_8784() -> None:
    assert Traffic(1, STEADY).hours(2026).hours == 8760
    assert Traffic(1, STEADY).hours(2028).hours == 8784


def test_steady_traffic_is_the_same_at_all_hours() -> None:
    load = Traffic(40, STEADY).hours(2026)
    assert set(load.mean) == {40.0} == set(load.peak)
    assert load.requests == 40 * 3600 * 8760


def test_weekdays_are_the_calendars() -> None:
    load = Traffic(10, shape("business_hours")).hours(2026)
    assert load.mean[at(2026, 6, 5, 10)] == 10  # a Friday
    assert load.mean[at(2026, 6, 6, 10)] == 0  # a Saturday
    assert load.mean[at(2026, 6, 5, 7)] == pytest.approx(3)


def test_payroll_is_ten_times_at_year_end_and_in_tax_season_and_four_times_on_pay_days() -> None:
    load = Traffic(40, PAYROLL).hours(2026)
    assert load.mean[at(2026, 6, 10, 11)] == 40
    assert load.mean[at(2026, 6, 15, 11)] == 160
    assert load.mean[at(2026, 12, 21, 11)] == 400
    assert load.mean[at(2026, 1, 20, 11)] == 400
    assert load.mean[at(2026, 4, 10, 11)] == 400
    assert load.mean[at(2026, 4, 20, 11)] == 40
    assert load.busiest == 400


def test_a_pay_day_on_a_weekend_is_the_working_day_before_and_the_day_ahead_is_busy() -> None:
    pay = PeakDays("pay", 4, (15,), working=True, ahead=1)
    # 15 August 2026 is a Saturday, 15 March a Sunday.
    assert {day for day in pay.dates(2026) if day.month in (3, 8)} == {
        date(2026, 8, 14),
        date(2026, 8, 13),
        date(2026, 3, 13),
        date(2026, 3, 12),
    }


def test_days_ahead_of_the_new_year_are_in_the_old_one() -> None:
    assert PeakDays("new year", 2, (1,), (1,), ahead=2).dates(2026) == {
        date(2026, 1, 1),
        date(2026, 12, 30),
        date(2026, 12, 31),
    }


def test_the_last_day_of_a_month_and_days_that_a_month_lacks() -> None:
    assert date(2026, 2, 28) in PeakDays("end", 2, (-1,)).dates(2026)
    assert {day.month for day in PeakDays("31st", 2, (31,)).dates(2026)} == {1, 3, 5, 7, 8, 10, 12}


def test_of_two_peaks_on_a_day_the_larger_counts() -> None:
    both = Shape("both", (1.0,) * 168, (PeakDays("a", 3, (1,)), PeakDays("b", 5, (1,))))
    assert both.days(2026)[0] == (5, "b")


def test_growth_is_reached_at_the_end_of_the_year_and_goes_on() -> None:
    first = Traffic(100, STEADY, growth=0.5).hours(2026)
    second = Traffic(100, STEADY, growth=0.5).hours(2027, since=2026)
    assert first.mean[0] == 100
    assert first.mean[-1] == pytest.approx(150, rel=1e-3)
    assert second.mean[0] == pytest.approx(150)


def test_bursts_raise_the_busiest_minutes_and_not_the_mean() -> None:
    load = Traffic(1, shape("intermittent")).hours(2026)
    assert load.busiest == 6
    assert max(load.mean) == 1
    assert load.idle == 8760 - 4 * 261


def test_every_shape_says_what_it_is() -> None:
    assert all(one.says for one in SHAPES.values())
    assert shape("business-hours") is SHAPES["business_hours"]


def test_no_traffic_is_traffic() -> None:
    assert Traffic(0, PAYROLL).hours(2026).requests == 0


@pytest.mark.parametrize("rps", [-1, float("nan"), float("inf"), 1e12])
def test_a_rate_that_cannot_be_is_refused(rps: float) -> None:
    with pytest.raises(Invalid, match="requests a second"):
        Traffic(rps, STEADY)


def test_figures_of_shapes_that_cannot_be_are_refused() -> None:
    with pytest.raises(Invalid, match="there are: steady"):
        shape("sawtooth")
    with pytest.raises(Invalid, match="168 hours"):
        Shape("short", (1.0,))
    with pytest.raises(Invalid, match="part of the profile"):
        Shape("high", (2.0,) * 168)
    with pytest.raises(Invalid, match="factor"):
        PeakDays("dip", 0.5, (1,))
    with pytest.raises(Invalid, match="days must be"):
        PeakDays("none", 2, (0,))
    with pytest.raises(Invalid, match="months must be"):
        PeakDays("none", 2, (1,), (13,))
    with pytest.raises(Invalid, match="growth"):
        Traffic(1, STEADY, growth=-1)
