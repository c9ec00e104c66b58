"""Multi-model endpoints through boto3: what is accepted, what comes back, what is refused."""

from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.served_wire import Served
from tidegate.domain.fleet import RoutingStrategy
from tidegate.service.record_kinds import ENDPOINT, MODEL

CONTAINER = {
    "Image": "tidegate/xgboost",
    "Mode": "MultiModel",
    "ModelDataUrl": "s3://models/clients/",
}
VARIANT = {
    "VariantName": "main",
    "ModelName": "clients",
    "InitialInstanceCount": 2,
    "InstanceType": "ml.m5.large",
}


def container(wire: Served) -> Any:
    (model,) = wire.run(wire.ctx.store.run(lambda tx: tx.find(MODEL).items))
    return model.body.containers[0]


@pytest.mark.parametrize("setting", [None, "Enabled", "Disabled"])
def test_many_models_are_described_as_they_were_given(sagemaker: Any, wire: Served, setting: str | None) -> None:
    given = CONTAINER if setting is None else {**CONTAINER, "MultiModelConfig": {"ModelCacheSetting": setting}}
    sagemaker.create_model(ModelName="clients", PrimaryContainer=given)
    assert sagemaker.describe_model(ModelName="clients")["PrimaryContainer"] == given
    kept = container(wire)
    assert (kept.mode, kept.cache) == ("MultiModel", setting != "Disabled")


@pytest.mark.parametrize("url", ["s3://models/clients/", "s3://models/clients", "file:///models/clients"])
def test_a_prefix_may_or_may_not_end_in_a_slash(sagemaker: Any, url: str) -> None:
    given = {**CONTAINER, "ModelDataUrl": url}
    sagemaker.create_model(ModelName="clients", PrimaryContainer=given)
    assert sagemaker.describe_model(ModelName="clients")["PrimaryContainer"] == given


def test_the_container_may_be_the_only_one_of_a_list(sagemaker: Any) -> None:
    sagemaker.create_model(ModelName="clients", Containers=[CONTAINER])
    found = sagemaker.describe_model(ModelName="clients")
    assert found["Containers"] == [CONTAINER]


@pytest.mark.parametrize(
    ("params", "message"),
    [
        (
            {"PrimaryContainer": {"Image": "tidegate/xgboost", "Mode": "MultiModel"}},
            "needs model data, the folder or prefix that models lie under",
        ),
        (
            {"PrimaryContainer": {**CONTAINER, "ModelDataUrl": "s3://models/acme.tar.gz"}},
            "'s3://models/acme.tar.gz' is one model",
        ),
        (
            {
                "PrimaryContainer": {
                    **CONTAINER,
                    "Mode": "SingleModel",
                    "MultiModelConfig": {"ModelCacheSetting": "Enabled"},
                }
            },
            "MultiModelConfig requires Mode MultiModel, not SingleModel",
        ),
        (
            {"PrimaryContainer": {**CONTAINER, "MultiModelConfig": {"ModelCacheSetting": "Sometimes"}}},
            "enum value set: [Enabled, Disabled]",
        ),
        (
            {
                "Containers": [
                    {**CONTAINER, "ContainerHostname": "a"},
                    {"Image": "tidegate/xgboost", "ModelDataUrl": "s3://m/b.tar.gz", "ContainerHostname": "b"},
                ]
            },
            "needs exactly one container",
        ),
    ],
)
def test_bad_models_are_refused_and_nothing_is_written(
    sagemaker: Any, wire: Served, params: dict[str, Any], message: str
) -> None:
    with pytest.raises(ClientError) as error:
        sagemaker.create_model(ModelName="clients", **params)
    assert error.value.response["Error"]["Code"] == "ValidationException"
    assert message in error.value.response["Error"]["Message"]
    assert wire.journal() == []


def test_requests_to_an_endpoint_of_many_models_go_by_model(sagemaker: Any, wire: Served) -> None:
    sagemaker.create_model(ModelName="clients", PrimaryContainer=CONTAINER)
    least = {"RoutingConfig": {"RoutingStrategy": "LEAST_OUTSTANDING_REQUESTS"}}
    sagemaker.create_endpoint_config(EndpointConfigName="clients", ProductionVariants=[{**VARIANT, **least}])
    sagemaker.create_endpoint(EndpointName="clients", EndpointConfigName="clients")
    (saved,) = wire.run(wire.ctx.store.run(lambda tx: tx.find(ENDPOINT).items))
    assert saved.body.rollout is not None
    (variant,) = saved.body.rollout.new.variants
    assert variant.routing is RoutingStrategy.LEAST_OUTSTANDING_REQUESTS  # as it was asked for
    assert variant.effective_routing is RoutingStrategy.BY_MODEL


def test_nobody_can_ask_for_routing_by_model(sagemaker: Any) -> None:
    sagemaker.create_model(ModelName="clients", PrimaryContainer=CONTAINER)
    by_model = {"RoutingConfig": {"RoutingStrategy": "BY_MODEL"}}
    with pytest.raises(ClientError, match="enum value set"):
        sagemaker.create_endpoint_config(
            EndpointConfigName="clients", ProductionVariants=[{**VARIANT, **by_model}]
        )
