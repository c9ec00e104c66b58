"""What the re-enacted configurations of Terraform have in common, and what becomes of each of their resources."""

from typing import Any

from tests.served_wire import Served
from tests.terraform.go_types import check_answers
from tests.terraform.hosting import Endpoint, EndpointConfiguration, Model
from tests.terraform.resource import Clients, Look, Members, Resource

ROLE = "arn:aws:iam::123456789012:role/any"
TOPIC = "arn:aws:sns:us-east-1:123456789012:told"
KEY = "arn:aws:kms:us-east-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab"
TAGS = {"team": "risk", "stage": "test"}
CONTAINER: Members = {"Image": "tidegate/xgboost", "Mode": "SingleModel", "ModelDataUrl": "s3://models/a.tar.gz"}
VARIANT: Members = {
    "VariantName": "main",
    "ModelName": "fraud",
    "InitialVariantWeight": 1.0,
    "EnableSSMAccess": False,
    "InitialInstanceCount": 2,
    "InstanceType": "ml.m5.large",
}
SCALED: Members = {
    "ServiceNamespace": "sagemaker",
    "ResourceId": "endpoint/fraud/variant/main",
    "ScalableDimension": "sagemaker:variant:DesiredInstanceCount",
}
ALARM: Members = {
    "AlarmName": "errors",
    "ActionsEnabled": True,
    "TreatMissingData": "missing",
    "ComparisonOperator": "GreaterThanThreshold",
    "EvaluationPeriods": 2,
    "Threshold": 0.0,
    "MetricName": "Invocation5XXErrors",
    "Namespace": "AWS/SageMaker",
    "Period": 60,
    "Statistic": "Sum",
    "Dimensions": [{"Name": "VariantName", "Value": "main"}, {"Name": "EndpointName", "Value": "fraud"}],
}
TRACKING: Members = {
    "TargetValue": 70.0,
    "DisableScaleIn": False,
    "ScaleInCooldown": 0,
    "ScaleOutCooldown": 0,
    "PredefinedMetricSpecification": {"PredefinedMetricType": "SageMakerVariantInvocationsPerInstance"},
}
STEPS: Members = {
    "AdjustmentType": "ChangeInCapacity",
    "Cooldown": 0,
    "MetricAggregationType": "Maximum",
    "StepAdjustments": [
        {"MetricIntervalLowerBound": 0.0, "MetricIntervalUpperBound": 10.5, "ScalingAdjustment": 1},
        {"MetricIntervalLowerBound": 10.5, "ScalingAdjustment": 3},
    ],
}


def clients_of(wire: Served) -> Clients:
    """Whose endpoints come to rest between two looks of a waiter."""

    def wait(name: str, look: Look) -> None:
        if not look():
            wire.settle(name)
            assert look(), f"{name} is there after its last step"

    def client(service: str) -> Any:
        return check_answers(wire.client(service))

    return Clients(client("sagemaker"), client("application-autoscaling"), client("cloudwatch"), wait)


def model(aws: Clients, **more: Any) -> Model:
    written = {"ModelName": "fraud", "ExecutionRoleArn": ROLE, "PrimaryContainer": CONTAINER}
    return Model(aws, TAGS, **{**written, **more})


def configuration(aws: Clients, name: str = "fraud-1", **variant: Any) -> EndpointConfiguration:
    return EndpointConfiguration(aws, TAGS, EndpointConfigName=name, ProductionVariants=[{**VARIANT, **variant}])


def served(aws: Clients, **more: Any) -> Endpoint:
    model(aws).apply()
    configuration(aws).apply()
    endpoint = Endpoint(aws, TAGS, EndpointName="fraud", EndpointConfigName="fraud-1", **more)
    endpoint.apply()
    return endpoint


def check_life(resource: Resource, id: str) -> None:
    """Made, unchanged, tagged otherwise, imported, destroyed, and not found from then on."""
    check_upkeep(resource, id)
    check_destruction(resource)


def check_upkeep(resource: Resource, id: str) -> None:
    first = resource.apply()
    assert resource.plan() == {}
    if resource.tags:
        resource.change(tags={"stage": "prod", "owner": "me"})
        assert resource.plan() == {}
    after = resource.read()
    assert after == {**first, "tags": resource.tags}
    assert type(resource).imported(resource.clients, id).read() == after


def check_destruction(resource: Resource) -> None:
    resource.delete()
    assert resource.read() is None
    resource.delete()
