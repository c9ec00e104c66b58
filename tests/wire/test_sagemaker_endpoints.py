"""Endpoints through boto3: creation, updates, weights, deletion, and what Describe and List show of them."""

import re
from dataclasses import replace
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.served_wire import ACCOUNT, REGION, START, Served
from tidegate.domain.alarm import AlarmState
from tidegate.domain.observation import Observation
from tidegate.domain.rollout import Phase
from tidegate.reconcile import engine
from tidegate.rollout import predicates

ARN = f"arn:aws:sagemaker:{REGION}:{ACCOUNT}"
FRAUD = f"{ARN}:endpoint/fraud"
IN_PROGRESS = ("ValidationException", 400, f'Cannot update in-progress endpoint "{FRAUD}".')
IMAGE = "tidegate/xgboost"
PERCENT = "CAPACITY_PERCENT"


def canary(value: int = 50, type: str = PERCENT, wait: int = 60, **policy: Any) -> dict[str, Any]:
    routing = {"Type": "CANARY", "WaitIntervalInSeconds": wait, "CanarySize": {"Type": type, "Value": value}}
    return {"BlueGreenUpdatePolicy": {"TrafficRoutingConfiguration": routing, **policy}}


def linear(value: int, type: str = PERCENT, **policy: Any) -> dict[str, Any]:
    size = {"Type": type, "Value": value}
    routing = {"Type": "LINEAR", "WaitIntervalInSeconds": 60, "LinearStepSize": size}
    return {"BlueGreenUpdatePolicy": {"TrafficRoutingConfiguration": routing, **policy}}


def rolling(value: int, type: str = PERCENT, **policy: Any) -> dict[str, Any]:
    size = {"Type": type, "Value": value}
    return {"RollingUpdatePolicy": {"MaximumBatchSize": size, "WaitIntervalInSeconds": 60, **policy}}


ALL_AT_ONCE = {
    "BlueGreenUpdatePolicy": {"TrafficRoutingConfiguration": {"Type": "ALL_AT_ONCE", "WaitIntervalInSeconds": 0}}
}


def refused(call: Any, **params: Any) -> tuple[str, int, str]:
    """Code, status and message of the error that the call ends in."""
    with pytest.raises(ClientError) as error:
        call(**params)
    answer = error.value.response
    return answer["Error"]["Code"], answer["ResponseMetadata"]["HTTPStatusCode"], answer["Error"]["Message"]


def config(client: Any, name: str, variants: dict[str, int], **more: Any) -> None:
    """A config with a model of its own."""
    client.create_model(ModelName=f"model-{name}", PrimaryContainer={"Image": IMAGE})
    client.create_endpoint_config(
        EndpointConfigName=name,
        ProductionVariants=[
            {
                "VariantName": variant,
                "ModelName": f"model-{name}",
                "InitialInstanceCount": count,
                "InstanceType": "ml.m5.large",
                **more,
            }
            for variant, count in variants.items()
        ],
    )


def alarm(wire: Served, *names: str) -> None:
    for name in names:
        wire.client("cloudwatch").put_metric_alarm(
            AlarmName=name,
            Namespace="AWS/SageMaker",
            MetricName="Invocation5XXErrors",
            Statistic="Average",
            Period=60,
            EvaluationPeriods=1,
            Threshold=0.02,
            ComparisonOperator="GreaterThanThreshold",
        )


@pytest.fixture
def fraud(sagemaker: Any, wire: Served) -> dict[str, Any]:
    """An endpoint in service with config v1, and configs to update it to: v2 alike, v3 with another variant."""
    config(sagemaker, "v1", {"main": 4})
    config(sagemaker, "v2", {"main": 4})
    config(sagemaker, "v3", {"other": 4})
    sagemaker.create_endpoint(EndpointName="fraud", EndpointConfigName="v1")
    wire.settle("fraud")
    return described(sagemaker)


def described(client: Any, name: str = "fraud") -> dict[str, Any]:
    return dict(client.describe_endpoint(EndpointName=name))


