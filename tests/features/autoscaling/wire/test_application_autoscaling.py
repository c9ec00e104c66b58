"""Application Auto Scaling through boto3: what is kept, shown, paged and refused."""

from datetime import UTC, datetime
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.served_wire import ACCOUNT, REGION, Served

INSTANCES = "sagemaker:variant:DesiredInstanceCount"
PROVISIONED = "sagemaker:variant:DesiredProvisionedConcurrency"
RESOURCE = "endpoint/e/variant/main"
MAIN = {"ServiceNamespace": "sagemaker", "ResourceId": RESOURCE, "ScalableDimension": INSTANCES}
TRACKING = {
    "TargetValue": 70.0,
    "PredefinedMetricSpecification": {"PredefinedMetricType": "SageMakerVariantInvocationsPerInstance"},
    "ScaleInCooldown": 600,
}
STEPS = {
    "AdjustmentType": "ChangeInCapacity",
    "StepAdjustments": [
        {"MetricIntervalLowerBound": 0.0, "MetricIntervalUpperBound": 15.0, "ScalingAdjustment": 1},
        {"MetricIntervalLowerBound": 15.0, "ScalingAdjustment": 3},
    ],
    "Cooldown": 60,
}


DEPTH_PER_INSTANCE = [
    {"Id": "each", "Expression": "m1 / m2", "Label": "depth of one instance", "ReturnData": True},
    {
        "Id": "m1",
        "MetricStat": {
            "Metric": {
                "Namespace": "Mine",
                "MetricName": "Depth",
                "Dimensions": [{"Name": "Queue", "Value": "q"}],
            },
            "Stat": "Sum",
        },
        "ReturnData": False,
    },
    {
        "Id": "m2",
        "MetricStat": {"Metric": {"Namespace": "Mine", "MetricName": "Ready"}, "Stat": "Average", "Unit": "Count"},
        "ReturnData": False,
    },
]


@pytest.fixture
def scaling(wire: Served) -> Any:
    return wire.client("application-autoscaling")


@pytest.fixture(autouse=True)
def endpoint(sagemaker: Any, wire: Served) -> None:
    sagemaker.create_model(ModelName="fraud", PrimaryContainer={"Image": "tidegate/xgboost"})
    variant = {
        "VariantName": "main",
        "ModelName": "fraud",
        "InitialInstanceCount": 1,
        "InstanceType": "ml.m5.large",
    }
    serve(sagemaker, wire, "e", variant)


def serve(sagemaker: Any, wire: Served, name: str, variant: dict[str, Any], **more: Any) -> None:
    sagemaker.create_endpoint_config(EndpointConfigName=name, ProductionVariants=[variant], **more)
    sagemaker.create_endpoint(EndpointName=name, EndpointConfigName=name)
    wire.settle(name)


def register(scaling: Any, low: int = 1, high: int = 4, **more: Any) -> str:
    answer = scaling.register_scalable_target(**{**MAIN, "MinCapacity": low, "MaxCapacity": high, **more})
    return str(answer["ScalableTargetARN"])


def track(scaling: Any, name: str = "keep-70", **more: Any) -> dict[str, Any]:
    given = {"TargetTrackingScalingPolicyConfiguration": TRACKING, **more}
    answer: dict[str, Any] = scaling.put_scaling_policy(
        **MAIN, PolicyName=name, PolicyType="TargetTrackingScaling", **given
    )
    return answer


def refused(code: str, call: Any, **members: Any) -> str:
    with pytest.raises(ClientError) as error:
        call(**members)
    assert error.value.response["Error"]["Code"] == code
    return str(error.value.response["Error"]["Message"])


