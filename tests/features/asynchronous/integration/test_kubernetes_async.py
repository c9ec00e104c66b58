"""Asynchronous endpoints on the Kubernetes target: real controller, dispatcher, workers and PostgreSQL; the cluster
is one of processes."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.process_cluster import ProcessCluster, why_not
from tests.scene import Scene, all_at_once, train
from tidegate.host.platform import Platform, wait_until

pytestmark = [pytest.mark.slow, pytest.mark.e2e]
ROW = b"0.1,0.2,0.3,0.4"


@pytest.fixture
def cluster() -> Iterator[ProcessCluster]:
    if (reason := why_not()) is not None:
        pytest.skip(reason)
    with ProcessCluster() as running:
        yield running


@pytest.fixture
def platform(cluster: ProcessCluster, empty_postgres_url: str, tmp_path: Path) -> Iterator[Platform]:
    targets = cluster.write_targets(
        tmp_path,
        gateway={"replicas": 1},
        volumes=[{"name": "data", "path": str(tmp_path), "host_path": str(tmp_path)}],
    )
    environment = {
        "TIDEGATE_TARGETS": str(targets),
        "TIDEGATE_DATABASE_URL": empty_postgres_url,
        "TIDEGATE_OUTPUT_ROOTS": str(tmp_path),
    }
    with Platform(environment=environment) as running:
        yield running


def config(scene: Scene, name: str, model: str, out: Path) -> str:
    variant = {"VariantName": "AllTraffic", "InitialInstanceCount": 2, "InstanceType": "ml.c5.large"}
    scene.sagemaker.create_endpoint_config(
        EndpointConfigName=name,
        ProductionVariants=[{**variant, "ModelName": model}],
        AsyncInferenceConfig={
            "ClientConfig": {"MaxConcurrentInvocationsPerInstance": 2},
            "OutputConfig": {"S3OutputPath": (out / "good").as_uri(), "S3FailurePath": (out / "bad").as_uri()},
        },
    )
    return name


def ask(scene: Scene, body: bytes = ROW, endpoint: str = "queued") -> Path:
    """Returns where the output will be."""
    answer: dict[str, Any] = scene.runtime.invoke_endpoint_async(
        EndpointName=endpoint, ContentType="text/csv", Body=body
    )
    return Path(answer["OutputLocation"].removeprefix("file://"))


def test_requests_are_answered_once_whatever_dies_and_through_an_update(
    cluster: ProcessCluster, platform: Platform, tmp_path: Path
) -> None:
    scene, first, second = Scene(platform), train(tmp_path, 1, features=4, trees=5), train(tmp_path, 2, features=4)
    name = config(scene, "first", scene.model(first), tmp_path)
    scene.sagemaker.create_endpoint(EndpointName="queued", EndpointConfigName=name)
    assert scene.settled("queued")["EndpointStatus"] == "InService"
    expected = ask(scene)
    wait_until(expected.exists, "an answer", 60)
    asked = [ask(scene) for _ in range(40)]
    cluster.kill(cluster.server.pods("worker")[0]["metadata"]["name"])
    asked += [ask(scene) for _ in range(40)]
    platform.kill_controller()
    platform.start()
    asked += [ask(scene) for _ in range(20)]
    wait_until(lambda: all(path.exists() for path in asked), "every answer", 90)
    assert {path.read_bytes() for path in asked} == {expected.read_bytes()}
    scene.update("queued", config(scene, "second", scene.model(second), tmp_path), all_at_once())
    settled = scene.settled("queued")
    assert settled["EndpointConfigName"] == "second" and "FailureReason" not in settled
    other = ask(scene)
    wait_until(other.exists, "an answer of the new version", 60)
    assert other.read_bytes() != expected.read_bytes()
    assert len(list((tmp_path / "good").iterdir())) == 102 and not (tmp_path / "bad").exists()
    refused = ask(scene, b"no,numbers,at,all")
    wait_until(lambda: list((tmp_path / "bad").glob("*")), "its failure", 60)
    assert not refused.exists()
    scene.sagemaker.delete_endpoint(EndpointName="queued")
    wait_until(lambda: not cluster.server.pods("worker"), "its pods are gone", 60)


def test_an_idle_endpoint_has_no_pods_until_the_next_request(
    cluster: ProcessCluster, platform: Platform, tmp_path: Path
) -> None:
    scene, model = Scene(platform), train(tmp_path, 1, features=4, trees=5)
    spec = {
        "endpoint": "sleepy",
        "model": {"image": "tidegate/xgboost", "data": model},
        "async": {"output": (tmp_path / "answers").as_uri(), "idle_after": "1s"},
    }
    answer = httpx.put(f"{platform.url}/tidegate/v1/deploy", json={"spec": spec})
    assert answer.status_code == 200, answer.text
    assert scene.settled("sleepy")["EndpointStatus"] == "InService"
    wait_until(lambda: not cluster.server.pods("worker"), "asleep", 60)
    answered = ask(scene, endpoint="sleepy")
    wait_until(answered.exists, "an answer", 90)
    wait_until(lambda: not cluster.server.pods("worker"), "asleep again", 60)