def digest(serving: dict[str, Any]) -> str:
    """The part of the resolved image behind ``@sha256:``."""
    resolved: str = serving["ProductionVariants"][0]["DeployedImages"][0]["ResolvedImage"]
    found = resolved.rpartition(":")[2]
    assert re.fullmatch("[0-9a-f]{64}", found)
    return found


def test_creation_goes_from_creating_to_in_service(sagemaker: Any, wire: Served) -> None:
    config(sagemaker, "v1", {"main": 2}, RoutingConfig={"RoutingStrategy": "LEAST_OUTSTANDING_REQUESTS"})
    assert sagemaker.create_endpoint(EndpointName="fraud", EndpointConfigName="v1")["EndpointArn"] == FRAUD
    assert wire.kicked == ["fraud"]
    creating = described(sagemaker)
    assert creating["EndpointStatus"] == "Creating"
    assert creating["EndpointConfigName"] == "v1"
    assert creating["CreationTime"] == START
    pending = creating["PendingDeploymentSummary"]
    assert pending["EndpointConfigName"] == "v1"
    assert pending["ProductionVariants"][0]["InstanceType"] == "ml.m5.large"
    assert pending["ProductionVariants"][0]["VariantStatus"][0]["Status"] == "Creating"
    assert not {"ProductionVariants", "FailureReason", "LastDeploymentConfig"} & creating.keys()

    wire.settle("fraud")
    serving = described(sagemaker)
    assert serving["EndpointStatus"] == "InService"
    assert serving["ProductionVariants"] == [
        {
            "VariantName": "main",
            "DeployedImages": [
                {
                    "SpecifiedImage": IMAGE,
                    "ResolvedImage": f"{IMAGE}@sha256:{digest(serving)}",
                    "ResolutionTime": START,
                }
            ],
            "CurrentWeight": 1.0,
            "DesiredWeight": 1.0,
            "CurrentInstanceCount": 2,
            "DesiredInstanceCount": 2,
            "RoutingConfig": {"RoutingStrategy": "LEAST_OUTSTANDING_REQUESTS"},
        }
    ]
    assert "PendingDeploymentSummary" not in serving


def test_a_creating_endpoint_can_neither_be_updated_nor_deleted(sagemaker: Any, wire: Served) -> None:
    config(sagemaker, "v1", {"main": 1})
    sagemaker.create_endpoint(EndpointName="fraud", EndpointConfigName="v1")
    before = wire.journal()
    weights = [{"VariantName": "main", "DesiredInstanceCount": 2}]
    assert refused(sagemaker.update_endpoint, EndpointName="fraud", EndpointConfigName="v1") == IN_PROGRESS
    assert refused(sagemaker.delete_endpoint, EndpointName="fraud") == IN_PROGRESS
    scale = sagemaker.update_endpoint_weights_and_capacities
    assert refused(scale, EndpointName="fraud", DesiredWeightsAndCapacities=weights) == IN_PROGRESS
    assert wire.journal() == before
    assert wire.kicked == ["fraud"]


def test_an_endpoint_name_can_be_taken_once(sagemaker: Any, fraud: Any) -> None:
    assert refused(sagemaker.create_endpoint, EndpointName="fraud", EndpointConfigName="v1") == (
        "ValidationException",
        400,
        f'Cannot create already existing endpoint "{FRAUD}".',
    )


def test_endpoints_need_their_config(sagemaker: Any, fraud: Any, wire: Served) -> None:
    before = wire.journal()
    missing = ("ValidationException", 400, f'Could not find endpoint configuration "{ARN}:endpoint-config/v9".')
    assert refused(sagemaker.create_endpoint, EndpointName="new", EndpointConfigName="v9") == missing
    assert refused(sagemaker.update_endpoint, EndpointName="fraud", EndpointConfigName="v9") == missing
    sagemaker.delete_model(ModelName="model-v2")
    gone = ("ValidationException", 400, f'Could not find model "{ARN}:model/model-v2".')
    assert refused(sagemaker.create_endpoint, EndpointName="new", EndpointConfigName="v2") == gone
    assert refused(sagemaker.update_endpoint, EndpointName="fraud", EndpointConfigName="v2") == gone
    assert [line.kind for line in wire.journal()[len(before) :]] == ["model"]