def test_a_target_is_registered_changed_in_part_shown_and_deregistered(scaling: Any) -> None:
    arn = register(scaling)
    assert arn.startswith(f"arn:aws:application-autoscaling:{REGION}:{ACCOUNT}:scalable-target/")
    same = scaling.register_scalable_target(
        **MAIN, MaxCapacity=6, SuspendedState={"DynamicScalingInSuspended": True}
    )
    assert same["ScalableTargetARN"] == arn
    scaling.register_scalable_target(**MAIN, SuspendedState={"ScheduledScalingSuspended": True})
    (found,) = scaling.describe_scalable_targets(ServiceNamespace="sagemaker")["ScalableTargets"]
    assert (found["MinCapacity"], found["MaxCapacity"]) == (1, 6)
    assert found["SuspendedState"] == {
        "DynamicScalingInSuspended": True,
        "DynamicScalingOutSuspended": False,
        "ScheduledScalingSuspended": True,
    }
    assert found["RoleARN"].endswith("AWSServiceRoleForApplicationAutoScaling_SageMakerEndpoint")
    scaling.deregister_scalable_target(**MAIN)
    assert scaling.describe_scalable_targets(ServiceNamespace="sagemaker")["ScalableTargets"] == []
    assert RESOURCE in refused("ObjectNotFoundException", scaling.deregister_scalable_target, **MAIN)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"MaxCapacity": None}, "both needed"),
        ({"MinCapacity": 5}, "less than minimum"),
        ({"MinCapacity": 0}, "asynchronous"),
        ({"MinCapacity": -1}, "negative"),
        ({"ResourceId": "endpoint/e/variant/other"}, "create it first"),
        ({"ResourceId": "endpoint/none/variant/main"}, "create it first"),
        ({"ResourceId": "inference-component/ic"}, "endpoint/NAME/variant/NAME"),
        ({"ScalableDimension": PROVISIONED}, "does not apply to variant"),
        ({"ScalableDimension": "sagemaker:inference-component:DesiredCopyCount"}, "not supported"),
        ({"ScalableDimension": "nonsense"}, "enum value set"),
        ({"ServiceNamespace": "ecs"}, "only sagemaker"),
        ({"Tags": {"aws:x": "1"}}, "reserved"),
    ],
)
def test_impossible_capacity_bounds_are_refused(scaling: Any, change: dict[str, Any], message: str) -> None:
    given = {**MAIN, "MinCapacity": 1, "MaxCapacity": 4, **change}
    given = {name: value for name, value in given.items() if value is not None}
    assert message in refused("ValidationException", scaling.register_scalable_target, **given)


def test_provisioned_concurrency_has_bounds_of_its_own(sagemaker: Any, wire: Served, scaling: Any) -> None:
    bounds = {"MemorySizeInMB": 2048, "MaxConcurrency": 20, "ProvisionedConcurrency": 5}
    serve(sagemaker, wire, "s", {"VariantName": "main", "ModelName": "fraud", "ServerlessConfig": bounds})
    key = {**MAIN, "ResourceId": "endpoint/s/variant/main", "ScalableDimension": PROVISIONED}
    call = scaling.register_scalable_target
    assert "MaxConcurrency, 20" in refused("ValidationException", call, **key, MinCapacity=1, MaxCapacity=21)
    scaling.register_scalable_target(**key, MinCapacity=1, MaxCapacity=10)
    kind = "SageMakerVariantProvisionedConcurrencyUtilization"
    config = {"TargetValue": 0.7, "PredefinedMetricSpecification": {"PredefinedMetricType": kind}}
    named = {"PolicyName": "keep", "PolicyType": "TargetTrackingScaling"}
    scaling.put_scaling_policy(**key, **named, TargetTrackingScalingPolicyConfiguration=config)
    register(scaling)
    wrong = {**MAIN, **named, "TargetTrackingScalingPolicyConfiguration": config}
    assert "does not go with" in refused("ValidationException", scaling.put_scaling_policy, **wrong)


