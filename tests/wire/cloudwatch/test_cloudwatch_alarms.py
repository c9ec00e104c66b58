"""CloudWatch's alarm operations through botocore's own clients: those that speak JSON, those that speak query."""

import json
from datetime import timedelta
from typing import Any

import pytest

from tests.served_wire import START, Served
from tidegate.domain.endpoint import Endpoint, Rollout
from tidegate.domain.rollout import DeploymentConfig, RolloutPlan, Version
from tidegate.ports.store import Tx
from tidegate.service.record_kinds import ENDPOINT

ERRORS: dict[str, Any] = {
    "AlarmName": "errors",
    "Namespace": "AWS/SageMaker",
    "MetricName": "Invocation5XXErrors",
    "Dimensions": [{"Name": "EndpointName", "Value": "fraud"}, {"Name": "VariantName", "Value": "main"}],
    "Statistic": "Average",
    "Period": 10,
    "EvaluationPeriods": 3,
    "DatapointsToAlarm": 2,
    "Threshold": 0.05,
    "ComparisonOperator": "GreaterThanThreshold",
}
OF_MATH = dict.fromkeys(("MetricName", "Namespace", "Dimensions", "Statistic", "Period"))
"""What goes not with metric math, left out."""


def stat(id: str, name: str = "Average", **members: Any) -> dict[str, Any]:
    metric = {m: ERRORS[m] for m in ("Namespace", "MetricName", "Dimensions")}
    period = members.pop("Period", 10)
    return {"Id": id, "MetricStat": {"Metric": metric, "Stat": name, "Period": period}, **members}


ACTION = "arn:aws:sns:us-east-1:000000000000:pager"


def put(client: Any, name: str = "errors", **changes: Any) -> None:
    wanted = {**ERRORS, "AlarmName": name, **changes}
    client.put_metric_alarm(**{member: value for member, value in wanted.items() if value is not None})


def described(client: Any, name: str = "errors") -> dict[str, Any]:
    (alarm,) = client.describe_alarms(AlarmNames=[name])["MetricAlarms"]
    return dict(alarm)


def names(answer: dict[str, Any]) -> list[str]:
    return [alarm["AlarmName"] for alarm in answer["MetricAlarms"]]


def test_described_alarm_equals_the_one_that_was_put(cloudwatch: Any) -> None:
    put(
        cloudwatch,
        AlarmDescription="too many <errors> & so on",
        AlarmActions=[ACTION],
        TreatMissingData="notBreaching",
        Unit="None",
    )
    alarm = described(cloudwatch)
    assert alarm["AlarmArn"].startswith("arn:aws:cloudwatch:") and alarm["AlarmArn"].endswith(":alarm:errors")
    expected = {
        **ERRORS,
        "AlarmDescription": "too many <errors> & so on",
        "ActionsEnabled": True,
        "AlarmActions": [ACTION],
        "OKActions": [],
        "InsufficientDataActions": [],
        "TreatMissingData": "notBreaching",
        "Unit": "None",
        "StateValue": "INSUFFICIENT_DATA",
        "StateReason": "Unchecked: Initial alarm creation",
    }
    assert {member: alarm.get(member) for member in expected} == expected
    assert "ExtendedStatistic" not in alarm and "StateReasonData" not in alarm
    assert alarm["AlarmConfigurationUpdatedTimestamp"] == alarm["StateUpdatedTimestamp"] == START


def test_a_percentile_alarm_is_described_with_its_percentile(cloudwatch: Any) -> None:
    put(cloudwatch, Statistic=None, ExtendedStatistic="p99.9", EvaluateLowSampleCountPercentile="ignore")
    alarm = described(cloudwatch)
    assert (alarm["ExtendedStatistic"], alarm["EvaluateLowSampleCountPercentile"]) == ("p99.9", "ignore")
    assert "Statistic" not in alarm