def test_an_endpoint_that_is_not_there_is_not_found(sagemaker: Any) -> None:
    missing = ("ValidationException", 400, f'Could not find endpoint "{FRAUD}".')
    weights = [{"VariantName": "main", "DesiredInstanceCount": 2}]
    assert refused(sagemaker.describe_endpoint, EndpointName="fraud") == missing
    assert refused(sagemaker.delete_endpoint, EndpointName="fraud") == missing
    assert refused(sagemaker.update_endpoint, EndpointName="fraud", EndpointConfigName="v1") == missing
    scale = sagemaker.update_endpoint_weights_and_capacities
    assert refused(scale, EndpointName="fraud", DesiredWeightsAndCapacities=weights) == missing


def test_an_update_shows_both_sides_and_ends_on_the_new(sagemaker: Any, fraud: Any, wire: Served) -> None:
    alarm(wire, "errors", "latency")
    deployment = {
        **canary(25, wait=300, TerminationWaitInSeconds=120, MaximumExecutionTimeoutInSeconds=1800),
        "AutoRollbackConfiguration": {"Alarms": [{"AlarmName": "errors"}, {"AlarmName": "latency"}]},
    }
    sagemaker.update_endpoint(EndpointName="fraud", EndpointConfigName="v2", DeploymentConfig=deployment)
    wire.settle("fraud", until=lambda e: e.rollout is not None and e.rollout.phase is Phase.BAKING)
    baking = described(sagemaker)
    assert (baking["EndpointStatus"], baking["EndpointConfigName"]) == ("Updating", "v1")
    assert baking["LastDeploymentConfig"] == deployment
    pending = baking["PendingDeploymentSummary"]
    assert pending["EndpointConfigName"] == "v2"
    assert pending["StartTime"] >= fraud["LastModifiedTime"]
    (new,) = pending["ProductionVariants"]
    assert (new["CurrentWeight"], new["CurrentInstanceCount"]) == (0.25, 4)
    assert new["VariantStatus"][0]["Status"] == "Baking"
    (old,) = baking["ProductionVariants"]
    assert (old["CurrentWeight"], old["CurrentInstanceCount"]) == (0.75, 4)
    assert refused(sagemaker.update_endpoint, EndpointName="fraud", EndpointConfigName="v1") == IN_PROGRESS
    assert refused(sagemaker.delete_endpoint, EndpointName="fraud") == IN_PROGRESS

    wire.settle("fraud")
    after = described(sagemaker)
    assert (after["EndpointStatus"], after["EndpointConfigName"]) == ("InService", "v2")
    assert after["LastDeploymentConfig"] == deployment
    assert not {"PendingDeploymentSummary", "FailureReason"} & after.keys()


def test_an_update_that_an_alarm_turns_back_ends_on_the_old_config(
    sagemaker: Any, fraud: Any, wire: Served
) -> None:
    alarm(wire, "errors")
    deployment = {**canary(25), "AutoRollbackConfiguration": {"Alarms": [{"AlarmName": "errors"}]}}
    update = {"EndpointName": "fraud", "EndpointConfigName": "v2", "DeploymentConfig": deployment}
    sagemaker.update_endpoint(**update)
    wire.settle("fraud", until=lambda e: e.rollout is not None and e.rollout.phase is Phase.BAKING)
    wire.alarms = AlarmState.ALARM
    wire.settle("fraud", until=lambda e: e.rollout is not None and e.rollout.phase is Phase.ROLLING_BACK)
    assert described(sagemaker)["EndpointStatus"] == "Updating"
    wire.settle("fraud")
    after = described(sagemaker)
    assert (after["EndpointStatus"], after["EndpointConfigName"]) == ("InService", "v1")
    assert after["FailureReason"].startswith("Deployment rolled back: ")
    assert "errors" in after["FailureReason"]
    assert "PendingDeploymentSummary" not in after

    wire.alarms = AlarmState.OK
    sagemaker.update_endpoint(**update)
    wire.settle("fraud")
    again = described(sagemaker)
    assert again["EndpointConfigName"] == "v2"
    assert "FailureReason" not in again