def test_a_tracking_policy_has_two_alarms_that_go_with_it(scaling: Any, wire: Served) -> None:
    message = refused(
        "ObjectNotFoundException",
        scaling.put_scaling_policy,
        **MAIN,
        PolicyName="early",
        PolicyType="TargetTrackingScaling",
        TargetTrackingScalingPolicyConfiguration=TRACKING,
    )
    assert "No scalable target registered" in message
    register(scaling)
    made = track(scaling)
    assert f"resource/sagemaker/{RESOURCE}:policyName/keep-70" in made["PolicyARN"]
    high, low = (alarm["AlarmName"] for alarm in made["Alarms"])
    assert high.startswith(f"TargetTracking-{RESOURCE}-AlarmHigh-")
    assert low.startswith(f"TargetTracking-{RESOURCE}-AlarmLow-")
    cloudwatch = wire.client("cloudwatch")
    alarms = {a["AlarmName"]: a for a in cloudwatch.describe_alarms(AlarmNames=[high, low])["MetricAlarms"]}
    assert (alarms[high]["Threshold"], alarms[high]["EvaluationPeriods"], alarms[high]["Period"]) == (70.0, 3, 60)
    assert (alarms[low]["Threshold"], alarms[low]["EvaluationPeriods"]) == (pytest.approx(63.0), 15)
    assert alarms[high]["AlarmActions"] == [made["PolicyARN"]]
    assert alarms[high]["AlarmDescription"].startswith("DO NOT EDIT OR DELETE. For TargetTrackingScaling policy")
    assert (alarms[high]["MetricName"], alarms[high]["Statistic"]) == ("InvocationsPerInstance", "Sum")
    again = track(scaling, TargetTrackingScalingPolicyConfiguration={**TRACKING, "TargetValue": 50.0})
    assert again == {**made, "ResponseMetadata": again["ResponseMetadata"]}, "the same policy, put again"
    assert cloudwatch.describe_alarms(AlarmNames=[high])["MetricAlarms"][0]["Threshold"] == 50.0
    (shown,) = scaling.describe_scaling_policies(ServiceNamespace="sagemaker")["ScalingPolicies"]
    assert shown["TargetTrackingScalingPolicyConfiguration"] == {**TRACKING, "TargetValue": 50.0}
    assert shown["Alarms"] == made["Alarms"]
    scaling.delete_scaling_policy(**MAIN, PolicyName="keep-70")
    assert cloudwatch.describe_alarms()["MetricAlarms"] == []
    gone = refused("ObjectNotFoundException", scaling.delete_scaling_policy, **MAIN, PolicyName="keep-70")
    assert "keep-70" in gone


def test_a_metric_of_ones_own_and_one_of_ten_seconds(scaling: Any, wire: Served) -> None:
    register(scaling)
    custom = {"MetricName": "Depth", "Namespace": "Mine", "Statistic": "Maximum", "Unit": "Count"}
    dimensions = [{"Name": "Queue", "Value": "q"}]
    config = {"TargetValue": 5.0, "CustomizedMetricSpecification": {**custom, "Dimensions": dimensions}}
    made = track(scaling, "mine", TargetTrackingScalingPolicyConfiguration=config)
    kind = "SageMakerVariantConcurrentRequestsPerModelHighResolution"
    config = {"TargetValue": 4.0, "PredefinedMetricSpecification": {"PredefinedMetricType": kind}}
    quick = track(scaling, "quick", TargetTrackingScalingPolicyConfiguration=config)
    names = [made["Alarms"][0]["AlarmName"], quick["Alarms"][0]["AlarmName"]]
    found = wire.client("cloudwatch").describe_alarms(AlarmNames=names)["MetricAlarms"]
    shown = {a["AlarmName"]: (a["MetricName"], a["Period"], a.get("Unit")) for a in found}
    assert shown == {names[0]: ("Depth", 60, "Count"), names[1]: ("ConcurrentRequestsPerModel", 10, None)}