def test_alarm_members_left_out_have_cloudwatch_defaults(cloudwatch: Any) -> None:
    put(cloudwatch, DatapointsToAlarm=None)
    alarm = described(cloudwatch)
    assert "DatapointsToAlarm" not in alarm
    assert (alarm["TreatMissingData"], alarm["ActionsEnabled"]) == ("missing", True)
    put(cloudwatch, DatapointsToAlarm=ERRORS["EvaluationPeriods"])
    assert described(cloudwatch)["DatapointsToAlarm"] == ERRORS["EvaluationPeriods"]


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"Statistic": None}, "exactly one of Statistic and ExtendedStatistic"),
        ({"ExtendedStatistic": "p99"}, "exactly one of Statistic and ExtendedStatistic"),
        ({"Statistic": "Median"}, "Median"),
        ({"Period": 15}, "period 15"),
        ({"Period": 90}, "period 90"),
        ({"Period": None}, "Period must be given"),
        ({"Threshold": None}, "Threshold must be given"),
        ({"Namespace": None}, "Namespace must be given"),
        ({"DatapointsToAlarm": 4}, "datapoints to alarm (4)"),
        ({"Period": 60, "EvaluationPeriods": 1441}, "longer than 1 day"),
        ({"TreatMissingData": "good"}, "TreatMissingData 'good'"),
        ({"Statistic": "Sum", "EvaluateLowSampleCountPercentile": "ignore"}, "needs a percentile"),
        ({"ComparisonOperator": "GreaterThanUpperThreshold", "ThresholdMetricId": "a"}, "anomaly detection"),
        ({"ComparisonOperator": "LessThanLowerThreshold"}, "LessThanLowerThreshold is not supported"),
        ({"ComparisonOperator": "Above"}, "Above"),
        ({"WarmUpConfiguration": {"WarmUpPeriodDurationInMinutes": 5}}, "warm-up is not supported"),
        ({"EvaluationWindow": {"WallClockWindow": {"Timezone": "UTC"}}}, "WallClockWindow is not supported"),
        ({"Metrics": [stat("m1")]}, "MetricName should not be set if list of Metrics is set."),
        (
            OF_MATH | {"Metrics": [stat("m1")], "Statistic": "Sum"},
            "Statistic should not be set if list of Metrics is set.",
        ),
        (
            {"Statistic": None, "ExtendedStatistic": "p90", "EvaluateLowSampleCountPercentile": "unknown"},
            "Option unknown is not supported. Supported options for parameter EvaluateLowSampleCountPercentile are "
            "evaluate and ignore.",
        ),
        (OF_MATH | {"Metrics": [{"Id": "e", "Expression": "m1/m2"}]}, "must have the same Period"),
        (OF_MATH | {"Metrics": [stat("m1"), stat("m2", "Sum")]}, "exactly one of Metrics must have ReturnData"),
        (
            OF_MATH | {"Metrics": [stat("m1", Period=20, ReturnData=False), stat("m2")]},
            "must have the same Period",
        ),
        (OF_MATH | {"Metrics": [{**stat("m1"), "Period": 60}]}, "m1: Period 60 and MetricStat.Period 10 differ"),
        (
            OF_MATH
            | {
                "EvaluationPeriods": 8000,
                "Metrics": [stat("m1", ReturnData=False), {"Id": "e", "Expression": "m1 + m1 / 2 * m1"}],
            },
            "takes 56,014 steps per evaluation; at most 50,000",
        ),
        (OF_MATH | {"Metrics": [stat(f"m{n}", ReturnData=n == 0) for n in range(21)]}, "at most 20"),
        ({"EvaluationCriteria": {"PromQLCriteria": {"Query": "up"}}}, "PromQL alarms are not supported"),
        ({"Dimensions": [{"Name": "A", "Value": "1"}, {"Name": "A", "Value": "2"}]}, "names a dimension twice"),
        ({"AlarmActions": [ACTION] * 6}, "alarmActions"),
        ({"AlarmName": "x" * 256}, "alarmName"),
    ],
    ids=lambda v: str(v)[:40],
)
def test_an_alarm_that_makes_no_sense_is_refused_and_not_kept(
    refusing: Any, refusal: Any, changes: dict[str, Any], says: str
) -> None:
    wanted = {**ERRORS, **changes}
    members = {member: value for member, value in wanted.items() if value is not None}
    code, status, message = refusal(refusing.put_metric_alarm, **members)
    assert (code, status) == ("ValidationError", 400)
    assert says in message
    assert refusing.describe_alarms()["MetricAlarms"] == []