def test_an_update_without_deployment_config_is_all_at_once(sagemaker: Any, fraud: Any, wire: Served) -> None:
    sagemaker.update_endpoint(EndpointName="fraud", EndpointConfigName="v3")
    wire.settle("fraud")
    after = described(sagemaker)
    assert after["EndpointConfigName"] == "v3"
    assert after["ProductionVariants"][0]["VariantName"] == "other"
    assert "LastDeploymentConfig" not in after


def test_the_deployment_config_can_be_retained(sagemaker: Any, wire: Served, fraud: Any) -> None:
    sagemaker.update_endpoint(EndpointName="fraud", EndpointConfigName="v2", DeploymentConfig=linear(25))
    wire.settle("fraud")
    sagemaker.update_endpoint(EndpointName="fraud", EndpointConfigName="v1", RetainDeploymentConfig=True)
    rollout = wire.endpoint("fraud").rollout
    assert rollout is not None
    assert [stage.share for stage in rollout.plan.stages] == [2500, 5000, 7500, 10_000]
    wire.settle("fraud")
    both = refused(
        sagemaker.update_endpoint,
        EndpointName="fraud",
        EndpointConfigName="v2",
        DeploymentConfig=canary(),
        RetainDeploymentConfig=True,
    )
    assert both[2].startswith("DeploymentConfig and RetainDeploymentConfig exclude each other")


@pytest.mark.parametrize(
    ("excluded", "expected"),
    [
        (None, (4, 1.0)),
        ([], (2, 0.5)),
        (["DesiredWeight"], (2, 1.0)),
        (["DesiredInstanceCount"], (4, 0.5)),
        (["DesiredInstanceCount", "DesiredWeight", "DataCaptureConfig"], (4, 1.0)),
    ],
)
def test_variant_properties_are_retained_as_asked(
    sagemaker: Any, fraud: Any, wire: Served, excluded: list[str] | None, expected: tuple[int, float]
) -> None:
    sagemaker.update_endpoint_weights_and_capacities(
        EndpointName="fraud",
        DesiredWeightsAndCapacities=[{"VariantName": "main", "DesiredInstanceCount": 2, "DesiredWeight": 0.5}],
    )
    wire.settle("fraud")
    retain: dict[str, Any] = {}
    if excluded is not None:
        properties = [{"VariantPropertyType": name} for name in excluded]
        retain = {"RetainAllVariantProperties": True, "ExcludeRetainedVariantProperties": properties}
    sagemaker.update_endpoint(EndpointName="fraud", EndpointConfigName="v2", **retain)
    wire.settle("fraud")
    (variant,) = described(sagemaker)["ProductionVariants"]
    assert (variant["DesiredInstanceCount"], variant["DesiredWeight"]) == expected


