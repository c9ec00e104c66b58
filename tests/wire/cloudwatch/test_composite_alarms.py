"""Composite alarms through botocore's own clients."""

from typing import Any

import pytest

from tests.served_wire import START
from tests.wire.cloudwatch.test_cloudwatch_alarms import ERRORS, put

PUT: dict[str, Any] = {"AlarmName": "both", "AlarmRule": 'ALARM("errors") AND NOT ALARM(maintenance)'}
COMPOSITE = {"AlarmTypes": ["CompositeAlarm"]}


@pytest.fixture
def composite(cloudwatch: Any) -> Any:
    put(cloudwatch)
    put(cloudwatch, "maintenance")
    cloudwatch.put_composite_alarm(**PUT, AlarmDescription="only outside of maintenance")
    return cloudwatch


def set_state(client: Any, name: str, state: str) -> None:
    client.set_alarm_state(AlarmName=name, StateValue=state, StateReason="by hand")


def state(client: Any, name: str = "both") -> tuple[str, str]:
    (alarm,) = client.describe_alarms(AlarmNames=[name], **COMPOSITE)["CompositeAlarms"]
    return alarm["StateValue"], alarm["StateReason"]


def test_a_composite_alarm_is_described_as_it_was_put_and_only_if_asked_for(composite: Any) -> None:
    (alarm,) = composite.describe_alarms(**COMPOSITE)["CompositeAlarms"]
    assert {member: alarm[member] for member in PUT} == PUT
    assert alarm["AlarmArn"].endswith(":alarm:both")
    assert (alarm["ActionsEnabled"], alarm["AlarmDescription"]) == (True, "only outside of maintenance")
    assert not {"Threshold", "Period", "MetricName", "EvaluationPeriods"} & alarm.keys()
    usual = composite.describe_alarms()
    assert [one["AlarmName"] for one in usual["MetricAlarms"]] == ["errors", "maintenance"]
    assert usual["CompositeAlarms"] == []
    assert composite.describe_alarms(AlarmNames=["both"])["CompositeAlarms"] == []
    every = composite.describe_alarms(AlarmTypes=["MetricAlarm", "CompositeAlarm"], MaxRecords=2)
    rest = composite.describe_alarms(
        AlarmTypes=["MetricAlarm", "CompositeAlarm"], MaxRecords=2, NextToken=every["NextToken"]
    )
    assert [one["AlarmName"] for one in every["CompositeAlarms"] + every["MetricAlarms"]] == ["both", "errors"]
    assert [one["AlarmName"] for one in rest["MetricAlarms"]] == ["maintenance"]


def test_a_composite_alarm_follows_the_others_at_once(composite: Any) -> None:
    assert state(composite)[0] == "OK"
    set_state(composite, "errors", "ALARM")
    assert state(composite) == ("ALARM", f"errors transitioned to ALARM at {START:%A %d %B, %Y %H:%M:%S} UTC")
    set_state(composite, "maintenance", "ALARM")
    assert state(composite)[0] == "OK"
    set_state(composite, "maintenance", "OK")
    composite.put_composite_alarm(AlarmName="both", AlarmRule="OK(errors)")
    assert state(composite)[0] == "OK"
    composite.put_composite_alarm(AlarmName="outer", AlarmRule="OK(both)")
    set_state(composite, "errors", "OK")
    assert (state(composite)[0], state(composite, "outer")[0]) == ("ALARM", "OK")


def test_history_of_composite_alarms_is_listed_by_type(composite: Any) -> None:
    set_state(composite, "errors", "ALARM")
    items = composite.describe_alarm_history(**COMPOSITE)["AlarmHistoryItems"]
    assert {(item["AlarmName"], item["AlarmType"]) for item in items} == {("both", "CompositeAlarm")}
    summaries = {item["HistorySummary"] for item in items if item["HistoryItemType"] == "StateUpdate"}
    assert "Alarm updated from OK to ALARM" in summaries
    usual = composite.describe_alarm_history()["AlarmHistoryItems"]
    assert {item["AlarmName"] for item in usual} == {"errors", "maintenance"}
    both = composite.describe_alarm_history(AlarmTypes=["MetricAlarm", "CompositeAlarm"])["AlarmHistoryItems"]
    assert {item["AlarmName"] for item in both} == {"errors", "maintenance", "both"}


