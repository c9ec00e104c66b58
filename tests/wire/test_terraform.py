"""What ``terraform apply``, ``plan``, ``import`` and ``destroy`` send to AWS, in the provider's order, and what they
make of the answers.

``tests/terraform`` re-enacts the resources of hashicorp/terraform-provider-aws, version 6 (files of 6.23 and later):
internal/service/sagemaker/{model,endpoint_configuration,endpoint,tags_gen}.go,
internal/service/appautoscaling/{target,policy,scheduled_action,tags_gen}.go and
internal/service/cloudwatch/{metric_alarm,tags_gen}.go.
"""

from dataclasses import replace

import pytest
from botocore.exceptions import ClientError

from tests.served_wire import Served
from tests.terraform.alarm import MetricAlarm
from tests.terraform.autoscaling import ScalableTarget, ScalingPolicy, ScheduledAction
from tests.terraform.hosting import Endpoint, Model
from tests.terraform.resource import Clients, Members, Resource
from tests.terraform.stack import (
    ALARM,
    CONTAINER,
    KEY,
    ROLE,
    SCALED,
    STEPS,
    TAGS,
    TOPIC,
    VARIANT,
    check_destruction,
    check_life,
    check_upkeep,
    clients_of,
    configuration,
    model,
    served,
)
from tidegate.domain.observation import SAGEMAKER_CAPABILITIES, TIDEGATE_CAPABILITIES, Capabilities
from tidegate.domain.targets import LOCAL, TargetTable

CANARY = {
    "BlueGreenUpdatePolicy": {
        "TerminationWaitInSeconds": 0,
        "TrafficRoutingConfiguration": {
            "Type": "CANARY",
            "WaitIntervalInSeconds": 60,
            "CanarySize": {"Type": "INSTANCE_COUNT", "Value": 1},
        },
    },
    "AutoRollbackConfiguration": {"Alarms": [{"AlarmName": "errors"}]},
}
ALL_AT_ONCE = {
    "BlueGreenUpdatePolicy": {
        "TerminationWaitInSeconds": 60,
        "MaximumExecutionTimeoutInSeconds": 600,
        "TrafficRoutingConfiguration": {"Type": "ALL_AT_ONCE", "WaitIntervalInSeconds": 60},
    },
}
LINEAR = {
    "BlueGreenUpdatePolicy": {
        "TerminationWaitInSeconds": 0,
        "TrafficRoutingConfiguration": {
            "Type": "LINEAR",
            "WaitIntervalInSeconds": 0,
            "LinearStepSize": {"Type": "CAPACITY_PERCENT", "Value": 50},
        },
    },
}
ROLLING = {
    "RollingUpdatePolicy": {
        "WaitIntervalInSeconds": 60,
        "MaximumBatchSize": {"Type": "CAPACITY_PERCENT", "Value": 50},
        "RollbackMaximumBatchSize": {"Type": "CAPACITY_PERCENT", "Value": 100},
    },
}


@pytest.fixture
def aws(wire: Served) -> Clients:
    return clients_of(wire)


@pytest.mark.parametrize(
    "members",
    [
        {},
        {"PrimaryContainer": {**CONTAINER, "Environment": {"A": "1"}, "ContainerHostname": "first"}},
        {"PrimaryContainer": {**CONTAINER, "ImageConfig": {"RepositoryAccessMode": "Platform"}}},
        {
            "EnableNetworkIsolation": True,
            "VpcConfig": {"SecurityGroupIds": ["sg-1", "sg-0"], "Subnets": ["subnet-1"]},
        },
        {
            "PrimaryContainer": {
                "Image": "tidegate/xgboost",
                "Mode": "SingleModel",
                "ModelDataSource": {
                    "S3DataSource": {
                        "S3Uri": "s3://models/a.tar.gz",
                        "S3DataType": "S3Object",
                        "CompressionType": "Gzip",
                        "ModelAccessConfig": {"AcceptEula": True},
                    }
                },
            }
        },
        {
            "PrimaryContainer": {
                "Image": "tidegate/xgboost",
                "Mode": "MultiModel",
                "ModelDataUrl": "s3://models/all/",
                "MultiModelConfig": {"ModelCacheSetting": "Disabled"},
            }
        },
        {
            "PrimaryContainer": None,
            "Containers": [
                {**CONTAINER, "ContainerHostname": "one"},
                {**CONTAINER, "ContainerHostname": "two", "Environment": {"B": "2"}},
            ],
            "InferenceExecutionConfig": {"Mode": "Serial"},
        },
    ],
    ids=["plain", "environment", "image", "network", "source", "many-models", "pipeline"],
)
def test_terraform_applies_plans_and_deletes_a_model(aws: Clients, members: Members) -> None:
    given = {name: value for name, value in model(aws, **members).written.items() if value is not None}
    check_life(Model(aws, TAGS, **given), "fraud")