@pytest.mark.parametrize(
    ("deployment", "message"),
    [
        (canary(51), "CanarySize of 51 % is out of range"),
        (canary(3, "INSTANCE_COUNT"), "3 of 4 instances"),
        (linear(9), "LinearStepSize of 9 % is out of range: it must be between 10 and 50 %"),
        (linear(51), "LinearStepSize of 51 % is out of range"),
        (rolling(4), "MaximumBatchSize of 4 % is out of range: it must be between 5 and 50 %"),
        (rolling(51), "MaximumBatchSize of 51 % is out of range"),
        (rolling(3, "INSTANCE_COUNT"), "3 of 4 instances"),
        (
            rolling(25, RollbackMaximumBatchSize={"Type": PERCENT, "Value": 101}),
            "RollbackMaximumBatchSize of 101 % is out of range",
        ),
        ({**canary(), **rolling(25)}, "exclude each other"),
        (canary(wait=3601), "Value '3601' at 'deploymentConfig.blueGreenUpdatePolicy.trafficRoutingConfiguration"),
        (canary(TerminationWaitInSeconds=3601), "terminationWaitInSeconds' failed to satisfy constraint"),
        (canary(MaximumExecutionTimeoutInSeconds=28801), "less than or equal to 28800"),
        (
            canary(wait=600, MaximumExecutionTimeoutInSeconds=600),
            "MaximumExecutionTimeoutInSeconds 600 must exceed the waits",
        ),
        (
            {
                "BlueGreenUpdatePolicy": {
                    "TrafficRoutingConfiguration": {"Type": "CANARY", "WaitIntervalInSeconds": 0}
                }
            },
            "Traffic routing CANARY needs CanarySize",
        ),
        (
            {
                "BlueGreenUpdatePolicy": {
                    "TrafficRoutingConfiguration": {
                        "Type": "ALL_AT_ONCE",
                        "WaitIntervalInSeconds": 0,
                        "LinearStepSize": {"Type": PERCENT, "Value": 10},
                    }
                }
            },
            "LinearStepSize does not go with traffic routing ALL_AT_ONCE",
        ),
        (
            {"AutoRollbackConfiguration": {"Alarms": [{"AlarmName": f"a{n}"} for n in range(11)]}},
            "Member must have length less than or equal to 10",
        ),
        (
            {**canary(), "AutoRollbackConfiguration": {"Alarms": [{"AlarmName": "erors"}]}},
            'there is no alarm "erors": define it before a rollout relies on it',
        ),
    ],
)
def test_deployment_configs_out_of_range_are_refused_and_nothing_is_written(
    sagemaker: Any, fraud: Any, wire: Served, deployment: dict[str, Any], message: str
) -> None:
    before = wire.journal()
    code, status, said = refused(
        sagemaker.update_endpoint, EndpointName="fraud", EndpointConfigName="v2", DeploymentConfig=deployment
    )
    assert (code, status) == ("ValidationException", 400)
    assert message in said
    assert wire.journal() == before
    assert described(sagemaker) | {"ResponseMetadata": None} == fraud | {"ResponseMetadata": None}


def test_rolling_updates_are_for_one_variant(sagemaker: Any, wire: Served) -> None:
    config(sagemaker, "ab", {"a": 4, "b": 4})
    sagemaker.create_endpoint(EndpointName="fraud", EndpointConfigName="ab")
    wire.settle("fraud")
    _, _, said = refused(
        sagemaker.update_endpoint, EndpointName="fraud", EndpointConfigName="ab", DeploymentConfig=rolling(25)
    )
    assert said == "RollingUpdatePolicy works for one variant; config ab has 2"


@pytest.mark.parametrize("deployment", [canary(), linear(25), rolling(25)])
def test_guarded_updates_need_the_same_variants(
    sagemaker: Any, fraud: Any, wire: Served, deployment: dict[str, Any]
) -> None:
    before = wire.journal()
    code, _, said = refused(
        sagemaker.update_endpoint, EndpointName="fraud", EndpointConfigName="v3", DeploymentConfig=deployment
    )
    assert code == "ValidationException"
    assert "variant names must stay the same" in said
    assert wire.journal() == before


def test_a_bad_deployment_config_is_refused_at_creation_too(sagemaker: Any, wire: Served) -> None:
    config(sagemaker, "v1", {"main": 1})
    _, _, said = refused(
        sagemaker.create_endpoint,
        EndpointName="fraud",
        EndpointConfigName="v1",
        DeploymentConfig=canary(1, "INSTANCE_COUNT"),
    )
    assert "1 of 1 instances" in said
    assert refused(sagemaker.describe_endpoint, EndpointName="fraud")[2] == f'Could not find endpoint "{FRAUD}".'


