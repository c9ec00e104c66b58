"""Our own rules: seconds instead of minutes, peaks of a calendar, and a forecast from history."""

import sys
from dataclasses import replace
from datetime import timedelta

import pytest

from tests.features.autoscaling.unit.scaling_examples import PER_MINUTE, after, asked, loaded, target
from tidegate.domain.scaling import (
    CalendarPeak,
    CalendarPolicy,
    FastPolicy,
    ForecastPolicy,
    RateSample,
    ScalingObservation,
    VariantLoad,
)
from tidegate.features.autoscaling.decide import ScalingDecision
from tidegate.features.autoscaling.simulation import START
from tidegate.schedules import cron

FAST = FastPolicy("fast", in_flight=2.0, queue_time=0.1, smoothing=0.0)


def look(count: int, need: float, ready: int | None = None, waits: float = 0.0) -> ScalingObservation:
    """A load that needs so many instances: each request takes 0.1 s."""
    return ScalingObservation(
        count, count if ready is None else ready, load=VariantLoad(need * 2, waits, need * 20, 0.1)
    )


def test_more_load_is_answered_at_the_first_look_in_bounded_steps() -> None:
    first = asked(look(1, 9.0), FAST)
    early = asked(look(4, 9.0, ready=1), FAST, state=first.state, at=0.5)
    second = asked(look(4, 9.0, ready=1), FAST, state=first.state, at=1)
    assert (first.desired, early.desired, second.desired) == (4, 4, 9)
    assert first.reason == "load of 9.0 instance(s) triggered policy fast"


def test_a_look_that_comes_too_soon_does_not_put_the_next_sample_off() -> None:
    first = asked(look(1, 0.5), FAST)
    early = asked(look(1, 9.0), FAST, state=first.state, at=0.5)
    assert (first.wake_at, early.wake_at) == (START + timedelta(seconds=0.9), START + timedelta(seconds=0.9))
    assert early.wake_at is not None and asked(look(1, 9.0), FAST, state=early.state, at=0.9).desired > 1


def test_without_arrivals_growth_counts_from_what_is_ready() -> None:
    seen = ScalingObservation(4, 1, load=VariantLoad(in_flight=100.0))
    assert asked(seen, FAST).desired == 4
    assert asked(replace(seen, ready=4), FAST).desired == 10


def test_a_little_over_is_no_reason() -> None:
    assert [asked(look(4, need), FAST).desired for need in (4.3, 4.5)] == [4, 5]


def test_requests_that_wait_ask_for_one_more_once_all_are_ready() -> None:
    assert asked(look(4, 3.0, waits=0.2), FAST).desired == 5
    assert asked(look(4, 3.0, waits=0.05), FAST).desired == 4


def watched(needs: list[float], count: int) -> list[ScalingDecision]:
    """A look every second, each on what the one before decided; changes come true at once."""
    decisions, state = [], None
    for second, need in enumerate(needs):
        decision = asked(look(count, need), FAST, state=state, at=second)
        state, count = decision.state, decision.desired
        decisions.append(decision)
    return decisions


def test_fewer_only_after_a_whole_window_and_not_below_what_it_needed() -> None:
    counts = [decision.desired for decision in watched([5.0] * 10 + [1.0] * 80, 8)]
    assert counts[:60] == [8] * 60
    assert counts[60:69] == [6] * 9  # 5 instances and 20 % more
    assert counts[-1] == 2


def test_blind_it_keeps_what_there_is_and_the_window_begins_anew() -> None:
    known = watched([1.0] * 59, 8)[-1]
    blind = asked(ScalingObservation(8, 8), FAST, state=known.state, at=59)
    again = asked(look(8, 1.0), FAST, state=blind.state, at=75)
    assert (blind.desired, again.desired) == (8, 8)
    assert again.state.fast["fast"].since == after(75)


def test_a_clock_that_was_set_back_does_not_stop_it() -> None:
    state = watched([1.0], 2)[-1].state
    assert asked(look(2, 6.0), FAST, state=state, at=-3600).desired == 6


