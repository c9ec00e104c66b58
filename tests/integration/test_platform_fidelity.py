"""A platform that follows SageMaker's own rules, with quotas and a capacity: what AWS would refuse is refused."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from botocore.exceptions import ClientError

from tests.fixtures import STAND_IN, images
from tests.scene import Scene, canary, linear
from tidegate.host.platform import Platform, wait_until

pytestmark = [pytest.mark.slow, pytest.mark.e2e]
SCALED = {
    "ServiceNamespace": "sagemaker",
    "ResourceId": "endpoint/scaled/variant/AllTraffic",
    "ScalableDimension": "sagemaker:variant:DesiredInstanceCount",
}


@pytest.fixture(scope="module")
def events(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("events") / "events.jsonl"


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory, events: Path) -> Iterator[Platform]:
    environment = {
        "TIDEGATE_EVENTS": events.as_uri(),
        "TIDEGATE_IMAGES": str(images(tmp_path_factory.mktemp("images"))),
        "TIDEGATE_DRAIN_TIMEOUT": "5",
        "TIDEGATE_FIDELITY": "aws",
        "TIDEGATE_QUOTAS": "ml.m5.large=3",
        "TIDEGATE_CAPACITY": "ml.g5.xlarge=1",
    }
    with Platform(environment=environment) as running:
        yield running


def config(scene: Scene, instances: int, type_: str = "ml.c5.large") -> str:
    return scene.config(None, image=STAND_IN, instances=instances, variant={"InstanceType": type_})


def refusal(call: Any, **members: Any) -> tuple[str, str]:
    with pytest.raises(ClientError) as raised:
        call(**members)
    error = raised.value.response["Error"]
    return error["Code"], error["Message"]


def test_a_canary_is_whole_instances_of_the_new_fleet(scene: Scene) -> None:
    scene.create("whole", config(scene, 3))
    scene.update("whole", config(scene, 3), canary(10, 300))

    def shares() -> set[float] | None:
        pending = scene.describe("whole").get("PendingDeploymentSummary", {})
        found = {one["VariantName"]: one for one in pending.get("ProductionVariants", [])}
        status = [s["Status"] for one in found.values() for s in one.get("VariantStatus", [])]
        return {one["CurrentWeight"] for one in found.values()} if status == ["Baking"] else None

    wait_until(shares, "the canary bakes")
    asked = [scene.invoke("whole", [[1.0]]) for _ in range(300)]
    configs = [one["ResponseMetadata"]["HTTPHeaders"]["x-tidegate-config"] for one in asked]
    new = scene.describe("whole")["PendingDeploymentSummary"]["EndpointConfigName"]
    # One of three instances, not a tenth: 100, and no chance of 30. The proxy numbers requests of every kind,
    # so on a busy platform the share of a few hundred is no more even than chance makes it.
    assert 60 <= configs.count(new) <= 140


def test_one_instance_has_no_canary(scene: Scene) -> None:
    scene.create("lonely", config(scene, 1))
    code, message = refusal(
        scene.sagemaker.update_endpoint,
        EndpointName="lonely",
        EndpointConfigName=config(scene, 1),
        DeploymentConfig=linear(10, 60),
    )
    assert code == "ValidationException"
    assert "SageMaker shifts traffic by whole instances" in message


def test_a_serverless_endpoint_has_no_guardrails(scene: Scene) -> None:
    bounds = {"MemorySizeInMB": 1024, "MaxConcurrency": 5}
    names = []
    for _ in range(2):
        model = scene.model(None, image=STAND_IN)
        variant = {"VariantName": "AllTraffic", "ModelName": model, "ServerlessConfig": bounds}
        scene.sagemaker.create_endpoint_config(EndpointConfigName=model, ProductionVariants=[variant])
        names.append(model)
    scene.create("serverless", names[0])
    code, message = refusal(
        scene.sagemaker.update_endpoint,
        EndpointName="serverless",
        EndpointConfigName=names[1],
        DeploymentConfig=canary(10, 60),
    )
    assert code == "ValidationException"
    assert "SageMaker updates such an endpoint all at once without alarms" in message


def test_an_update_needs_the_config_that_serves(scene: Scene) -> None:
    old = config(scene, 1)
    scene.create("orphan", old)
    scene.sagemaker.delete_endpoint_config(EndpointConfigName=old)
    code, message = refusal(
        scene.sagemaker.update_endpoint, EndpointName="orphan", EndpointConfigName=config(scene, 1)
    )
    assert code == "ValidationException"
    assert old in message


def test_a_scaled_variant_keeps_its_type_until_it_is_deregistered_and_rests_in_updates(scene: Scene) -> None:
    scaling = scene.client("application-autoscaling")
    scene.create("scaled", config(scene, 2))
    scaling.register_scalable_target(**SCALED, MinCapacity=2, MaxCapacity=4)
    other = config(scene, 2, "ml.c5.xlarge")
    code, message = refusal(scene.sagemaker.update_endpoint, EndpointName="scaled", EndpointConfigName=other)
    assert code == "ValidationException"
    assert "deregister it first" in message
    scene.update("scaled", config(scene, 2), canary(50, 300))
    scaling.register_scalable_target(**SCALED, MinCapacity=3, MaxCapacity=4)
    wait_until(lambda: "Baking" in str(scene.describe("scaled")), "the canary bakes")
    assert scene.describe("scaled")["ProductionVariants"][0]["DesiredInstanceCount"] == 2
    httpx.post(f"{scene.platform.url}/tidegate/v1/endpoints/scaled/rollout/abort").raise_for_status()
    scene.settled("scaled")
    wait_until(
        lambda: scene.describe("scaled")["ProductionVariants"][0]["DesiredInstanceCount"] == 3, "scaled then"
    )
    scaling.deregister_scalable_target(**SCALED)
    scene.settled("scaled")
    scene.update("scaled", other)


def test_quotas_count_both_sides_of_an_update(scene: Scene) -> None:
    scene.create("quota", config(scene, 2, "ml.m5.large"))
    code, message = refusal(
        scene.sagemaker.update_endpoint,
        EndpointName="quota",
        EndpointConfigName=config(scene, 2, "ml.m5.large"),
    )
    assert code == "ResourceLimitExceeded"
    assert message.startswith(
        "The account-level service limit 'ml.m5.large for endpoint usage' is 3 Instances, with current utilization"
        " of 2 Instances and a request delta of 2 Instances."
    )
    scene.update("quota", config(scene, 1, "ml.m5.large"))
    scene.settled("quota")


def test_where_the_cloud_has_no_more_instances_an_update_comes_back(scene: Scene) -> None:
    good = config(scene, 1, "ml.g5.xlarge")
    scene.create("scarce", good)
    scene.update("scarce", config(scene, 1, "ml.g5.xlarge"))
    settled = scene.settled("scarce")
    assert settled["EndpointConfigName"] == good
    assert "InsufficientInstanceCapacity" in settled["FailureReason"]
    assert scene.invoke("scarce", [[1.0]])["ResponseMetadata"]["HTTPStatusCode"] == 200


def test_state_changes_go_to_a_file(scene: Scene, events: Path) -> None:
    scene.create("told", config(scene, 1))

    def statuses() -> list[str]:
        lines = [json.loads(line) for line in events.read_text().splitlines()]
        arn = "arn:aws:sagemaker:us-east-1:000000000000:endpoint/told"
        return [line["detail"]["EndpointStatus"] for line in lines if line["resources"] == [arn]]

    wait_until(lambda: statuses() == ["CREATING", "IN_SERVICE"], "the creation is told")
