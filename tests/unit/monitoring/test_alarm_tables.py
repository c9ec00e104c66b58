"""The tables of CloudWatch's user guide ("How alarm state is evaluated when data is missing"), row by row."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from tests.metric_alarm import metric_alarm
from tidegate.domain.alarm import Alarm, AlarmState, ComparisonOperator, MissingData
from tidegate.monitoring.alarm_evaluation import judge
from tidegate.monitoring.samples import Datapoint

NOW = datetime(2026, 11, 24, 15, 0, tzinfo=UTC)
TREATMENTS = (MissingData.MISSING, MissingData.IGNORE, MissingData.BREACHING, MissingData.NOT_BREACHING)
RESULTS = {"OK": AlarmState.OK, "ALARM": AlarmState.ALARM, "INSUFFICIENT": AlarmState.INSUFFICIENT_DATA}


def alarm(m: int, missing: MissingData, state: AlarmState) -> Alarm:
    return metric_alarm(
        NOW,
        dimensions={},
        period=60,
        evaluation_periods=3,
        datapoints_to_alarm=m,
        threshold=0.5,
        missing=missing,
        state=state,
    )


def points(row: str) -> list[Datapoint | None]:
    """``X`` breaches, ``0`` does not, ``-`` is missing; the newest is on the right."""
    return [None if c == "-" else Datapoint(60 * i, float(c == "X")) for i, c in enumerate(row)]


# datapoints to alarm, the row, and the state for missing, ignore, breaching and notBreaching
GUIDE = [
    (3, "0-X-X", "OK OK OK OK"),
    (3, "0----", "OK OK OK OK"),
    (3, "-----", "INSUFFICIENT keep ALARM OK"),
    (3, "0XX-X", "ALARM ALARM ALARM ALARM"),
    (3, "--X--", "ALARM keep ALARM OK"),
    (2, "0-X-X", "ALARM ALARM ALARM ALARM"),
    (2, "00X0X", "ALARM ALARM ALARM ALARM"),
    (2, "0-X--", "OK OK ALARM OK"),
    (2, "----0", "OK OK ALARM OK"),
    (2, "---X-", "ALARM keep ALARM OK"),
]

# "Avoiding premature transitions to alarm state": the next point may be good, so it waits
PREMATURE = [
    (3, "----X", "keep keep ALARM OK"),
    (3, "---X-", "keep keep ALARM OK"),
    (3, "---X0", "OK OK OK OK"),
    (3, "--X-0", "OK OK OK OK"),
    (3, "X----", "ALARM keep ALARM OK"),
    (3, "--XX-", "ALARM keep ALARM OK"),
    (2, "--X-X", "ALARM ALARM ALARM ALARM"),
]


@pytest.mark.parametrize(("m", "row", "expected"), GUIDE + PREMATURE, ids=lambda v: str(v))
@pytest.mark.parametrize("before", list(AlarmState))
def test_row_of_the_guide(m: int, row: str, expected: str, before: AlarmState) -> None:
    seen = [judge(alarm(m, missing, before), points(row)).state for missing in TREATMENTS]
    assert seen == [RESULTS.get(word, before) for word in expected.split()]


@pytest.mark.parametrize(("row", "filled"), [("0-X-X", 0), ("0----", 2), ("-----", 3), ("0XX-X", 0), ("--X--", 2)])
def test_how_many_missing_points_are_filled(row: str, filled: int) -> None:
    assert judge(alarm(3, MissingData.BREACHING, AlarmState.OK), points(row)).filled == filled


@pytest.mark.parametrize(
    ("comparison", "breaching"),
    [
        (ComparisonOperator.GREATER, [False, False, True]),
        (ComparisonOperator.GREATER_OR_EQUAL, [False, True, True]),
        (ComparisonOperator.LESS, [True, False, False]),
        (ComparisonOperator.LESS_OR_EQUAL, [True, True, False]),
    ],
)
def test_comparison_at_the_threshold(comparison: ComparisonOperator, breaching: list[bool]) -> None:
    one = replace(alarm(1, MissingData.MISSING, AlarmState.OK), evaluation_periods=1, comparison=comparison)
    states = [judge(one, [Datapoint(0, value)]).state for value in (0.25, 0.5, 0.75)]
    assert states == [AlarmState.ALARM if b else AlarmState.OK for b in breaching]


@pytest.mark.parametrize(("statistic", "samples"), [("p99", 999), ("p50", 19), ("p10", 99), ("p99.9", 9_999)])
def test_a_percentile_with_low_samples_keeps_the_state_when_told_to_ignore(statistic: str, samples: int) -> None:
    low = replace(alarm(1, MissingData.MISSING, AlarmState.OK), evaluation_periods=1, statistic=statistic)
    point = [Datapoint(0, 1.0, samples)]
    enough = [Datapoint(0, 1.0, samples + 2)]
    assert judge(low, point).state is AlarmState.ALARM
    assert judge(replace(low, ignore_low_samples=True), point).state is AlarmState.OK
    assert judge(replace(low, ignore_low_samples=True), enough).state is AlarmState.ALARM
