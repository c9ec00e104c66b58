"""Tags of alarms, in each protocol of CloudWatch's clients."""

from typing import Any

import pytest

ALARM = {
    "AlarmName": "errors: late / many",
    "Namespace": "Shop",
    "MetricName": "Errors",
    "Statistic": "Sum",
    "Period": 60,
    "EvaluationPeriods": 1,
    "Threshold": 1.0,
    "ComparisonOperator": "GreaterThanThreshold",
}


def put(cloudwatch: Any, **tags: str) -> str:
    """The ARN of the alarm."""
    cloudwatch.put_metric_alarm(**ALARM, Tags=members(tags))
    arn: str = cloudwatch.describe_alarms()["MetricAlarms"][0]["AlarmArn"]
    return arn


def members(tags: dict[str, str]) -> list[dict[str, str]]:
    return [{"Key": key, "Value": value} for key, value in tags.items()]


def tags_of(cloudwatch: Any, arn: str) -> dict[str, str]:
    return {tag["Key"]: tag["Value"] for tag in cloudwatch.list_tags_for_resource(ResourceARN=arn)["Tags"]}


def test_tags_come_with_the_alarm_and_are_listed(cloudwatch: Any) -> None:
    arn = put(cloudwatch, team="payroll", stage="live")
    assert tags_of(cloudwatch, arn) == {"team": "payroll", "stage": "live"}


def test_an_alarm_without_tags_has_an_empty_list(cloudwatch: Any) -> None:
    cloudwatch.put_metric_alarm(**ALARM)
    arn = cloudwatch.describe_alarms()["MetricAlarms"][0]["AlarmArn"]
    assert cloudwatch.list_tags_for_resource(ResourceARN=arn)["Tags"] == []


def test_tags_are_added_changed_and_removed(cloudwatch: Any) -> None:
    arn = put(cloudwatch, team="payroll", stage="live")
    cloudwatch.tag_resource(ResourceARN=arn, Tags=members({"stage": "test", "cost": "7"}))
    assert tags_of(cloudwatch, arn) == {"team": "payroll", "stage": "test", "cost": "7"}
    cloudwatch.untag_resource(ResourceARN=arn, TagKeys=["team", "never there"])
    assert tags_of(cloudwatch, arn) == {"stage": "test", "cost": "7"}


def test_an_update_of_the_alarm_leaves_its_tags(cloudwatch: Any) -> None:
    arn = put(cloudwatch, team="payroll")
    put(cloudwatch, team="other", more="x")
    assert tags_of(cloudwatch, arn) == {"team": "payroll"}


def test_tags_go_with_their_alarm(cloudwatch: Any) -> None:
    arn = put(cloudwatch, team="payroll")
    cloudwatch.delete_alarms(AlarmNames=[ALARM["AlarmName"]])
    assert put(cloudwatch) == arn
    assert tags_of(cloudwatch, arn) == {}


@pytest.mark.parametrize(
    "arn",
    [
        "arn:aws:cloudwatch:us-east-1:123456789012:alarm:unknown",
        "arn:aws:cloudwatch:eu-west-1:123456789012:alarm:errors: late / many",
        "arn:aws:cloudwatch:us-east-1:123456789012:insight-rule/x",
        "arn:aws:sagemaker:us-east-1:123456789012:endpoint/errors",
        "none",
    ],
)
def test_tags_of_an_unknown_alarm_are_not_found(cloudwatch: Any, refusal: Any, arn: str) -> None:
    put(cloudwatch, team="payroll")
    for call, given in (
        (cloudwatch.list_tags_for_resource, {}),
        (cloudwatch.tag_resource, {"Tags": members({"a": "b"})}),
        (cloudwatch.untag_resource, {"TagKeys": ["a"]}),
    ):
        assert refusal(call, ResourceARN=arn, **given) == ("ResourceNotFoundException", 404, "Unknown")


def test_reserved_and_too_many_tags_are_refused(cloudwatch: Any, refusal: Any) -> None:
    arn = put(cloudwatch, team="payroll")
    many = {f"key-{n}": "x" for n in range(50)}
    for tags in ({"aws:x": "y"}, many):
        code, status, _ = refusal(cloudwatch.tag_resource, ResourceARN=arn, Tags=members(tags))
        assert (code, status) == ("InvalidParameterValue", 400)
    assert tags_of(cloudwatch, arn) == {"team": "payroll"}