@pytest.mark.parametrize(
    ("variant", "members"),
    [
        ({}, {}),
        ({"InitialVariantWeight": 0.8, "VolumeSizeInGB": 30, "AcceleratorType": "ml.eia2.medium"}, {}),
        (
            {
                "ContainerStartupHealthCheckTimeoutInSeconds": 60,
                "ModelDataDownloadTimeoutInSeconds": 3600,
                "RoutingConfig": {"RoutingStrategy": "LEAST_OUTSTANDING_REQUESTS"},
                "InferenceAmiVersion": "al2-ami-sagemaker-inference-gpu-2",
            },
            {"KmsKeyId": KEY, "ExecutionRoleArn": ROLE},
        ),
        (
            {
                "CoreDumpConfig": {"DestinationS3Uri": "s3://dumps/all", "KmsKeyId": KEY},
                "ManagedInstanceScaling": {"Status": "ENABLED", "MinInstanceCount": 1, "MaxInstanceCount": 2},
            },
            {},
        ),
        (
            {},
            {
                "DataCaptureConfig": {
                    "EnableCapture": False,
                    "InitialSamplingPercentage": 50,
                    "DestinationS3Uri": "s3://captured/all",
                    "KmsKeyId": KEY,
                    "CaptureOptions": [{"CaptureMode": "Input"}, {"CaptureMode": "Output"}],
                    "CaptureContentTypeHeader": {"JsonContentTypes": ["application/json"]},
                }
            },
        ),
        ({}, {"AsyncInferenceConfig": {"OutputConfig": {"S3OutputPath": "s3://answers/all"}}}),
        (
            {},
            {
                "AsyncInferenceConfig": {
                    "ClientConfig": {"MaxConcurrentInvocationsPerInstance": 1},
                    "OutputConfig": {
                        "S3OutputPath": "s3://answers/all",
                        "S3FailurePath": "s3://answers/failed",
                        "KmsKeyId": KEY,
                        "NotificationConfig": {
                            "ErrorTopic": TOPIC,
                            "SuccessTopic": TOPIC,
                            "IncludeInferenceResponseIn": [
                                "SUCCESS_NOTIFICATION_TOPIC",
                                "ERROR_NOTIFICATION_TOPIC",
                            ],
                        },
                    },
                }
            },
        ),
        ({}, {"ShadowProductionVariants": [{**VARIANT, "VariantName": "shadow", "InitialInstanceCount": 1}]}),
    ],
    ids=["plain", "weight", "timeouts", "managed", "capture", "async", "async-told", "shadow"],
)
def test_terraform_applies_plans_and_deletes_an_endpoint_configuration(
    aws: Clients, variant: Members, members: Members
) -> None:
    model(aws).apply()
    resource = configuration(aws, "terraform-20260301120000000000000001", **variant)
    resource.written |= members
    check_life(resource, "terraform-20260301120000000000000001")


@pytest.mark.parametrize("provisioned", [{}, {"ProvisionedConcurrency": 1}])
def test_terraform_applies_plans_and_deletes_a_serverless_configuration(
    aws: Clients, provisioned: Members
) -> None:
    model(aws).apply()
    resource = configuration(aws)
    (variant,) = resource.written["ProductionVariants"]
    del variant["InitialInstanceCount"], variant["InstanceType"]
    variant["ServerlessConfig"] = {"MaxConcurrency": 5, "MemorySizeInMB": 2048, **provisioned}
    check_life(resource, "fraud-1")


def test_terraform_applies_plans_and_deletes_an_endpoint(aws: Clients, wire: Served) -> None:
    model(aws).apply()
    configuration(aws).apply()
    endpoint = Endpoint(aws, TAGS, EndpointName="fraud", EndpointConfigName="fraud-1")
    check_upkeep(endpoint, "fraud")
    endpoint.delete()
    assert endpoint.read() is None
    wire.settle("fraud")
    check_destruction(endpoint)


@pytest.mark.parametrize("deployment", [CANARY, ALL_AT_ONCE, LINEAR, ROLLING, None])
def test_an_endpoint_is_updated_and_its_deployment_config_is_in_no_later_plan(
    aws: Clients, deployment: Members | None
) -> None:
    MetricAlarm(aws, **ALARM).apply()
    endpoint = served(aws, **({"DeploymentConfig": deployment} if deployment else {}))
    assert endpoint.plan() == {}
    configuration(aws, "fraud-2", InitialInstanceCount=4).apply()
    endpoint.change(EndpointConfigName="fraud-2")
    configuration(aws, "fraud-1").delete()
    assert endpoint.plan() == {}
    endpoint.change(DeploymentConfig=LINEAR)
    assert endpoint.plan() == {}
    endpoint.change(DeploymentConfig=None)
    assert endpoint.plan() == {}


