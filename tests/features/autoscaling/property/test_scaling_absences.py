"""Scheduled actions after an absence of any length, against a model that was there every minute."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tidegate.domain.scaling import Dimension, ScalableTarget, ScalerState, ScheduledAction, SuspendedScaling
from tidegate.features.autoscaling.scheduled_actions import TOLERANCE, apply_actions, last_time, next_time

MADE = datetime(2029, 3, 20, 5, 17, tzinfo=UTC)
MINUTE, DAY = timedelta(minutes=1), timedelta(days=1)
ZONES = ["UTC", "Europe/Zurich", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu"]
TARGET = ScalableTarget("e", "v", Dimension.INSTANCES, 1, 4, MADE)
CRONS: dict[str, Callable[[datetime], bool]] = {  # text -> whether a local minute fits
    "cron(0 8 * * ? *)": lambda t: (t.hour, t.minute) == (8, 0),
    "cron(0 20 ? * MON-FRI *)": lambda t: (t.hour, t.minute) == (20, 0) and t.isoweekday() < 6,
    "cron(30 2 * * ? *)": lambda t: (t.hour, t.minute) == (2, 30),
    "cron(15,30,45 2 * * ? *)": lambda t: t.hour == 2 and t.minute in (15, 30, 45),
    "cron(0/20 * * * ? *)": lambda t: t.minute % 20 == 0,
    "cron(0 0 L * ? *)": lambda t: (t.hour, t.minute) == (0, 0) and (t + DAY).day == 1,
    "cron(5 12 25 3 ? *)": lambda t: (t.month, t.day, t.hour, t.minute) == (3, 25, 12, 5),
}


def happens(action: ScheduledAction, minute: datetime) -> bool:
    """Read by hand: is this one of its minutes?"""
    if minute <= action.created_at or (action.start and minute < action.start):
        return False
    if action.end and minute > action.end:
        return False
    zone = ZoneInfo(action.timezone)
    if action.schedule.startswith("rate"):
        number, unit = action.schedule[5:-1].split()
        every = int(number) * timedelta(**{f"{unit.rstrip('s')}s": 1})
        first = action.start or action.created_at + every
        return minute >= first and (minute - first) % every == timedelta()
    if action.schedule.startswith("at"):
        named = datetime.strptime(action.schedule[3:-1], "%Y-%m-%dT%H:%M:%S")
        return named.replace(tzinfo=zone).astimezone(UTC) == minute
    local = minute.astimezone(zone).replace(tzinfo=None)
    # What the clocks leave out comes so much later; of what they show twice the first counts.
    wall = [local, local - timedelta(hours=1), local - timedelta(minutes=30)]
    return any(CRONS[action.schedule](one) and one.replace(tzinfo=zone).astimezone(UTC) == minute for one in wall)


def always_there(
    target: ScalableTarget, actions: list[ScheduledAction], since: datetime, until: datetime
) -> ScalableTarget:
    minute = since.replace(second=0, microsecond=0) + MINUTE
    while minute <= until:
        for action in sorted(actions, key=lambda one: one.name):
            if happens(action, minute):
                minimum = target.minimum if action.minimum is None else action.minimum
                maximum = target.maximum if action.maximum is None else action.maximum
                if minimum > maximum and action.minimum is None:
                    minimum = maximum
                maximum = max(minimum, maximum)
                target = replace(target, minimum=minimum, maximum=maximum)
        minute += MINUTE
    return target


def whole(moment: datetime) -> datetime:
    return moment.replace(second=0, microsecond=0)


moments = st.datetimes(datetime(2029, 3, 20), datetime(2029, 4, 4)).map(lambda t: whole(t.replace(tzinfo=UTC)))
texts = st.one_of(
    st.sampled_from(sorted(CRONS)),
    st.sampled_from(["rate(7 minutes)", "rate(5 hours)", "rate(1 day)", "rate(3 days)"]),
    moments.map(lambda t: f"at({t:%Y-%m-%dT%H:%M:%S})"),
)
bounds = st.one_of(
    st.tuples(st.integers(0, 9), st.none()),
    st.tuples(st.none(), st.integers(0, 9)),
    st.tuples(st.integers(0, 4), st.integers(4, 9)),
)


@st.composite
def some_actions(draw: st.DrawFn) -> list[ScheduledAction]:
    found = []
    for name in draw(st.lists(st.sampled_from("abcd"), min_size=1, max_size=3, unique=True)):
        minimum, maximum = draw(bounds)
        window = sorted(draw(st.lists(moments, max_size=2)))
        found.append(
            ScheduledAction(
                name,
                draw(texts),
                MADE,
                draw(st.sampled_from(ZONES)),
                start=window[0] if window else None,
                end=window[1] if len(window) > 1 else None,
                minimum=minimum,
                maximum=maximum,
            )
        )
    return found


absences = st.lists(st.integers(1, 5 * 24 * 60), min_size=1, max_size=3)


@settings(max_examples=60, deadline=None)
@given(some_actions(), absences)
def test_bounds_after_an_outage_equal_those_without_it(
    actions: list[ScheduledAction], absences: list[int]
) -> None:
    target, state, model, now = TARGET, ScalerState(), TARGET, whole(MADE)
    for minutes in absences:
        before, now = now, now + minutes * MINUTE
        target, state = apply_actions(target, actions, state, now)
        model = always_there(model, actions, before, now)
        assert (target.minimum, target.maximum) == (model.minimum, model.maximum)
        assert apply_actions(target, actions, state, now) == (target, state), "each once"


@settings(max_examples=60, deadline=None)
@given(some_actions(), moments, st.integers(1, 3 * 24 * 60))
def test_next_and_last_time_of_a_schedule_agree_with_its_reading_by_hand(
    actions: list[ScheduledAction], since: datetime, minutes: int
) -> None:
    until = since + minutes * MINUTE
    for action in actions:
        times = [since + n * MINUTE for n in range(1, minutes + 1) if happens(action, since + n * MINUTE)]
        lower = max(since, MADE)
        assert last_time(action, lower, until) == (times[-1] if times else None)
        following = next_time(action, lower)
        assert (following if following is not None and following <= until else None) == (
            times[0] if times else None
        )


def daily(name: str, hour: int, **bounds: int) -> ScheduledAction:
    return ScheduledAction(name, f"cron(0 {hour} * * ? *)", MADE, **bounds)  # type: ignore[arg-type]


DAY_AND_NIGHT = [daily("day", 8, minimum=4, maximum=8), daily("night", 20, minimum=1, maximum=2)]


def at(day: int, hour: int, minute: int = 0) -> datetime:
    return datetime(2029, 3, day, hour, minute, tzinfo=UTC)


@pytest.mark.parametrize("days", [1, 2, 3, 9, 21, 400])
@pytest.mark.parametrize(("hour", "least"), [(12, 4), (23, 1)])
def test_after_a_long_outage_the_last_scheduled_action_due_holds(days: int, hour: int, least: int) -> None:
    target, state = apply_actions(TARGET, DAY_AND_NIGHT, ScalerState(), at(21, 7))
    assert target.minimum == 1
    target, _ = apply_actions(target, DAY_AND_NIGHT, state, at(21, hour) + days * DAY)
    assert target.minimum == least


def test_a_clock_that_was_ahead_and_is_set_back_leaves_the_bounds_of_the_right_time() -> None:
    target, state = apply_actions(TARGET, DAY_AND_NIGHT, ScalerState(), at(22, 12))
    assert target.minimum == 4
    target, state = apply_actions(target, DAY_AND_NIGHT, state, at(23, 2))  # wrong by 14 hours
    assert target.minimum == 1
    target, state = apply_actions(target, DAY_AND_NIGHT, state, at(22, 12, 1))
    assert target.minimum == 4
    target, state = apply_actions(target, DAY_AND_NIGHT, state, at(22, 20))
    assert target.minimum == 1, "what was done too early is done again in time"


def test_a_clock_that_is_corrected_by_seconds_takes_nothing_back_and_does_nothing_twice() -> None:
    target, state = apply_actions(TARGET, DAY_AND_NIGHT, ScalerState(), at(22, 20))
    by_hand = replace(target, minimum=3, maximum=9)
    for seconds in (-59, -1, 0, 1, 60):
        now = at(22, 20) + timedelta(seconds=seconds)
        assert apply_actions(by_hand, DAY_AND_NIGHT, state, now)[0] == by_hand
    assert timedelta(seconds=59) < TOLERANCE


def test_a_clock_that_is_set_back_where_nothing_was_done_changes_nothing() -> None:
    target, state = apply_actions(TARGET, DAY_AND_NIGHT, ScalerState(), at(22, 19))
    by_hand = replace(target, minimum=3, maximum=9)
    assert apply_actions(by_hand, DAY_AND_NIGHT, state, at(22, 9)) == (by_hand, state)


def test_scheduled_actions_during_a_suspension_are_not_made_up_for() -> None:
    target, state = apply_actions(TARGET, DAY_AND_NIGHT, ScalerState(), at(22, 12))
    held = replace(target, suspended=SuspendedScaling(scheduled=True))
    held, state = apply_actions(held, DAY_AND_NIGHT, state, at(25, 23))
    free = replace(held, suspended=SuspendedScaling())
    free, state = apply_actions(free, DAY_AND_NIGHT, state, at(26, 1))
    assert (free.minimum, free.maximum) == (4, 8)
    assert apply_actions(free, DAY_AND_NIGHT, state, at(26, 20))[0].minimum == 1
