"""Which spans an alarm reads, when it is evaluated, and what it says afterwards."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from tests.metric_alarm import metric_alarm
from tidegate.domain.alarm import AlarmState, MissingData
from tidegate.monitoring.alarm_evaluation import evaluate, next_evaluation, windows
from tidegate.monitoring.reasons import describe_breach
from tidegate.monitoring.samples import Datapoint

NOON = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
BEGIN = int(NOON.timestamp())

ALARM = metric_alarm(NOON - timedelta(days=1), name="slow", metric="ModelLatency", statistic="p99", threshold=1.0)


@pytest.mark.parametrize("period", [1, 5, 10, 20, 30])
def test_spans_below_a_minute_end_at_the_last_whole_second(period: int) -> None:
    spans = windows(replace(ALARM, period=period, evaluation_periods=3), NOON + timedelta(seconds=7.9))
    assert [begin - BEGIN for begin in spans] == [7 - n * period for n in (5, 4, 3, 2, 1)]


@pytest.mark.parametrize("period", [60, 300, 3600])
def test_spans_from_a_minute_on_end_at_the_last_whole_minute_and_are_not_aligned_to_the_period(
    period: int,
) -> None:
    spans = windows(replace(ALARM, period=period), NOON + timedelta(minutes=6, seconds=59.9))
    assert [begin - BEGIN for begin in spans] == [360 - n * period for n in (3, 2, 1)]


@pytest.mark.parametrize(
    ("period", "after"), [(1, 8), (5, 10), (10, 10), (20, 10), (30, 10), (60, 60), (120, 60), (3600, 60)]
)
def test_how_often(period: int, after: int) -> None:
    due = next_evaluation(replace(ALARM, period=period), NOON + timedelta(seconds=7.5))
    assert due == NOON + timedelta(seconds=after)


def test_a_new_or_changed_alarm_is_due_at_once() -> None:
    changed = replace(ALARM, configured_at=NOON)
    assert next_evaluation(changed, None) == NOON
    assert next_evaluation(changed, NOON - timedelta(seconds=1)) == NOON
    assert next_evaluation(changed, NOON) > NOON


def test_the_values_that_decided_are_told_in_the_unit_of_the_metric() -> None:
    points = [Datapoint(BEGIN + 10 * n, value, 40) for n, value in enumerate((120_000.0, 80_000.0, 300_500.0))]
    slow = replace(ALARM, threshold=100_000.0, period=10, evaluation_periods=3, datapoints_to_alarm=2)
    fired = evaluate(slow, points, NOON + timedelta(seconds=30))
    assert describe_breach(fired) == (
        "p99 of ModelLatency was 120 ms and 300.5 ms, greater than the threshold of 100 ms, in 2 of the last 3"
        " periods of 10 s"
    )
    failing = replace(slow, metric="Invocation5XXErrors", statistic="Average", threshold=0.02)
    found = describe_breach(evaluate(failing, [Datapoint(one.at, 0.075, 40) for one in points], NOON))
    assert "was 7.5 %, 7.5 % and 7.5 %, greater than the threshold of 2 %, in 3 of" in found
    assert not describe_breach(evaluate(slow, points[1:2], NOON)), "it is not in ALARM"
    assert not describe_breach(replace(fired, state_reason="a drill")), "it was set by hand"


def test_a_change_says_what_was_seen() -> None:
    at = int(datetime(2026, 11, 24, 15, 0, tzinfo=UTC).timestamp())
    now = datetime(2026, 11, 24, 15, 0, 10, tzinfo=UTC)
    changed = evaluate(ALARM, [None, None, Datapoint(at, 5.0, 40)], now)
    assert changed.state is AlarmState.ALARM
    assert changed.state_reason == (
        "Threshold Crossed: 1 out of the last 1 datapoints [5.0 (24/11/26 15:00:00)] was greater than the "
        "threshold (1.0) (minimum 1 datapoint for OK -> ALARM transition)."
    )
    assert changed.state_changed_at == changed.state_updated_at == now
    assert json.loads(changed.state_reason_data or "") == {
        "version": "1.0",
        "queryDate": "2026-11-24T15:00:10.000+0000",
        "startDate": "2026-11-24T15:00:00.000+0000",
        "statistic": "p99",
        "period": 10,
        "recentDatapoints": [5.0],
        "threshold": 1.0,
        "evaluatedDatapoints": [{"timestamp": "2026-11-24T15:00:00.000+0000", "sampleCount": 40, "value": 5.0}],
    }


def test_no_change_gives_the_same_object() -> None:
    steady = replace(ALARM, state=AlarmState.OK)
    assert evaluate(steady, [None, None, Datapoint(BEGIN, 0.5)], NOON) is steady


@pytest.mark.parametrize(
    ("row", "missing", "expected"),
    [
        (
            [2.0, 0.5, 3.0],
            MissingData.MISSING,
            "Threshold Crossed: 2 out of the last 3 datapoints [3.0 (24/11/26 12:00:20), 2.0 (24/11/26 12:00:00)] "
            "were greater than the threshold (1.0) (minimum 2 datapoints for OK -> ALARM transition).",
        ),
        (
            [0.5, 0.25, 1.0],
            MissingData.MISSING,
            "Threshold Crossed: 3 datapoints [1.0 (24/11/26 12:00:20), 0.25 (24/11/26 12:00:10), "
            "0.5 (24/11/26 12:00:00)] were not greater than the threshold (1.0).",
        ),
        ([None, None, None], MissingData.MISSING, "Insufficient Data: 3 datapoints were unknown."),
        (
            [None, None, None],
            MissingData.BREACHING,
            "Threshold Crossed: no datapoints were received for 3 periods and 3 missing datapoints were treated "
            "as [Breaching].",
        ),
        (
            [None, 0.5, None],
            MissingData.NOT_BREACHING,
            "Threshold Crossed: 1 datapoint [0.5 (24/11/26 12:00:10)] was not greater than the threshold (1.0) "
            "and 2 missing datapoints were treated as [NonBreaching].",
        ),
    ],
)
def test_the_reason(row: list[float | None], missing: MissingData, expected: str) -> None:
    for before in AlarmState:
        three = replace(ALARM, evaluation_periods=3, datapoints_to_alarm=2, missing=missing, state=before)
        points = [None if v is None else Datapoint(BEGIN + 10 * i, v) for i, v in enumerate(row)]
        after = evaluate(three, [None, None, *points], NOON)
        if after.state is not before:
            assert after.state_reason == expected
        else:
            assert after is three


def test_a_long_window_still_makes_a_reason_that_fits() -> None:
    many = replace(ALARM, evaluation_periods=1440, datapoints_to_alarm=1440)
    after = evaluate(many, [Datapoint(BEGIN + i, 1e300 + i) for i in range(1442)], NOON)
    assert after.state is AlarmState.ALARM
    assert len(after.state_reason) <= 1023 and after.state_reason.endswith("transition).")
    assert len(after.state_reason_data or "") <= 4000
    assert len(json.loads(after.state_reason_data or "")["evaluatedDatapoints"]) == 10