def test_tracking_of_metric_math(scaling: Any, wire: Served) -> None:
    register(scaling)
    config = {"TargetValue": 5.0, "CustomizedMetricSpecification": {"Metrics": DEPTH_PER_INSTANCE}}
    made = track(scaling, "mine", TargetTrackingScalingPolicyConfiguration=config)
    (policy,) = scaling.describe_scaling_policies(ServiceNamespace="sagemaker")["ScalingPolicies"]
    assert policy["TargetTrackingScalingPolicyConfiguration"] == config
    names = [alarm["AlarmName"] for alarm in made["Alarms"]]
    for alarm in wire.client("cloudwatch").describe_alarms(AlarmNames=names)["MetricAlarms"]:
        assert [line["Id"] for line in alarm["Metrics"]] == ["each", "m1", "m2"]
        assert alarm["Metrics"][1]["MetricStat"]["Period"] == 60


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"TargetValue": 0.0}, "TargetValue 0 must be above 0"),
        ({"ScaleInCooldown": -1}, "must be 0 or more"),
        ({"PredefinedMetricSpecification": None}, "exactly one of"),
        ({"CustomizedMetricSpecification": {"MetricName": "a", "Namespace": "b"}}, "exactly one of"),
        (
            {"PredefinedMetricSpecification": None, "CustomizedMetricSpecification": {"MetricName": "a"}},
            "Namespace must be given",
        ),
        (
            {
                "PredefinedMetricSpecification": None,
                "CustomizedMetricSpecification": {"Metrics": [{"Id": "a", "Expression": "1"}]},
            },
            "at least one metric",
        ),
        (
            {
                "PredefinedMetricSpecification": None,
                "CustomizedMetricSpecification": {"Metrics": [*DEPTH_PER_INSTANCE[1:], DEPTH_PER_INSTANCE[1]]},
            },
            "exactly one of Metrics must have ReturnData true",
        ),
        (
            {
                "PredefinedMetricSpecification": None,
                "CustomizedMetricSpecification": {"MetricName": "Depth", "Metrics": DEPTH_PER_INSTANCE},
            },
            "MetricName does not go with Metrics",
        ),
        ({"PredefinedMetricSpecification": {"PredefinedMetricType": "RDSReaderAverageCPUUtilization"}}, "go with"),
    ],
)
def test_impossible_target_tracking_is_refused(scaling: Any, config: dict[str, Any], message: str) -> None:
    register(scaling)
    given = {name: value for name, value in {**TRACKING, **config}.items() if value is not None}
    members = {**MAIN, "PolicyName": "p", "PolicyType": "TargetTrackingScaling"}
    members["TargetTrackingScalingPolicyConfiguration"] = given  # type: ignore[assignment]
    assert message in refused("ValidationException", scaling.put_scaling_policy, **members)


def steps(*bounds: tuple[float | None, float | None]) -> list[dict[str, Any]]:
    named = ({"MetricIntervalLowerBound": low, "MetricIntervalUpperBound": high} for low, high in bounds)
    return [{"ScalingAdjustment": 1, **{k: v for k, v in one.items() if v is not None}} for one in named]


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"StepAdjustments": []}, "at least one step"),
        ({"StepAdjustments": steps((0, 10), (5, None))}, "overlap"),
        ({"StepAdjustments": steps((0, 10), (20, None))}, "gap"),
        ({"StepAdjustments": steps((0, None), (10, None))}, "only the last one"),
        ({"StepAdjustments": steps((None, None), (10, None))}, "must be the only one"),
        ({"StepAdjustments": steps((10, 5))}, "below MetricIntervalUpperBound"),
        ({"MinAdjustmentMagnitude": 2}, "PercentChangeInCapacity only"),
        ({"Cooldown": -1}, "0 or more"),
        ({"AdjustmentType": None}, "AdjustmentType must be given"),
    ],
)
def test_impossible_step_adjustments_are_refused(scaling: Any, config: dict[str, Any], message: str) -> None:
    register(scaling)
    given = {name: value for name, value in {**STEPS, **config}.items() if value is not None}
    members: dict[str, Any] = {**MAIN, "PolicyName": "p", "PolicyType": "StepScaling"}
    members["StepScalingPolicyConfiguration"] = given
    assert message in refused("ValidationException", scaling.put_scaling_policy, **members)


