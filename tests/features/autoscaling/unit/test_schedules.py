"""Scheduled actions: at, rate and cron, in the time of a place."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from tests.features.autoscaling.unit.scaling_examples import after, asked, target
from tidegate.domain.errors import Invalid
from tidegate.domain.scaling import ScalingObservation, ScheduledAction, SuspendedScaling
from tidegate.features.autoscaling.simulation import START
from tidegate.schedules.schedule import parse


def times(text: str, since: str, zone: str = "UTC", count: int = 3) -> list[str]:
    found, instant = [], datetime.fromisoformat(since).replace(tzinfo=UTC)
    for _ in range(count):
        following = parse(text, zone).after(instant, START)
        if following is None:
            break
        found.append(following.strftime("%Y-%m-%dT%H:%M"))
        instant = following
    return found


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("cron(0 8 L * ? *)", ["2030-01-31T08:00", "2030-02-28T08:00", "2030-03-31T08:00"]),
        ("cron(0 8 LW * ? *)", ["2030-01-31T08:00", "2030-02-28T08:00", "2030-03-29T08:00"]),
        ("cron(0 8 15W * ? *)", ["2030-01-15T08:00", "2030-02-15T08:00", "2030-03-15T08:00"]),
        ("cron(0 8 1W 6,9 ? *)", ["2030-06-03T08:00", "2030-09-02T08:00", "2031-06-02T08:00"]),
        ("cron(0/30 9-10 ? * MON-FRI *)", ["2030-01-07T09:00", "2030-01-07T09:30", "2030-01-07T10:00"]),
        ("cron(15 10 ? * 6L 2030-2031)", ["2030-01-25T10:15", "2030-02-22T10:15", "2030-03-29T10:15"]),
        ("cron(0 0 ? * MON#5 *)", ["2030-04-29T00:00", "2030-07-29T00:00", "2030-09-30T00:00"]),
        ("cron(0 12 25 DEC ? 2030)", ["2030-12-25T12:00"]),
        ("cron(0 0 29 2 ? *)", ["2032-02-29T00:00", "2036-02-29T00:00", "2040-02-29T00:00"]),
        ("cron(0 0 31 2 ? *)", []),
        ("cron(0 8 ? * FRI-MON *)", ["2030-01-07T08:00", "2030-01-11T08:00", "2030-01-12T08:00"]),
        ("cron(0 8 1 NOV-FEB/2 ? *)", ["2030-11-01T08:00", "2031-01-01T08:00", "2031-11-01T08:00"]),
        ("cron(0 22-2/2 8 1 ? 2030)", ["2030-01-08T00:00", "2030-01-08T02:00", "2030-01-08T22:00"]),
        ("at(2030-03-01T06:30:00)", ["2030-03-01T06:30"]),
        ("rate(2 hours)", ["2030-01-07T02:00", "2030-01-07T04:00", "2030-01-07T06:00"]),
    ],
)
def test_when_it_comes(text: str, expected: list[str]) -> None:
    assert times(text, "2030-01-07T00:00") == expected


@pytest.mark.parametrize(
    ("text", "place", "expected"),
    [
        ("cron(0 8 LW * ? *)", "", ["2027-12-31", "2028-01-31", "2028-02-29"]),
        ("cron(0 8 LW 12 ? *)", "CH", ["2027-12-31", "2028-12-29", "2029-12-31"]),
        ("cron(0 8 LW 5 ? 2032-2033)", "US", ["2032-05-28", "2033-05-31"]),
        ("cron(0 8 LW 5 ? 2032-2033)", "", ["2032-05-31", "2033-05-31"]),
        ("cron(0 8 25W 12 ? *)", "CH", ["2027-12-24", "2028-12-26", "2029-12-24"]),
        ("cron(0 8 25W 12 ? *)", "CH-ZH", ["2027-12-24", "2028-12-27", "2029-12-24"]),
        ("cron(0 8 25W 12 ? *)", "AE", ["2027-12-24", "2028-12-25", "2029-12-25"]),
        ("cron(0 8 1W 1 ? *)", "US-NY", ["2028-01-03", "2029-01-02", "2030-01-02"]),
    ],
)
def test_public_holidays_are_no_working_days(text: str, place: str, expected: list[str]) -> None:
    found, instant = [], datetime(2027, 12, 1, tzinfo=UTC)
    for _ in expected:
        following = parse(text, "UTC", place).after(instant, START)
        assert following is not None
        found.append(f"{following:%Y-%m-%d}")
        instant = following
    assert found == expected


@pytest.mark.parametrize(
    ("text", "place", "says"),
    [
        ("cron(0 8 LW * ? *)", "XX", "holidays of 'XX' are not known"),
        ("cron(0 8 LW * ? *)", "CH-QQ", "holidays of 'CH-QQ' are not known"),
        ("cron(0 8 LW * ? *)", "utils", "holidays of 'utils' are not known"),
        ("cron(0 8 LW * ? *)", "HolidayBase", "holidays of 'HolidayBase' are not known"),
        ("cron(0 8 LW * ? *)", "CH-", "holidays of 'CH-' are not known"),
        ("cron(0 8 LW * ? *)", "NYSE", "holidays of 'NYSE' are not known"),
        ("cron(0 8 L * ? *)", "CH", "has none of them"),
        ("rate(1 day)", "CH", "has none of them"),
    ],
)
def test_holidays_that_cannot_be_are_refused(text: str, place: str, says: str) -> None:
    with pytest.raises(Invalid, match=says):
        parse(text, "UTC", place)


def test_a_place_keeps_its_own_hours_through_the_year() -> None:
    zurich = times("cron(0 8 1 * ? *)", "2030-02-15T00:00", "Europe/Zurich")
    assert zurich == ["2030-03-01T07:00", "2030-04-01T06:00", "2030-05-01T06:00"]


def test_an_hour_that_does_not_exist_comes_later_and_one_that_comes_twice_comes_once() -> None:
    assert times("cron(30 2 31 3 ? 2030)", "2030-03-30T00:00", "Europe/Zurich") == ["2030-03-31T01:30"]
    assert times("cron(30 2 27 10 ? 2030)", "2030-10-26T00:00", "Europe/Zurich") == ["2030-10-27T00:30"]


@pytest.mark.parametrize(
    "text",
    [
        "cron(0 8 * * * *)",
        "cron(0 8 ? * ? *)",
        "cron(0 8 * * ?)",
        "cron(60 8 * * ? *)",
        "cron(0 8 * * ? 2031-2030)",
        "cron(0 8 32W * ? *)",
        "cron(0 8 ? * 2#6 *)",
        "cron(0 x * * ? *)",
        "cron(0/0 8 * * ? *)",
        "cron(0/00 8 * * ? *)",
        pytest.param(f"cron({'1' * 5000} 8 * * ? *)", id="5,000 digits"),
        pytest.param(f"cron(0 8 {'1' * 5000}W * ? *)", id="5,000 digits and W"),
        pytest.param(f"cron(0 8 ? * {'1' * 5000}L *)", id="5,000 digits and L"),
        "cron(0 8 \N{ARABIC-INDIC DIGIT THREE}W * ? *)",
        "rate(0 minutes)",
        "rate(5 weeks)",
        "at(tomorrow)",
        "every day",
    ],
)
def test_what_cannot_be_read_is_refused(text: str) -> None:
    with pytest.raises(Invalid):
        parse(text)


def test_an_unknown_time_zone_is_refused() -> None:
    with pytest.raises(Invalid, match="IANA"):
        parse("rate(1 day)", "Europe/Atlantis")


RAISE = ScheduledAction("morning", "at(2030-01-07T00:10:00)", START, minimum=5)


def test_a_scheduled_action_moves_the_bounds_for_good_and_the_count_with_them() -> None:
    early = asked(ScalingObservation(2, 2), schedules=(RAISE,))
    raised = asked(ScalingObservation(2, 2), schedules=(RAISE,), at=600)
    later = asked(ScalingObservation(2, 2), of=raised.target, state=raised.state, schedules=(RAISE,), at=900)
    assert (early.desired, early.wake_at) == (2, after(600))
    assert (raised.desired, raised.target.minimum, raised.reason) == (5, 5, "minimum capacity was set to 5")
    assert (later.target.minimum, later.desired) == (5, 5)


def test_bounds_that_would_cross_take_the_other_along() -> None:
    high = ScheduledAction("high", "at(2030-01-07T00:10:00)", START, minimum=20)
    low = ScheduledAction("low", "at(2030-01-07T00:10:00)", START, maximum=3)
    raised = asked(ScalingObservation(2, 2), schedules=(high,), at=600).target
    lowered = asked(ScalingObservation(6, 6), of=target(5, 9), schedules=(low,), at=600).target
    assert (raised.minimum, raised.maximum, lowered.minimum, lowered.maximum) == (20, 20, 3, 3)


def test_what_was_missed_happens_once() -> None:
    hourly = ScheduledAction("hourly", "rate(1 hour)", START, minimum=5)
    late = asked(ScalingObservation(2, 2), schedules=(hourly,), at=5 * 3600 + 1)
    lowered = asked(ScalingObservation(2, 2), of=target(), state=late.state, schedules=(hourly,), at=5 * 3600 + 2)
    assert (late.desired, lowered.target.minimum, lowered.wake_at) == (5, 1, after(6 * 3600))


def test_while_suspended_nothing_happens_and_nothing_is_made_up_for() -> None:
    held = replace(target(), suspended=SuspendedScaling(scheduled=True))
    over = asked(ScalingObservation(2, 2), of=held, schedules=(RAISE,), at=700)
    resumed = asked(ScalingObservation(2, 2), of=target(), state=over.state, schedules=(RAISE,), at=800)
    assert (over.desired, resumed.desired) == (2, 2)


def test_a_start_and_an_end_bound_it() -> None:
    span = ScheduledAction(
        "span", "rate(1 hour)", START, minimum=5, start=after(7200), end=after(7200) + timedelta(minutes=30)
    )
    begun = asked(ScalingObservation(2, 2), schedules=(span,), at=7200)
    assert asked(ScalingObservation(2, 2), schedules=(span,)).wake_at == after(7200)
    assert (begun.desired, begun.wake_at) == (5, None)
