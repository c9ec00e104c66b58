"""Terraform's scalable targets, scaling policies and scheduled actions: ``tests/terraform/autoscaling.py`` re-enacts
internal/service/appautoscaling/{target,policy,scheduled_action,tags_gen}.go of hashicorp/terraform-provider-aws,
version 6 (files of 6.23 and later)."""

from datetime import UTC, datetime

import pytest
from botocore.exceptions import ClientError

from tests.served_wire import Served
from tests.terraform.autoscaling import ScalableTarget, ScalingPolicy, ScheduledAction
from tests.terraform.resource import Clients, Members
from tests.terraform.stack import SCALED, STEPS, TAGS, TRACKING, check_destruction, check_life, clients_of, served


@pytest.fixture
def aws(wire: Served) -> Clients:
    return clients_of(wire)


def test_terraform_applies_plans_and_deletes_a_scalable_target(aws: Clients) -> None:
    served(aws)
    target = ScalableTarget(aws, TAGS, **SCALED, MinCapacity=0, MaxCapacity=4)
    target.written["MinCapacity"] = 1
    target.apply()
    target.change(MinCapacity=2, MaxCapacity=8)
    assert target.plan() == {}
    assert target.read()["tags"] == TAGS  # type: ignore[index]
    target.delete()
    check_life(target, "sagemaker/endpoint/fraud/variant/main/sagemaker:variant:DesiredInstanceCount")


@pytest.mark.parametrize(
    ("kind", "config", "other"),
    [
        ("TargetTrackingScaling", TRACKING, {**TRACKING, "TargetValue": 0.5, "ScaleInCooldown": 300}),
        (
            "TargetTrackingScaling",
            TRACKING,
            {
                "TargetValue": 5.0,
                "DisableScaleIn": True,
                "ScaleInCooldown": 10,
                "ScaleOutCooldown": 0,
                "CustomizedMetricSpecification": {
                    "Namespace": "Mine",
                    "MetricName": "Depth",
                    "Statistic": "Average",
                    "Unit": "Count",
                    "Dimensions": [{"Name": "Queue", "Value": "q"}, {"Name": "Host", "Value": "h"}],
                },
            },
        ),
        (
            "TargetTrackingScaling",
            {
                "TargetValue": 5.0,
                "DisableScaleIn": False,
                "ScaleInCooldown": 0,
                "ScaleOutCooldown": 0,
                "CustomizedMetricSpecification": {
                    "Metrics": [
                        {
                            "Id": "m1",
                            "Label": "depth",
                            "ReturnData": False,
                            "MetricStat": {
                                "Metric": {
                                    "MetricName": "Depth",
                                    "Namespace": "Mine",
                                    "Dimensions": [{"Name": "Queue", "Value": "q"}],
                                },
                                "Stat": "Sum",
                                "Unit": "Count",
                            },
                        },
                        {"Id": "each", "Expression": "m1 / 2", "ReturnData": True},
                    ]
                },
            },
            TRACKING,
        ),
        ("StepScaling", STEPS, {**STEPS, "Cooldown": 60, "StepAdjustments": STEPS["StepAdjustments"][::-1]}),
        (
            "StepScaling",
            STEPS,
            {
                "AdjustmentType": "PercentChangeInCapacity",
                "Cooldown": 30,
                "MinAdjustmentMagnitude": 1,
                "StepAdjustments": [{"MetricIntervalUpperBound": 0.0, "ScalingAdjustment": -50}],
            },
        ),
    ],
    ids=["predefined", "customized", "math", "steps", "percent"],
)
def test_terraform_applies_plans_and_deletes_a_scaling_policy(
    aws: Clients, kind: str, config: Members, other: Members
) -> None:
    served(aws)
    target = ScalableTarget(aws, **SCALED, MinCapacity=1, MaxCapacity=4)
    target.apply()
    member = f"{kind}PolicyConfiguration"
    policy = ScalingPolicy(aws, **SCALED, PolicyName="load", PolicyType=kind, **{member: config})
    policy.apply()
    assert policy.plan() == {}
    policy.change(**{member: other})
    assert policy.plan() == {}
    policy.delete()
    check_life(policy, "sagemaker/endpoint/fraud/variant/main/sagemaker:variant:DesiredInstanceCount/load")
    check_destruction(target)
    check_destruction(policy)


def test_a_policy_needs_its_target(aws: Clients) -> None:
    served(aws)
    policy = ScalingPolicy(
        aws,
        **SCALED,
        PolicyName="load",
        PolicyType="TargetTrackingScaling",
        TargetTrackingScalingPolicyConfiguration=TRACKING,
    )
    with pytest.raises(ClientError) as refused:
        policy.create()
    assert refused.value.response["Error"]["Code"] == "ObjectNotFoundException"
    assert policy.find() is None


@pytest.mark.parametrize(
    "members",
    [
        {"Schedule": "cron(0 8 * * ? *)", "ScalableTargetAction": {"MinCapacity": 1, "MaxCapacity": 2}},
        {"Schedule": "at(2026-09-01T00:00:00)", "ScalableTargetAction": {"MinCapacity": 3}},
        {
            "Schedule": "rate(1 day)",
            "ScalableTargetAction": {"MaxCapacity": 3},
            "Timezone": "Europe/Berlin",
            "StartTime": datetime(2026, 4, 1, 6, tzinfo=UTC),
            "EndTime": datetime(2026, 5, 1, tzinfo=UTC),
        },
    ],
)
def test_terraform_applies_plans_and_deletes_a_scheduled_action(aws: Clients, members: Members) -> None:
    served(aws)
    ScalableTarget(aws, **SCALED, MinCapacity=1, MaxCapacity=4).apply()
    action = ScheduledAction(aws, **{**SCALED, "ScheduledActionName": "day", "Timezone": "UTC", **members})
    action.apply()
    assert action.plan() == {}
    action.change(Schedule="rate(2 hours)", ScalableTargetAction={"MinCapacity": 2})
    found = action.read()
    assert found is not None
    assert found["ScalableTargetAction"] == {"MinCapacity": 2}
    assert found["Timezone"] == action.written["Timezone"]
    check_destruction(action)