@pytest.mark.parametrize("statistic", ["tm101", "TM(90%:10%)", "90", "p101", "Sum"])
def test_an_unknown_extended_statistic_is_refused(refusing: Any, refusal: Any, statistic: str) -> None:
    members = {**{k: v for k, v in ERRORS.items() if k != "Statistic"}, "ExtendedStatistic": statistic}
    assert refusal(refusing.put_metric_alarm, **members) == (
        "InvalidParameterValue",
        400,
        f"The value {statistic} for parameter ExtendedStatistic is not supported.",
    )
    assert refusing.describe_alarms()["MetricAlarms"] == []


def test_an_alarm_on_metric_math_is_shown_as_it_was_put(cloudwatch: Any) -> None:
    share = {"Id": "share", "Expression": "m1 / FILL(m2, 1)", "Label": "part", "ReturnData": True}
    put(
        cloudwatch,
        **OF_MATH | {"Metrics": [share, stat("m1", ReturnData=False), stat("m2", "Sum", ReturnData=False)]},
    )
    alarm = described(cloudwatch)
    assert alarm["Metrics"] == [share, stat("m1", ReturnData=False), stat("m2", "Sum", ReturnData=False)]
    assert not {"MetricName", "Namespace", "Period", "Statistic"} & alarm.keys()
    put(cloudwatch)
    assert "Metrics" not in described(cloudwatch)


def test_redefining_keeps_the_state(cloudwatch: Any) -> None:
    put(cloudwatch)
    cloudwatch.set_alarm_state(AlarmName="errors", StateValue="ALARM", StateReason="drill")
    put(cloudwatch, Threshold=0.5)
    alarm = described(cloudwatch)
    assert (alarm["Threshold"], alarm["StateValue"], alarm["StateReason"]) == (0.5, "ALARM", "drill")


def test_set_alarm_state(cloudwatch: Any) -> None:
    put(cloudwatch)
    data = json.dumps({"why": "drill"})
    cloudwatch.set_alarm_state(AlarmName="errors", StateValue="OK", StateReason="by hand", StateReasonData=data)
    alarm = described(cloudwatch)
    assert (alarm["StateValue"], alarm["StateReason"], alarm["StateReasonData"]) == ("OK", "by hand", data)
    assert alarm["StateUpdatedTimestamp"] == alarm["StateTransitionedTimestamp"]


def rolling_out(name: str, alarm: str) -> Endpoint:
    plan = RolloutPlan((), alarms=(alarm,))
    rollout = Rollout("r1", None, Version(1, "fraud-1", ()), DeploymentConfig(), plan, START)
    return Endpoint(name, START, START, rollout=rollout)


def test_who_rolls_out_under_the_alarm_is_woken(cloudwatch: Any, wire: Served) -> None:
    def fill(tx: Tx) -> None:
        for endpoint in (rolling_out("fraud", "errors"), rolling_out("other", "slow")):
            tx.put(ENDPOINT, endpoint.name, endpoint, expect=0, now=START)

    wire.run(wire.store.run(fill))
    put(cloudwatch)
    assert wire.kicked == []
    cloudwatch.set_alarm_state(AlarmName="errors", StateValue="ALARM", StateReason="drill")
    assert wire.kicked == ["fraud"]
    cloudwatch.delete_alarms(AlarmNames=["errors"])
    assert wire.kicked == ["fraud", "fraud"]


