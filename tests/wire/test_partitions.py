"""ARNs lie in the partition of the server's region, as those of AWS do."""

import re
from typing import Any

import pytest

from tests.served_wire import ACCOUNT, serve
from tidegate.domain.arns import partition

VARIANT = {"VariantName": "v", "ModelName": "m", "InitialInstanceCount": 1, "InstanceType": "ml.m5.large"}
TARGET = {
    "ServiceNamespace": "sagemaker",
    "ResourceId": "endpoint/e/variant/v",
    "ScalableDimension": "sagemaker:variant:DesiredInstanceCount",
}
TRACKING = {
    "TargetValue": 70.0,
    "PredefinedMetricSpecification": {"PredefinedMetricType": "SageMakerVariantInvocationsPerInstance"},
}


def arns_in(answer: Any) -> set[str]:
    return set(re.findall(r"arn:[^'\" ]+", str(answer)))


@pytest.mark.parametrize(
    ("region", "expected"), [("cn-north-1", "aws-cn"), ("us-gov-west-1", "aws-us-gov"), ("eu-west-1", "aws")]
)
def test_every_arn_of_a_server_is_in_the_partition_of_its_region(
    sqlite_url: str, region: str, expected: str
) -> None:
    with serve(sqlite_url, region=region) as served:
        sagemaker, scaling = served.client("sagemaker"), served.client("application-autoscaling")
        cloudwatch, sts = served.client("cloudwatch"), served.client("sts")
        made = sagemaker.create_model(ModelName="m", PrimaryContainer={"Image": "tidegate/xgboost"})
        sagemaker.create_endpoint_config(EndpointConfigName="c", ProductionVariants=[VARIANT])
        sagemaker.create_endpoint(EndpointName="e", EndpointConfigName="c")
        served.settle("e")
        sagemaker.add_tags(ResourceArn=made["ModelArn"], Tags=[{"Key": "a", "Value": "b"}])
        assert sagemaker.list_tags(ResourceArn=made["ModelArn"])["Tags"] == [{"Key": "a", "Value": "b"}]
        scaling.register_scalable_target(MinCapacity=1, MaxCapacity=2, **TARGET)
        scaling.put_scaling_policy(
            PolicyName="p",
            PolicyType="TargetTrackingScaling",
            TargetTrackingScalingPolicyConfiguration=TRACKING,
            **TARGET,
        )
        shown = [
            made,
            sagemaker.describe_endpoint(EndpointName="e"),
            sagemaker.create_model_package_group(ModelPackageGroupName="g"),
            scaling.describe_scalable_targets(ServiceNamespace="sagemaker"),
            scaling.describe_scaling_policies(ServiceNamespace="sagemaker"),
            cloudwatch.describe_alarms(),
            sts.get_caller_identity(),
        ]
    arns = set[str]().union(*(arns_in(answer) for answer in shown))
    services = {arn.split(":")[2] for arn in arns}
    assert {"sagemaker", "iam", "autoscaling", "cloudwatch"} <= services
    assert {arn.split(":")[1] for arn in arns} == {expected}
    assert {(arn.split(":")[3], arn.split(":")[4]) for arn in arns} == {(region, ACCOUNT), ("", ACCOUNT)}


@pytest.mark.parametrize(
    ("region", "expected"),
    [
        ("us-east-1", "aws"),
        ("us-gov-east-1", "aws-us-gov"),
        ("us-iso-east-1", "aws-iso"),
        ("us-isob-east-1", "aws-iso-b"),
        ("eu-isoe-west-1", "aws-iso-e"),
        ("us-isof-south-1", "aws-iso-f"),
        ("eusc-de-east-1", "aws-eusc"),
        ("cn-northwest-1", "aws-cn"),
        ("home", "aws"),
    ],
)
def test_the_partition_of_a_region(region: str, expected: str) -> None:
    assert partition(region) == expected