def test_step_policies_limits_and_pages(scaling: Any) -> None:
    register(scaling)
    for number in range(50):
        scaling.put_scaling_policy(
            **MAIN, PolicyName=f"p{number:02}", PolicyType="StepScaling", StepScalingPolicyConfiguration=STEPS
        )
    one_more = {**MAIN, "PolicyName": "q", "PolicyType": "StepScaling", "StepScalingPolicyConfiguration": STEPS}
    assert "50 policies" in refused("LimitExceededException", scaling.put_scaling_policy, **one_more)
    many = {**STEPS, "StepAdjustments": steps(*((n, n + 1) for n in range(21)))}
    too_many = {**one_more, "PolicyName": "p00", "StepScalingPolicyConfiguration": many}
    refused("LimitExceededException", scaling.put_scaling_policy, **too_many)
    first = scaling.describe_scaling_policies(ServiceNamespace="sagemaker")
    assert len(first["ScalingPolicies"]) == 10
    pages = scaling.get_paginator("describe_scaling_policies").paginate(ServiceNamespace="sagemaker")
    names = [policy["PolicyName"] for page in pages for policy in page["ScalingPolicies"]]
    assert names == [f"p{number:02}" for number in range(50)]
    assert first["ScalingPolicies"][0]["StepScalingPolicyConfiguration"] == STEPS
    call = scaling.describe_scaling_policies
    refused("InvalidNextTokenException", call, ServiceNamespace="sagemaker", NextToken="nonsense")
    refused("ValidationException", call, ServiceNamespace="sagemaker", MaxResults=11)
    asked = call(
        ServiceNamespace="sagemaker", PolicyNames=["p07"], ResourceId=RESOURCE, ScalableDimension=INSTANCES
    )
    assert [policy["PolicyName"] for policy in asked["ScalingPolicies"]] == ["p07"]
    assert call(ServiceNamespace="ecs")["ScalingPolicies"] == []
    refused("ValidationException", call, ServiceNamespace="sagemaker", ScalableDimension=INSTANCES)


def test_the_type_of_a_policy_stays_and_is_asked_for(scaling: Any) -> None:
    register(scaling)

    def wrong(name: str, **members: Any) -> str:
        return refused("ValidationException", scaling.put_scaling_policy, **MAIN, PolicyName=name, **members)

    config = {"TargetTrackingScalingPolicyConfiguration": TRACKING}
    assert "PolicyType" in wrong("p", **config)
    track(scaling, "p")
    assert "another type" in wrong("p", PolicyType="StepScaling", StepScalingPolicyConfiguration=STEPS)
    assert "not supported" in wrong("x", PolicyType="PredictiveScaling")
    both = {**config, "StepScalingPolicyConfiguration": STEPS}
    assert "does not go" in wrong("x", PolicyType="StepScaling", **both)


