"""Serverless endpoints through boto3: what is accepted, what comes back, what is refused."""

from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.served_wire import Served
from tidegate.domain.fleet import Serverless
from tidegate.service.record_kinds import CONFIG

BOUNDS = {"MemorySizeInMB": 2048, "MaxConcurrency": 20, "ProvisionedConcurrency": 5}
VARIANT = {"VariantName": "main", "ModelName": "fraud", "ServerlessConfig": BOUNDS}
INSTANCES = {"InitialInstanceCount": 1, "InstanceType": "ml.m5.large"}


@pytest.fixture(autouse=True)
def model(sagemaker: Any) -> None:
    sagemaker.create_model(ModelName="fraud", PrimaryContainer={"Image": "tidegate/xgboost"})


def create(sagemaker: Any, *variants: dict[str, Any], name: str = "c", **more: Any) -> None:
    sagemaker.create_endpoint_config(EndpointConfigName=name, ProductionVariants=list(variants), **more)


def test_a_config_is_described_as_it_was_given(sagemaker: Any, wire: Served) -> None:
    create(sagemaker, VARIANT)
    found = sagemaker.describe_endpoint_config(EndpointConfigName="c")["ProductionVariants"]
    assert found == [{**VARIANT, "InitialVariantWeight": 1.0}]
    (saved,) = wire.run(wire.ctx.store.run(lambda tx: tx.find(CONFIG).items))
    assert saved.body.variants[0].serverless == Serverless(2048 * 2**20, 20, 5)


@pytest.mark.parametrize(
    ("variants", "message"),
    [
        ([{**VARIANT, **INSTANCES}], "has both ServerlessConfig and InitialInstanceCount"),
        ([{**VARIANT, "RoutingConfig": {"RoutingStrategy": "RANDOM"}}], "has both ServerlessConfig and Routing"),
        (
            [{**VARIANT, "ServerlessConfig": {**BOUNDS, "MemorySizeInMB": 1500}}],
            r": 1 validation error detected: Value '1500' at 'MemorySizeInMB' failed to satisfy constraint: "
            r"Member must satisfy enum value set: \[1024, 2048, 3072, 4096, 5120, 6144\]$",
        ),
        ([{**VARIANT, "ServerlessConfig": {**BOUNDS, "MaxConcurrency": 4}}], "must not exceed MaxConcurrency"),
        ([VARIANT, {**VARIANT, "VariantName": "b"}], "it can have only one variant"),
        ([VARIANT, {"VariantName": "b", "ModelName": "fraud", **INSTANCES}], "it can have only one variant"),
    ],
)
def test_what_cannot_be_served_is_refused(sagemaker: Any, variants: list[dict[str, Any]], message: str) -> None:
    with pytest.raises(ClientError, match=message):
        create(sagemaker, *variants)


def test_many_models_do_not_go_with_it(sagemaker: Any) -> None:
    container = {"Image": "tidegate/xgboost", "Mode": "MultiModel", "ModelDataUrl": "s3://models/clients/"}
    sagemaker.create_model(ModelName="clients", PrimaryContainer=container)
    with pytest.raises(ClientError, match="cannot have a multi-model container"):
        create(sagemaker, {**VARIANT, "ModelName": "clients"})


def test_describe_endpoint_shows_serverless_concurrency_and_no_instances(sagemaker: Any) -> None:
    create(sagemaker, VARIANT)
    sagemaker.create_endpoint(EndpointName="e", EndpointConfigName="c")
    (coming,) = sagemaker.describe_endpoint(EndpointName="e")["PendingDeploymentSummary"]["ProductionVariants"]
    assert (coming["CurrentServerlessConfig"], coming["DesiredServerlessConfig"]) == (BOUNDS, BOUNDS)
    assert coming.keys().isdisjoint({"CurrentInstanceCount", "DesiredInstanceCount", "InstanceType"})


def served(sagemaker: Any, wire: Served, variant: dict[str, Any]) -> None:
    """An endpoint that is in service."""
    create(sagemaker, variant)
    sagemaker.create_endpoint(EndpointName="e", EndpointConfigName="c")
    wire.settle("e")


def test_instances_do_not_become_serverless(sagemaker: Any, wire: Served) -> None:
    served(sagemaker, wire, {"VariantName": "main", "ModelName": "fraud", **INSTANCES})
    create(sagemaker, VARIANT, name="d")
    with pytest.raises(ClientError, match="cannot become serverless"):
        sagemaker.update_endpoint(EndpointName="e", EndpointConfigName="d")


def test_serverless_may_get_instances(sagemaker: Any, wire: Served) -> None:
    served(sagemaker, wire, VARIANT)
    create(sagemaker, {"VariantName": "main", "ModelName": "fraud", **INSTANCES}, name="d")
    sagemaker.update_endpoint(EndpointName="e", EndpointConfigName="d")
    assert sagemaker.describe_endpoint(EndpointName="e")["EndpointStatus"] == "Updating"


def change(sagemaker: Any, **members: Any) -> None:
    sagemaker.update_endpoint_weights_and_capacities(
        EndpointName="e", DesiredWeightsAndCapacities=[{"VariantName": "main", **members}]
    )


def test_its_concurrency_changes_in_place(sagemaker: Any, wire: Served) -> None:
    served(sagemaker, wire, VARIANT)
    change(sagemaker, ServerlessUpdateConfig={"MaxConcurrency": 40})
    serving = wire.endpoint("e").serving
    assert serving is not None
    assert serving.variants[0].serverless == Serverless(2048 * 2**20, 40, 5)


@pytest.mark.parametrize(
    ("variant", "members", "message"),
    [
        (VARIANT, {"DesiredInstanceCount": 2}, "is serverless: it has a concurrency, not instances"),
        (VARIANT, {"ServerlessUpdateConfig": {"MaxConcurrency": 4}}, "must not exceed MaxConcurrency, 4"),
        (
            {"VariantName": "main", "ModelName": "fraud", **INSTANCES},
            {"ServerlessUpdateConfig": {"MaxConcurrency": 4}},
            "is not serverless",
        ),
    ],
)
def test_a_change_of_the_wrong_kind_is_refused(
    sagemaker: Any, wire: Served, variant: dict[str, Any], members: dict[str, Any], message: str
) -> None:
    served(sagemaker, wire, variant)
    with pytest.raises(ClientError, match=message):
        change(sagemaker, **members)


def test_no_instances_are_rolled(sagemaker: Any, wire: Served) -> None:
    served(sagemaker, wire, VARIANT)
    create(sagemaker, VARIANT, name="d")
    size = {"Type": "CAPACITY_PERCENT", "Value": 50}
    with pytest.raises(ClientError, match="RollingUpdatePolicy replaces instances"):
        sagemaker.update_endpoint(
            EndpointName="e",
            EndpointConfigName="d",
            DeploymentConfig={"RollingUpdatePolicy": {"MaximumBatchSize": size, "WaitIntervalInSeconds": 0}},
        )