@pytest.mark.parametrize("can", [TIDEGATE_CAPABILITIES, SAGEMAKER_CAPABILITIES], ids=["ours", "aws"])
def test_a_new_deployment_config_alone_is_an_update_to_what_serves_already(
    aws: Clients, wire: Served, can: Capabilities
) -> None:
    wire.ctx = replace(wire.ctx, targets=TargetTable({LOCAL: can}))
    endpoint = served(aws)
    endpoint.change(DeploymentConfig=ALL_AT_ONCE)
    assert endpoint.plan() == {}


def test_with_the_rules_of_aws_the_old_configuration_must_outlive_the_update(aws: Clients, wire: Served) -> None:
    """Without create_before_destroy it does not, and users of the provider report this refusal."""
    wire.ctx = replace(wire.ctx, targets=TargetTable({LOCAL: SAGEMAKER_CAPABILITIES}))
    endpoint = served(aws)
    old = configuration(aws)
    state = old.read()
    assert state is not None
    old.delete()
    configuration(aws, "fraud-2").apply()
    with pytest.raises(ClientError) as refused:
        endpoint.change(EndpointConfigName="fraud-2")
    error = refused.value.response["Error"]
    assert error["Code"] == "ValidationException"
    assert error["Message"] == f'Could not find endpoint configuration "{state["arn"]}".'


def test_what_somebody_changed_beside_terraform_is_in_the_plan(aws: Clients) -> None:
    endpoint = served(aws)
    configuration(aws, "fraud-2").apply()
    aws.sagemaker.update_endpoint(EndpointName="fraud", EndpointConfigName="fraud-2", DeploymentConfig=ALL_AT_ONCE)
    aws.wait("fraud", lambda: bool(endpoint.find()["EndpointStatus"] == "InService"))  # type: ignore[index]
    assert set(endpoint.plan()) == {"EndpointConfigName", "DeploymentConfig"}


def test_a_failed_creation_says_why(aws: Clients, wire: Served) -> None:
    served(aws)
    with pytest.raises(ClientError, match="Cannot create already existing endpoint"):
        Endpoint(aws, EndpointName="fraud", EndpointConfigName="fraud-1").apply()
    with pytest.raises(ClientError, match=r"ValidationException.*Could not find endpoint configuration"):
        Endpoint(aws, EndpointName="other", EndpointConfigName="none").apply()


def test_destroy_does_not_wait_for_the_endpoint_to_be_gone(aws: Clients, wire: Served) -> None:
    """The provider takes Deleting for gone, so the configuration and the model go while the endpoint still does."""
    endpoint = served(aws)
    ScalableTarget(aws, **SCALED, MinCapacity=1, MaxCapacity=4).apply()
    endpoint.delete()
    assert aws.sagemaker.describe_endpoint(EndpointName="fraud")["EndpointStatus"] == "Deleting"
    check_destruction(configuration(aws))
    check_destruction(model(aws))
    wire.settle("fraud")
    check_destruction(endpoint)
    check_destruction(ScalableTarget(aws, **SCALED))


def test_everything_is_applied_and_destroyed_in_the_order_of_its_dependencies(aws: Clients) -> None:
    stack: list[Resource] = [
        model(aws),
        configuration(aws),
        MetricAlarm(aws, TAGS, **ALARM),
        Endpoint(aws, TAGS, EndpointName="fraud", EndpointConfigName="fraud-1", DeploymentConfig=CANARY),
        ScalableTarget(aws, TAGS, **SCALED, MinCapacity=1, MaxCapacity=4),
        ScalingPolicy(
            aws, **SCALED, PolicyName="steps", PolicyType="StepScaling", StepScalingPolicyConfiguration=STEPS
        ),
        ScheduledAction(
            aws,
            **SCALED,
            ScheduledActionName="day",
            Schedule="rate(1 day)",
            Timezone="UTC",
            ScalableTargetAction={"MinCapacity": 2},
        ),
    ]
    for resource in stack:
        resource.apply()
    steps = stack[5].read()
    assert steps is not None
    watching = MetricAlarm(aws, **{**ALARM, "AlarmName": "load", "AlarmActions": [steps["arn"]]})
    stack.append(watching)
    watching.apply()
    assert [resource.plan() for resource in stack] == [{}] * len(stack)
    for resource in reversed(stack):
        resource.delete()
    assert [resource.read() for resource in stack] == [None] * len(stack)
