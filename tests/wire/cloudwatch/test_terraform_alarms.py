"""Terraform's metric alarms, by each of CloudWatch's protocols: ``tests/terraform/alarm.py`` re-enacts
internal/service/cloudwatch/{metric_alarm,tags_gen}.go of hashicorp/terraform-provider-aws, version 6 (files of 6.23
and later)."""

from typing import Any

import pytest

from tests.terraform.alarm import MetricAlarm
from tests.terraform.go_types import check_answers
from tests.terraform.resource import Clients, Look, Members
from tests.terraform.stack import ALARM, TAGS, TOPIC, check_life


@pytest.fixture
def aws(cloudwatch: Any) -> Clients:
    def wait(name: str, look: Look) -> None:
        raise AssertionError("nothing waits for an alarm")

    return Clients(None, None, check_answers(cloudwatch), wait)


LINES = [
    {
        "Id": "failed",
        "Label": "those that failed",
        "ReturnData": False,
        "MetricStat": {
            "Metric": {
                "MetricName": "Invocation5XXErrors",
                "Namespace": "AWS/SageMaker",
                "Dimensions": [
                    {"Name": "VariantName", "Value": "main"},
                    {"Name": "EndpointName", "Value": "fraud"},
                ],
            },
            "Period": 60,
            "Stat": "Sum",
            "Unit": "Count",
        },
    },
    {
        "Id": "all",
        "ReturnData": False,
        "MetricStat": {
            "Metric": {"MetricName": "Invocations", "Namespace": "AWS/SageMaker"},
            "Period": 60,
            "Stat": "Sum",
        },
    },
    {"Id": "share", "Expression": "failed / all", "ReturnData": True},
]


def math(*lines: Members) -> Members:
    left_out = ("MetricName", "Namespace", "Period", "Statistic", "Dimensions")
    return {**{name: value for name, value in ALARM.items() if name not in left_out}, "Metrics": list(lines)}


@pytest.mark.parametrize(
    "written",
    [
        ALARM,
        {
            **ALARM,
            "AlarmDescription": "says why",
            "DatapointsToAlarm": 2,
            "Unit": "Count",
            "TreatMissingData": "notBreaching",
            "ActionsEnabled": False,
            "AlarmActions": [TOPIC, f"{TOPIC}-2"],
            "OKActions": [TOPIC],
            "InsufficientDataActions": [TOPIC],
        },
        {
            **{name: value for name, value in ALARM.items() if name != "Statistic"},
            "ExtendedStatistic": "p99.9",
            "EvaluateLowSampleCountPercentile": "ignore",
        },
        math(*LINES),
        math(*LINES[:2], {**LINES[2], "Label": "share", "Period": 60}),
        math(
            *LINES[:2], {**LINES[2], "ReturnData": False}, {"Id": "x", "Expression": "share", "ReturnData": True}
        ),
    ],
    ids=["plain", "everything", "percentile", "math", "math-with-period", "math-of-math"],
)
def test_terraform_applies_plans_and_deletes_an_alarm(aws: Clients, written: Members) -> None:
    alarm = MetricAlarm(aws, TAGS, **written)
    alarm.apply()
    alarm.change(Threshold=5.5, EvaluationPeriods=3)
    assert alarm.plan() == {}
    alarm.delete()
    check_life(alarm, "errors")


def test_an_alarm_that_is_there_is_not_made_again(aws: Clients) -> None:
    MetricAlarm(aws, **ALARM).apply()
    with pytest.raises(AssertionError):
        MetricAlarm(aws, **ALARM).apply()
