"""What holds for every alarm and every run of points."""

from dataclasses import replace
from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from tidegate.domain.alarm import Alarm, AlarmState, ComparisonOperator, MissingData
from tidegate.monitoring.alarm_evaluation import EXTRA, evaluate, judge, next_evaluation, windows
from tidegate.monitoring.samples import Datapoint

START = datetime(2026, 11, 24, tzinfo=UTC)
Row = list[Datapoint | None]


@st.composite
def alarms(draw: st.DrawFn, missing: MissingData | None = None) -> Alarm:
    n = draw(st.integers(1, 6))
    return Alarm(
        name="any",
        namespace="N",
        metric="M",
        dimensions={},
        statistic=draw(st.sampled_from(["Sum", "Average", "p99", "p10"])),
        period=draw(st.sampled_from([1, 5, 10, 20, 30, 60, 300])),
        evaluation_periods=n,
        datapoints_to_alarm=draw(st.integers(1, n)),
        threshold=0.5,
        comparison=draw(st.sampled_from([ComparisonOperator.GREATER, ComparisonOperator.GREATER_OR_EQUAL])),
        configured_at=START,
        missing=missing or draw(st.sampled_from(list(MissingData))),
        state=draw(st.sampled_from(list(AlarmState))),
    )


@st.composite
def worlds(draw: st.DrawFn, missing: MissingData | None = None) -> tuple[Alarm, Row]:
    alarm = draw(alarms(missing))
    size = alarm.evaluation_periods + EXTRA
    values = draw(st.lists(st.sampled_from([None, 0.0, 1.0]), min_size=size, max_size=size))
    return alarm, [None if v is None else Datapoint(i, v) for i, v in enumerate(values)]


def breaching(row: Row) -> int:
    return sum(p is not None and p.value == 1.0 for p in row)


def real(row: Row) -> int:
    return sum(p is not None for p in row)


@given(worlds())
def test_alarm_needs_m_breaching_points_real_or_filled(world: tuple[Alarm, Row]) -> None:
    alarm, row = world
    missing = max(0, alarm.evaluation_periods - real(row))
    if judge(replace(alarm, state=AlarmState.OK), row).state is AlarmState.ALARM:
        assert breaching(row) >= 1 or alarm.missing is MissingData.BREACHING
        assert breaching(row) + missing >= alarm.datapoints_to_alarm


@given(worlds())
def test_breaching_and_not_breaching_never_end_in_insufficient_data(world: tuple[Alarm, Row]) -> None:
    alarm, row = world
    state = judge(alarm, row).state
    if alarm.missing in (MissingData.BREACHING, MissingData.NOT_BREACHING) or breaching(row) < real(row):
        assert state is not AlarmState.INSUFFICIENT_DATA


@given(worlds(MissingData.MISSING), st.sampled_from([AlarmState.OK, AlarmState.ALARM]))
def test_no_data_at_all_is_insufficient_and_data_never_turns_into_it(
    world: tuple[Alarm, Row], before: AlarmState
) -> None:
    alarm, row = world
    after = judge(replace(alarm, state=before), row).state
    assert (after is AlarmState.INSUFFICIENT_DATA) == (real(row) == 0)


@given(worlds(), st.data())
def test_an_added_breaching_point_never_ends_an_alarm(world: tuple[Alarm, Row], data: st.DataObject) -> None:
    alarm, row = world
    on = judge(alarm, row).state is AlarmState.ALARM
    place = data.draw(st.integers(0, len(row) - 1))
    worse = [*row[:place], Datapoint(place, 1.0), *row[place + 1 :]]
    assert not on or judge(replace(alarm, state=AlarmState.ALARM), worse).state is AlarmState.ALARM


@given(worlds(), st.data())
def test_an_added_good_point_never_raises_an_alarm(world: tuple[Alarm, Row], data: st.DataObject) -> None:
    alarm, row = world
    fine = judge(alarm, row).state is AlarmState.OK
    place = data.draw(st.integers(0, len(row) - 1))
    better = [*row[:place], Datapoint(place, 0.0), *row[place + 1 :]]
    assert not fine or judge(replace(alarm, state=AlarmState.OK), better).state is AlarmState.OK


@given(alarms(MissingData.IGNORE), st.data())
def test_ignore_keeps_the_state_while_nothing_real_decides(alarm: Alarm, data: st.DataObject) -> None:
    size = alarm.evaluation_periods + EXTRA
    places = data.draw(st.sets(st.integers(0, size - 1), max_size=alarm.datapoints_to_alarm - 1))
    row = [Datapoint(place, 1.0) if place in places else None for place in range(size)]
    assert judge(alarm, row).state is alarm.state


@given(alarms(), st.data())
def test_with_n_real_points_the_treatment_does_not_matter(alarm: Alarm, data: st.DataObject) -> None:
    size = alarm.evaluation_periods + EXTRA
    gaps = data.draw(st.sets(st.integers(0, size - 1), max_size=EXTRA))
    values = data.draw(st.lists(st.sampled_from([0.0, 1.0]), min_size=size, max_size=size))
    row = [None if place in gaps else Datapoint(place, value) for place, value in enumerate(values)]
    assert len({judge(replace(alarm, missing=how), row).state for how in MissingData}) == 1


@given(worlds())
def test_treatments_are_ordered(world: tuple[Alarm, Row]) -> None:
    """What alarms when gaps count as good alarms for every treatment; what is OK when they count as bad is OK."""
    alarm, row = world
    states = {how: judge(replace(alarm, missing=how, state=AlarmState.OK), row).state for how in MissingData}
    if states[MissingData.NOT_BREACHING] is AlarmState.ALARM:
        assert set(states.values()) == {AlarmState.ALARM}
    if states[MissingData.BREACHING] is AlarmState.OK:
        assert set(states.values()) == {AlarmState.OK}


@given(worlds())
def test_evaluating_twice_gives_the_same_state(world: tuple[Alarm, Row]) -> None:
    alarm, row = world
    once = evaluate(alarm, row, START)
    assert evaluate(once, row, START) is once


@given(alarms(), st.floats(0, 1e6))
def test_evaluation_times_advance_and_their_spans_are_complete(alarm: Alarm, seconds: float) -> None:
    now = datetime.fromtimestamp(START.timestamp() + seconds, UTC)
    after = next_evaluation(alarm, now)
    assert 0 < (after - now).total_seconds() <= 60
    spans = windows(alarm, now)
    assert len(spans) == alarm.evaluation_periods + EXTRA
    assert spans[-1] + alarm.period <= now.timestamp()