def test_scheduled_actions_change_in_part_but_for_their_times(scaling: Any) -> None:
    register(scaling)
    start, end = datetime(2026, 4, 1, tzinfo=UTC), datetime(2026, 5, 1, tzinfo=UTC)
    scaling.put_scheduled_action(
        **MAIN,
        ScheduledActionName="payday",
        Schedule="cron(0 8 25 * ? *)",
        Timezone="Europe/Vienna",
        StartTime=start,
        EndTime=end,
        ScalableTargetAction={"MinCapacity": 3, "MaxCapacity": 9},
    )
    (found,) = scaling.describe_scheduled_actions(ServiceNamespace="sagemaker")["ScheduledActions"]
    assert (found["StartTime"], found["EndTime"], found["Timezone"]) == (start, end, "Europe/Vienna")
    assert found["ScalableTargetAction"] == {"MinCapacity": 3, "MaxCapacity": 9}
    assert f"resource/sagemaker/{RESOURCE}:scheduledActionName/payday" in found["ScheduledActionARN"]
    scaling.put_scheduled_action(**MAIN, ScheduledActionName="payday", Schedule="rate(1 day)")
    (after,) = scaling.describe_scheduled_actions(ServiceNamespace="sagemaker")["ScheduledActions"]
    assert (after["Schedule"], after["ScalableTargetAction"]) == ("rate(1 day)", found["ScalableTargetAction"])
    assert after["ScheduledActionARN"] == found["ScheduledActionARN"]
    assert "StartTime" not in after
    scaling.delete_scheduled_action(**MAIN, ScheduledActionName="payday")
    refused("ObjectNotFoundException", scaling.delete_scheduled_action, **MAIN, ScheduledActionName="payday")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"Schedule": None}, "Schedule must be given"),
        ({"Schedule": "cron(nonsense)"}, "nonsense"),
        ({"Schedule": "rate(1 hours)"}, "rate(1 hour)"),
        ({"Schedule": "rate(5 minute)"}, "rate(5 minutes)"),
        ({"Schedule": "rate(0 minutes)"}, "whole number"),
        ({"Schedule": "at(2020-01-01T00:00:00)"}, "in the past"),
        ({"Schedule": "at(2026-03-01T12:30:00)", "Timezone": "Asia/Tokyo"}, "in the past"),
        ({"Schedule": "at(2026-4-1T8:0:0)"}, "must be a time"),
        ({"Schedule": "cron(0 8 1 1 ? 2020)"}, "never comes"),
        ({"Schedule": "cron(0 8 30 2 ? *)"}, "never comes"),
        ({"Timezone": "Mars/Olympus"}, "Mars/Olympus"),
        ({"ScalableTargetAction": None}, "MinCapacity, MaxCapacity or both"),
        ({"ScalableTargetAction": {"MinCapacity": 3, "MaxCapacity": 2}}, "cannot be less"),
        (
            {"EndTime": datetime(2026, 1, 1, tzinfo=UTC), "StartTime": datetime(2026, 1, 2, tzinfo=UTC)},
            "after Start",
        ),
        ({"ScheduledActionName": "a:b"}, "regular expression"),
    ],
)
def test_impossible_scheduled_actions_are_refused(scaling: Any, change: dict[str, Any], message: str) -> None:
    register(scaling)
    given = {"ScheduledActionName": "a", "Schedule": "rate(1 hour)", "ScalableTargetAction": {"MinCapacity": 2}}
    members = {name: value for name, value in {**MAIN, **given, **change}.items() if value is not None}
    assert message in refused("ValidationException", scaling.put_scheduled_action, **members)


def test_an_action_whose_time_has_passed_can_be_changed_and_is_not_put_back(scaling: Any, wire: Served) -> None:
    register(scaling)
    given = {"ScheduledActionName": "a", "Schedule": "at(2026-03-01T12:30:00)"}
    scaling.put_scheduled_action(**MAIN, **given, ScalableTargetAction={"MinCapacity": 2})
    wire.clock.present = datetime(2026, 3, 1, 13, tzinfo=UTC)
    scaling.put_scheduled_action(**MAIN, ScheduledActionName="a", ScalableTargetAction={"MinCapacity": 3})
    earlier = given | {"Schedule": "at(2026-03-01T12:45:00)"}
    assert "in the past" in refused("ValidationException", scaling.put_scheduled_action, **MAIN, **earlier)


def test_tags_of_scalable_targets_are_added_listed_and_removed(scaling: Any) -> None:
    arn = register(scaling, Tags={"team": "fraud"})
    scaling.tag_resource(ResourceARN=arn, Tags={"stage": "prod"})
    scaling.untag_resource(ResourceARN=arn, TagKeys=["team"])
    assert scaling.list_tags_for_resource(ResourceARN=arn)["Tags"] == {"stage": "prod"}
    refused("TooManyTagsException", scaling.tag_resource, ResourceARN=arn, Tags={f"k{n}": "" for n in range(50)})
    absent = f"{arn[:-4]}0000"
    refused("ResourceNotFoundException", scaling.list_tags_for_resource, ResourceARN=absent)


def test_an_endpoint_that_goes_takes_its_targets_policies_and_alarms_along(
    scaling: Any, sagemaker: Any, wire: Served
) -> None:
    register(scaling)
    track(scaling)
    sagemaker.delete_endpoint(EndpointName="e")
    assert scaling.describe_scalable_targets(ServiceNamespace="sagemaker")["ScalableTargets"] == []
    assert scaling.describe_scaling_policies(ServiceNamespace="sagemaker")["ScalingPolicies"] == []
    assert wire.client("cloudwatch").describe_alarms()["MetricAlarms"] == []
    refused("ValidationException", scaling.register_scalable_target, **MAIN, MinCapacity=1, MaxCapacity=2)