def test_children_and_parents_are_listed(composite: Any) -> None:
    children = composite.describe_alarms(ChildrenOfAlarmName="both")
    assert [(one["AlarmName"], one["StateValue"]) for one in children["MetricAlarms"]] == [
        ("errors", "INSUFFICIENT_DATA"),
        ("maintenance", "INSUFFICIENT_DATA"),
    ]
    parents = composite.describe_alarms(ParentsOfAlarmName="errors")
    assert [one["AlarmName"] for one in parents["CompositeAlarms"]] == ["both"]
    assert parents["MetricAlarms"] == []


def test_an_alarm_that_others_depend_on_is_not_deleted(composite: Any, refusal: Any) -> None:
    code, status, message = refusal(composite.delete_alarms, AlarmNames=["errors"])
    assert (code, status) == ("ValidationError", 400)
    assert message == "Cannot delete errors as there are composite alarm(s) depending on it."
    composite.delete_alarms(AlarmNames=["errors", "both"])
    assert composite.describe_alarms(AlarmTypes=["CompositeAlarm"])["CompositeAlarms"] == []


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"AlarmRule": "ALARM(nothing)"}, 'there is no alarm "nothing"'),
        ({"AlarmRule": "ALARM(both)"}, "depends on the alarm itself"),
        ({"AlarmRule": "ALARM(errors) XOR ALARM(errors)"}, "is not expected there"),
        ({"AlarmName": "errors", "AlarmRule": "TRUE"}, "exists as a metric alarm"),
        ({"AlarmName": "new", "AlarmRule": "TRUE", "ActionsSuppressor": "errors"}, "ActionsSuppressor is not"),
        (
            {"AlarmName": "new", "AlarmRule": "TRUE", "AlarmActions": ["arn:aws:autoscaling:x:1:scalingPolicy:y"]},
            "no actions of scaling",
        ),
    ],
)
def test_an_impossible_composite_alarm_is_refused(
    composite: Any, refusal: Any, given: dict[str, Any], says: str
) -> None:
    code, status, message = refusal(composite.put_composite_alarm, **{**PUT, **given})
    assert (code, status, says in message) == ("ValidationError", 400, True), message


def test_a_cycle_is_refused(composite: Any, refusal: Any) -> None:
    composite.put_composite_alarm(AlarmName="outer", AlarmRule="ALARM(both)")
    _, _, message = refusal(composite.put_composite_alarm, AlarmName="both", AlarmRule="ALARM(outer)")
    assert 'depends on the alarm itself, through "outer"' in message


def test_a_metric_alarm_does_not_replace_a_composite_one(composite: Any, refusal: Any) -> None:
    code, _, message = refusal(composite.put_metric_alarm, **{**ERRORS, "AlarmName": "both"})
    assert (code, "exists as a composite alarm" in message) == ("ValidationError", True)


def test_tags_and_actions_of_composite_alarms(composite: Any) -> None:
    composite.put_composite_alarm(AlarmName="tagged", AlarmRule="FALSE", Tags=[{"Key": "team", "Value": "risk"}])
    (alarm,) = composite.describe_alarms(AlarmNames=["tagged"], **COMPOSITE)["CompositeAlarms"]
    assert composite.list_tags_for_resource(ResourceARN=alarm["AlarmArn"])["Tags"] == [
        {"Key": "team", "Value": "risk"}
    ]
    composite.disable_alarm_actions(AlarmNames=["tagged"])
    (alarm,) = composite.describe_alarms(AlarmNames=["tagged"], **COMPOSITE)["CompositeAlarms"]
    assert alarm["ActionsEnabled"] is False