def test_setting_the_state_of_an_unknown_alarm_is_refused(cloudwatch: Any, refusal: Any) -> None:
    code, status, message = refusal(
        cloudwatch.set_alarm_state, AlarmName="gone", StateValue="OK", StateReason="by hand"
    )
    assert (code, status) == ("ResourceNotFound", 404)
    assert "gone" in message


def test_an_unknown_alarm_state_is_refused(cloudwatch: Any, refusal: Any) -> None:
    put(cloudwatch)
    code, status, _ = refusal(cloudwatch.set_alarm_state, AlarmName="errors", StateValue="BAD", StateReason="x")
    assert (code, status) == ("ValidationError", 400)
    assert described(cloudwatch)["StateValue"] == "INSUFFICIENT_DATA"


def test_errors_are_botocores_exceptions(cloudwatch: Any) -> None:
    with pytest.raises(cloudwatch.exceptions.ResourceNotFound):
        cloudwatch.set_alarm_state(AlarmName="gone", StateValue="OK", StateReason="by hand")
    with pytest.raises(cloudwatch.exceptions.InvalidNextToken):
        cloudwatch.describe_alarms(NextToken="made up")


def test_alarms_are_filtered_by_name_prefix_state_and_action(cloudwatch: Any) -> None:
    put(cloudwatch, "a-1", AlarmActions=[ACTION])
    put(cloudwatch, "a-2")
    put(cloudwatch, "b-1", OKActions=[ACTION])
    cloudwatch.set_alarm_state(AlarmName="b-1", StateValue="ALARM", StateReason="drill")
    look = cloudwatch.describe_alarms
    assert names(look()) == ["a-1", "a-2", "b-1"]
    assert names(look(AlarmNames=["b-1", "gone", "a-2"])) == ["a-2", "b-1"]
    assert names(look(AlarmNamePrefix="a-")) == ["a-1", "a-2"]
    assert names(look(StateValue="ALARM")) == ["b-1"]
    assert names(look(ActionPrefix="arn:aws:sns")) == ["a-1", "b-1"]
    assert names(look(AlarmTypes=["CompositeAlarm"])) == []
    assert names(look(AlarmTypes=["CompositeAlarm", "MetricAlarm"])) == ["a-1", "a-2", "b-1"]


def test_describe_has_a_list_for_each_type_of_alarm(cloudwatch: Any) -> None:
    answer = cloudwatch.describe_alarms()
    assert {key: answer[key] for key in ("MetricAlarms", "CompositeAlarms", "LogAlarms")} == {
        "MetricAlarms": [],
        "CompositeAlarms": [],
        "LogAlarms": [],
    }
    assert "NextToken" not in answer


@pytest.mark.parametrize(
    "wrong",
    [
        {"ChildrenOfAlarmName": "c"},
        {"ParentsOfAlarmName": "c", "StateValue": "OK"},
        {"AlarmNames": ["a"], "AlarmNamePrefix": "a"},
    ],
)
def test_describe_alarms_refuses_impossible_filters(refusing: Any, refusal: Any, wrong: dict[str, Any]) -> None:
    code, status, _ = refusal(refusing.describe_alarms, **wrong)
    assert (code, status) == ("InvalidParameterValue", 400)


def test_the_paginator_sees_each_alarm_once(cloudwatch: Any) -> None:
    wanted = [f"alarm-{number:02}" for number in range(7)]
    for name in wanted:
        put(cloudwatch, name)
    pages = list(cloudwatch.get_paginator("describe_alarms").paginate(PaginationConfig={"PageSize": 3}))
    assert [names(page) for page in pages] == [wanted[:3], wanted[3:6], wanted[6:]]