def test_beside_target_tracking_fewer_needs_both() -> None:
    idle = replace(loaded(8, 10.0), load=VariantLoad(8.0, 0.0, 80.0, 0.1))
    assert asked(idle, PER_MINUTE).desired == 1
    assert asked(idle, PER_MINUTE, FAST).desired == 8
    busy = replace(idle, load=VariantLoad(20.0, 0.0, 200.0, 0.1))
    assert asked(busy, PER_MINUTE, FAST).desired == 10


PAYDAY = CalendarPolicy(
    "pay", (CalendarPeak("pay day", "cron(0 8 LW * ? *)", 7200, 6, "Europe/Zurich"),), margin=30
)


@pytest.mark.parametrize(("minutes", "count"), [(-3, 1), (-2.1, 1), (-2, 6), (0, 6), (119, 6), (120, 1)])
def test_a_peak_is_met_by_instances_that_were_started_before(minutes: float, count: int) -> None:
    begin = START.replace(day=31, hour=7) + timedelta(minutes=minutes)
    seen = ScalingObservation(1 if count == 6 else 6, 6, start_up=90.0)
    decision = asked(seen, PAYDAY, at=(begin - START).total_seconds())
    assert decision.desired == count


def test_a_calendar_wakes_for_its_next_peak() -> None:
    decision = asked(ScalingObservation(1, 1, start_up=90.0), PAYDAY)
    assert decision.wake_at == START.replace(day=31, hour=7) - timedelta(minutes=2)
    during = asked(
        ScalingObservation(6, 6, start_up=90.0), PAYDAY, at=(decision.wake_at - START).total_seconds() + 60
    )
    assert during.wake_at == START.replace(day=31, hour=9)


def test_without_the_package_of_its_holidays_a_peak_comes_by_monday_to_friday(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "holidays", None)
    cron.working_days_of.cache_clear()
    swiss = replace(PAYDAY, peaks=(replace(PAYDAY.peaks[0], holidays="CH"),))
    assert (
        asked(ScalingObservation(1, 1, start_up=90.0), swiss).wake_at
        == asked(ScalingObservation(1, 1, start_up=90.0), PAYDAY).wake_at
    )
    during = asked(ScalingObservation(1, 1), swiss, at=(START.replace(day=31, hour=7) - START).total_seconds())
    assert during.desired == 6
    assert "pay day (working days are Monday to Friday: public holidays need an optional package" in during.reason


DAILY = ForecastPolicy("forecast", per_instance=10.0, season=86_400.0, headroom=1.0)


def days(count: int, scale: float = 1.0) -> tuple[RateSample, ...]:
    """Every quarter of an hour: 10 a second, but 50 from 8 to 10; today's part up to 7:45 is ``scale`` times that."""
    rates = []
    for quarter in range(count * 96 + 32):
        at = START + timedelta(minutes=15 * quarter)
        rates.append(
            RateSample(at, (50.0 if at.hour in (8, 9) else 10.0) * (scale if quarter >= count * 96 else 1.0))
        )
    return tuple(rates)


def test_a_forecast_has_the_count_of_the_same_time_yesterday_ready_in_time() -> None:
    history, day = days(3), 3 * 86_400
    counts = [
        asked(ScalingObservation(1, 1, history=history, start_up=300.0), DAILY, at=day + hour * 3600).desired
        for hour in (7.5, 7.95, 9.0, 11.0)
    ]
    assert counts == [1, 5, 5, 1]


def test_a_forecast_follows_todays_level() -> None:
    seen = ScalingObservation(1, 1, history=days(3, scale=1.5), start_up=300.0)
    assert asked(seen, DAILY, of=target(), at=3 * 86_400 + 8 * 3600).desired == 8


def test_a_forecast_that_knows_nothing_has_no_say() -> None:
    young = ScalingObservation(4, 4, history=days(0), start_up=300.0)
    assert asked(young, DAILY, at=8 * 3600).desired == 4
    assert asked(replace(young, load=VariantLoad(2.0, 0.0, 20.0, 0.1)), DAILY, FAST, at=8 * 3600).desired == 4
