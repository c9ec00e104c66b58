"""Serverless endpoints on the Kubernetes target: real controller, gateways and workers; the cluster is one of
processes."""

import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.conformance.kubernetes_lab import IMAGE, PROGRAM, image_table
from tests.process_cluster import ProcessCluster, why_not
from tests.scene import Scene, train
from tidegate.host.platform import Platform, wait_until
from tidegate.load import LoadGenerator
from tidegate.targets.kubernetes.names import ENDPOINT

pytestmark = [pytest.mark.slow, pytest.mark.e2e]
ROW = b"0.1,0.2,0.3,0.4"
CSV = {"Content-Type": "text/csv"}


@dataclass
class Running:
    cluster: ProcessCluster
    platform: Platform
    scene: Scene
    models: tuple[str, str]

    def gateway(self) -> str:
        """URL of one of the gateways."""
        return f"http://{self.cluster.addresses('gateway')[0]}:8080"

    def invoke(self, endpoint: str, gateway: int = 0) -> httpx.Response:
        url = f"http://{self.cluster.addresses('gateway')[gateway]}:8080/endpoints/{endpoint}/invocations"
        return httpx.post(url, content=ROW, headers=CSV, timeout=70)

    def deploy(
        self, endpoint: str, model: str | dict[str, Any] = "", rollout: dict[str, Any] | None = None, **bounds: Any
    ) -> None:
        serverless = {"memory": "1GiB", "max_concurrency": 50, "idle_after": "500ms", **bounds}
        if isinstance(model, str):
            model = {"image": "tidegate/xgboost", "data": model or self.models[0]}
        spec = {"endpoint": endpoint, "model": model, "serverless": serverless}
        if rollout is not None:
            spec["rollout"] = rollout
        url = f"{self.platform.url}/tidegate/v1/deploy"
        httpx.put(url, json={"spec": spec}, timeout=30).raise_for_status()

    def create(self, endpoint: str, model: str | dict[str, Any] = "", **bounds: Any) -> None:
        self.deploy(endpoint, model, **bounds)
        described = self.scene.settled(endpoint)
        assert described["EndpointStatus"] == "InService", described

    def pods(self, endpoint: str) -> list[str]:
        found = [one["metadata"] for one in self.cluster.server.pods("worker")]
        return [about["name"] for about in found if about["labels"][ENDPOINT] == endpoint]

    def asleep(self, endpoint: str) -> None:
        wait_until(lambda: not self.pods(endpoint), f"{endpoint} has no pods", 60)


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    if (reason := why_not()) is not None:
        pytest.skip(reason)
    folder = tmp_path_factory.mktemp("kubernetes")
    models = train(folder, 1, features=4, trees=5), train(folder, 2, features=4, trees=5)
    with ProcessCluster() as cluster:
        targets = cluster.write_targets(
            folder,
            volumes=[{"name": "models", "path": str(folder), "host_path": str(folder)}],
        )
        images = folder / "images.yaml"
        images.write_text(image_table(sys.executable, PROGRAM))
        variables = {
            "TIDEGATE_TARGETS": str(targets),
            "TIDEGATE_IMAGES": str(images),
            "TIDEGATE_DRAIN_TIMEOUT": "10",
            "TIDEGATE_QUEUE_TIMEOUT": "2",
        }
        with Platform(environment=variables) as platform:
            wait_until(lambda: len(cluster.addresses("gateway")) == 2, "two gateways", 60)
            yield Running(cluster, platform, Scene(platform), models)


def test_at_zero_nothing_runs_and_a_burst_is_held_and_answered(running: Running) -> None:
    running.create("sleepy")
    running.asleep("sleepy")
    assert running.scene.describe("sleepy")["EndpointStatus"] == "InService"
    with ThreadPoolExecutor(20) as threads:
        found = list(threads.map(lambda _: running.invoke("sleepy"), range(20)))
    assert [one.status_code for one in found] == [200] * 20 and len({one.content for one in found}) == 1
    running.asleep("sleepy")
    running.platform.kill_controller()
    with ThreadPoolExecutor(1) as threads:
        held = threads.submit(running.invoke, "sleepy")
        running.platform.start()
        assert held.result().status_code == 200


def test_updates_lose_no_request_whether_the_endpoint_sleeps_or_not(running: Running) -> None:
    running.create("rolled", idle_after="20s")
    path = "/endpoints/rolled/invocations"
    with LoadGenerator(running.gateway(), path, ROW, CSV, 20, connections=4) as load:
        first = running.scene.describe("rolled")["EndpointConfigName"]
        running.deploy(
            "rolled", running.models[1], {"strategy": "canary", "size": "20%", "wait": "5s"}, idle_after="20s"
        )
        settled = running.scene.settled("rolled")
        report = load.stop()
    assert settled["EndpointConfigName"] != first and "FailureReason" not in settled
    assert report.failed == 0, report.failures[:3]
    assert set(report.by_config) == {first, settled["EndpointConfigName"]}
    second = running.invoke("rolled").content
    running.deploy("rolled", "", {"strategy": "all_at_once"}, idle_after="500ms")
    assert "FailureReason" not in running.scene.settled("rolled")
    running.asleep("rolled")
    with ThreadPoolExecutor(1) as threads:  # a request waits for a version that goes
        held = threads.submit(running.invoke, "rolled")
        running.deploy("rolled", running.models[1], {"strategy": "all_at_once"}, idle_after="500ms")
        answer = held.result()
    assert answer.status_code == 200, answer.text
    assert "FailureReason" not in running.scene.settled("rolled")
    assert running.invoke("rolled").content == second


def test_version_that_does_not_load_is_turned_back_before_a_request(running: Running) -> None:
    running.create("kept")
    damaged = Path(running.models[0].removeprefix("file://")).with_name("damaged.tar.gz")
    damaged.write_bytes(b"no archive")
    before = running.scene.describe("kept")["EndpointConfigName"]
    running.deploy("kept", damaged.as_uri(), {"strategy": "all_at_once"})
    settled = running.scene.settled("kept")
    assert settled["EndpointConfigName"] == before and "damaged.tar.gz" in settled["FailureReason"]
    assert running.invoke("kept").status_code == 200


def test_beyond_its_concurrency_requests_wait_and_are_then_throttled(running: Running) -> None:
    """Whichever gateway they come through: an instance works on one at a time."""
    slow = {"image": IMAGE, "environment": {"DELAY_MS": "1500"}}
    running.create("slow", slow, max_concurrency=2, per_instance=1, provisioned=1)
    running.asleep("sleepy")
    assert len(running.pods("slow")) == 1, "what is provisioned stays"
    with ThreadPoolExecutor(12) as threads:
        found = list(threads.map(lambda number: running.invoke("slow", number % 2), range(12)))
    throttled = [answer for answer in found if answer.status_code != 200]
    assert {answer.status_code for answer in throttled} == {429} and len(throttled) < 12
    assert {answer.headers["x-amzn-ErrorType"] for answer in throttled} == {"ThrottlingException"}
    assert len(running.pods("slow")) <= 2