def test_the_deployment_config_of_a_creation_is_kept(sagemaker: Any, wire: Served) -> None:
    config(sagemaker, "v1", {"main": 2})
    sagemaker.create_endpoint(EndpointName="fraud", EndpointConfigName="v1", DeploymentConfig=ALL_AT_ONCE)
    wire.settle("fraud")
    assert described(sagemaker)["LastDeploymentConfig"] == ALL_AT_ONCE


def test_weights_and_counts_change_in_place(sagemaker: Any, wire: Served) -> None:
    config(sagemaker, "ab", {"a": 1, "b": 1})
    sagemaker.create_endpoint(EndpointName="fraud", EndpointConfigName="ab")
    wire.settle("fraud")
    answer = sagemaker.update_endpoint_weights_and_capacities(
        EndpointName="fraud",
        DesiredWeightsAndCapacities=[
            {"VariantName": "a", "DesiredWeight": 3.0},
            {"VariantName": "b", "DesiredInstanceCount": 2},
        ],
    )
    assert answer["EndpointArn"] == FRAUD
    assert described(sagemaker)["EndpointStatus"] == "Updating"
    wire.settle("fraud")
    found = described(sagemaker)
    assert found["EndpointStatus"] == "InService"
    shown = {
        v["VariantName"]: (v["CurrentWeight"], v["CurrentInstanceCount"]) for v in found["ProductionVariants"]
    }
    assert shown == {"a": (3.0, 1), "b": (1.0, 2)}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            [{"VariantName": "other", "DesiredWeight": 1.0}],
            'The variant name(s) "other" is/are not present within endpoint configuration "v1".',
        ),
        ([{"VariantName": "main", "DesiredWeight": 0.0}], "without a variant that takes requests"),
        ([{"VariantName": "main", "DesiredInstanceCount": 0}], "without a variant that takes requests"),
        (
            [{"VariantName": "main", "DesiredWeight": 1.0}] * 2,
            'The variant name "main" was non-unique within the request.',
        ),
        ([{"VariantName": "main", "ServerlessUpdateConfig": {"MaxConcurrency": 1}}], "is not serverless"),
    ],
)
def test_bad_weights_and_counts_are_refused(
    sagemaker: Any, fraud: Any, wire: Served, changes: list[Any], message: str
) -> None:
    before = wire.journal()
    scale = sagemaker.update_endpoint_weights_and_capacities
    code, status, said = refused(scale, EndpointName="fraud", DesiredWeightsAndCapacities=changes)
    assert (code, status) == ("ValidationException", 400)
    assert message in said
    assert wire.journal() == before


def test_more_instances_than_a_machine_can_hold_are_refused(sagemaker: Any, fraud: Any, wire: Served) -> None:
    before = wire.journal()
    changes = [{"VariantName": "main", "DesiredInstanceCount": 1001}]
    scale = sagemaker.update_endpoint_weights_and_capacities
    said = 'variant "main" with 1001 instances: the maximum is 1000'
    found = refused(scale, EndpointName="fraud", DesiredWeightsAndCapacities=changes)
    assert found == ("ResourceLimitExceeded", 400, said)
    variant = {
        "VariantName": "main",
        "ModelName": "model-v1",
        "InitialInstanceCount": 1001,
        "InstanceType": "ml.m5.large",
    }
    found = refused(sagemaker.create_endpoint_config, EndpointConfigName="v4", ProductionVariants=[variant])
    assert found == ("ResourceLimitExceeded", 400, said)
    assert wire.journal() == before