def test_the_alarm_exists_waiter_of_boto3_ends(cloudwatch: Any) -> None:
    put(cloudwatch)
    cloudwatch.get_waiter("alarm_exists").wait(AlarmNames=["errors"])


def test_describe_for_metric(cloudwatch: Any) -> None:
    put(cloudwatch)
    put(cloudwatch, "slow", MetricName="ModelLatency", Statistic=None, ExtendedStatistic="p99")

    def look(**more: Any) -> list[str]:
        named = {"Namespace": "AWS/SageMaker", "MetricName": "ModelLatency", **more}
        return names(cloudwatch.describe_alarms_for_metric(**named))

    turned = list(reversed(ERRORS["Dimensions"]))
    assert look(Dimensions=turned) == ["slow"]
    assert look(Dimensions=turned, ExtendedStatistic="p99", Period=10) == ["slow"]
    assert look(Dimensions=turned, Statistic="Sum") == []
    assert look() == []


def test_deleting_what_is_not_there_is_no_error(cloudwatch: Any) -> None:
    put(cloudwatch, "one")
    put(cloudwatch, "two")
    cloudwatch.delete_alarms(AlarmNames=["one", "gone", "one"])
    assert names(cloudwatch.describe_alarms()) == ["two"]
    cloudwatch.delete_alarms(AlarmNames=["gone"])
    cloudwatch.delete_alarms(AlarmNames=["two", "one"])
    assert names(cloudwatch.describe_alarms()) == []


def test_actions_off_and_on(cloudwatch: Any) -> None:
    put(cloudwatch, AlarmActions=[ACTION])
    cloudwatch.disable_alarm_actions(AlarmNames=["errors", "gone"])
    assert described(cloudwatch)["ActionsEnabled"] is False
    cloudwatch.enable_alarm_actions(AlarmNames=["errors"])
    assert described(cloudwatch)["ActionsEnabled"] is True


def test_history_of_an_alarm_lists_changes_and_states(cloudwatch: Any) -> None:
    put(cloudwatch, AlarmActions=[ACTION])
    put(cloudwatch, "other")
    cloudwatch.set_alarm_state(AlarmName="errors", StateValue="ALARM", StateReason="drill")

    def look(**more: Any) -> list[tuple[str, str]]:
        answer = cloudwatch.describe_alarm_history(AlarmName="errors", **more)
        return [(item["HistoryItemType"], item["HistorySummary"]) for item in answer["AlarmHistoryItems"]]

    told = [
        ("ConfigurationUpdate", 'Alarm "errors" created'),
        ("StateUpdate", "Alarm updated from INSUFFICIENT_DATA to ALARM"),
        ("Action", f"Action due, not carried out: {ACTION}"),
    ]
    assert look(ScanBy="TimestampAscending") == told
    assert look()[-1] == told[0]
    assert look(HistoryItemType="StateUpdate") == told[1:2]
    assert look(StartDate=START + timedelta(hours=1)) == []
    assert look(EndDate=START - timedelta(hours=1)) == []
    assert look(AlarmTypes=["LogAlarm"]) == []
    (item,) = cloudwatch.describe_alarm_history(HistoryItemType="StateUpdate")["AlarmHistoryItems"]
    assert (item["AlarmName"], item["AlarmType"]) == ("errors", "MetricAlarm")
    assert json.loads(item["HistoryData"])["newState"] == {"stateValue": "ALARM", "stateReason": "drill"}


def test_history_of_an_alarm_comes_in_pages(cloudwatch: Any) -> None:
    for number in range(5):
        put(cloudwatch, f"alarm-{number}")
    paginator = cloudwatch.get_paginator("describe_alarm_history")
    pages = list(paginator.paginate(ScanBy="TimestampAscending", PaginationConfig={"PageSize": 2}))
    seen = [item["AlarmName"] for page in pages for item in page["AlarmHistoryItems"]]
    assert seen == [f"alarm-{number}" for number in range(5)]