def test_deletion_goes_from_deleting_to_gone(sagemaker: Any, fraud: Any, wire: Served) -> None:
    sagemaker.add_tags(ResourceArn=FRAUD, Tags=[{"Key": "team", "Value": "risk"}])
    sagemaker.delete_endpoint_config(EndpointConfigName="v1")
    sagemaker.delete_model(ModelName="model-v1")
    assert described(sagemaker)["EndpointStatus"] == "InService"
    sagemaker.delete_endpoint(EndpointName="fraud")
    assert described(sagemaker)["EndpointStatus"] == "Deleting"
    assert refused(sagemaker.delete_endpoint, EndpointName="fraud") == IN_PROGRESS
    wire.settle("fraud", until=lambda e: False)
    assert refused(sagemaker.describe_endpoint, EndpointName="fraud")[2] == f'Could not find endpoint "{FRAUD}".'
    sagemaker.get_waiter("endpoint_deleted").wait(EndpointName="fraud", WaiterConfig={"MaxAttempts": 1})
    sagemaker.create_endpoint(EndpointName="fraud", EndpointConfigName="v2")
    assert sagemaker.list_tags(ResourceArn=FRAUD)["Tags"] == []


def test_an_endpoint_that_failed_says_why_and_can_only_be_deleted(
    sagemaker: Any, fraud: Any, wire: Served
) -> None:
    reason = "The primary container for production variant main did not pass the ping health check. " * 20
    wire.change("fraud", lambda e: replace(e, failed=True, serving=None, failure_reason=reason))
    found = described(sagemaker)
    assert found["EndpointStatus"] == "Failed"
    assert found["FailureReason"] == reason[:1024]
    assert "delete it" in refused(sagemaker.update_endpoint, EndpointName="fraud", EndpointConfigName="v2")[2]
    sagemaker.delete_endpoint(EndpointName="fraud")


def test_lists_filter_and_sort_by_status(sagemaker: Any, fraud: Any, wire: Served) -> None:
    for name in ("alpha", "beta", "gamma"):
        wire.clock.advance(1)
        sagemaker.create_endpoint(EndpointName=name, EndpointConfigName="v1")
    wire.settle("beta")

    def names(**params: Any) -> list[str]:
        pages = sagemaker.get_paginator("list_endpoints").paginate(**params, PaginationConfig={"PageSize": 1})
        return [entry["EndpointName"] for page in pages for entry in page["Endpoints"]]

    assert names() == ["gamma", "beta", "alpha", "fraud"]
    assert names(StatusEquals="InService") == ["beta", "fraud"]
    assert names(StatusEquals="Creating", SortBy="Name", SortOrder="Ascending") == ["alpha", "gamma"]
    assert names(SortBy="Status", SortOrder="Ascending")[:2] in (["alpha", "gamma"], ["gamma", "alpha"])
    assert names(StatusEquals="Failed") == []
    (entry,) = sagemaker.list_endpoints(NameContains="frau")["Endpoints"]
    assert entry == {
        "EndpointName": "fraud",
        "EndpointArn": FRAUD,
        "CreationTime": fraud["CreationTime"],
        "LastModifiedTime": fraud["LastModifiedTime"],
        "EndpointStatus": "InService",
    }


def test_a_composite_alarm_guards_a_rollout_with_the_alarms_of_its_rule(
    sagemaker: Any, fraud: Any, wire: Served
) -> None:
    for name in ("errors", "latency"):
        alarm(wire, name)
    rule = "ALARM(errors) AND ALARM(latency)"
    wire.client("cloudwatch").put_composite_alarm(AlarmName="both", AlarmRule=rule)
    deployment = {**canary(25), "AutoRollbackConfiguration": {"Alarms": [{"AlarmName": "both"}]}}
    sagemaker.update_endpoint(EndpointName="fraud", EndpointConfigName="v2", DeploymentConfig=deployment)
    loaded = wire.run(wire.store.run(lambda tx: engine.load(tx, "fraud")))
    assert loaded is not None and loaded.endpoint.rollout is not None
    one = engine.guarded_rollout(loaded)
    assert one is not None
    assert {each.name for each in one.alarms} == loaded.states.keys() == {"both", "errors", "latency"}
    plan = loaded.endpoint.rollout.plan
    assert plan.alarms == ("both",)
    states = {"both": AlarmState.OK, "errors": AlarmState.ALARM, "latency": AlarmState.OK}
    assert predicates.firing_alarms(plan, Observation(None, None, states)) == [], "the composite one alone counts"
