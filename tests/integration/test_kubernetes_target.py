"""The platform on the Kubernetes target: real controller, gateways and workers; the cluster is one of processes."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
import yaml

from tests.process_cluster import ProcessCluster, why_not
from tidegate.advisor.load import LoadGenerator
from tidegate.testing.platform import Platform, wait_until
from tidegate.testing.scene import KINDS, Scene, canary, linear, train

pytestmark = pytest.mark.e2e
ROW = b"0.1,0.2,0.3,0.4"


@dataclass
class Running:
    cluster: ProcessCluster
    platform: Platform
    scene: Scene
    models: tuple[str, str]

    def load(self, endpoint: str, rate: float = 50) -> LoadGenerator:
        """Through one of the gateways."""
        address = self.cluster.addresses("gateway")[0]
        path = f"/endpoints/{endpoint}/invocations"
        return LoadGenerator(
            f"http://{address}:8080", path, ROW, {"Content-Type": "text/csv"}, rate, connections=4
        )

    def create(self, endpoint: str, instances: int = 1) -> str:
        config = self.scene.config(self.models[0], instances=instances)
        self.scene.sagemaker.create_endpoint(EndpointName=endpoint, EndpointConfigName=config)
        described = self.scene.settled(endpoint, 120)
        assert described["EndpointStatus"] == "InService", described["FailureReason"]
        return config


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    if (reason := why_not()) is not None:
        pytest.skip(reason)
    folder = tmp_path_factory.mktemp("kubernetes")
    models = train(folder, 1, features=4, trees=5), train(folder, 2, features=4, trees=5)
    with ProcessCluster() as cluster:
        settings = {
            "kubeconfig": str(cluster.kubeconfig),
            "image": "processes",
            "allow_unsigned": True,
            "volumes": [{"name": "models", "path": str(folder), "host_path": str(folder)}],
        }
        targets = folder / "targets.yaml"
        targets.write_text(yaml.safe_dump({"default": "kubernetes", "kubernetes": settings}))
        with Platform(environment={"TIDEGATE_TARGETS": str(targets)}) as platform:
            wait_until(lambda: len(cluster.addresses("gateway")) == 2, "two gateways", 60)
            yield Running(cluster, platform, Scene(platform), models)


@pytest.mark.parametrize("kind", KINDS)
def test_update_moves_all_traffic_without_losing_a_request(running: Running, kind: str) -> None:
    endpoint = f"update-{kind.replace(' ', '-')}"
    running.create(endpoint, instances=2)
    with running.load(endpoint) as load:
        config = running.scene.config(running.models[1], instances=2)
        running.scene.update(endpoint, config, KINDS[kind]())
        settled = running.scene.settled(endpoint, 150)
        report = load.stop()
    assert settled["EndpointConfigName"] == config and "FailureReason" not in settled
    assert report.failed == 0, report.failures[:3]
    assert report.by_config[config].count > 0
    running.scene.sagemaker.delete_endpoint(EndpointName=endpoint)
    wait_until(lambda: not running.cluster.server.pods("worker"), "its pods are gone", 60)


def test_version_that_does_not_start_leaves_the_old_one_serving(running: Running, tmp_path: Path) -> None:
    good = running.create("broken")
    damaged = Path(running.models[0].removeprefix("file://")).with_name("damaged.tar.gz")
    damaged.write_bytes(b"no archive")
    with running.load("broken") as load:
        running.scene.update("broken", running.scene.config(damaged.as_uri()), linear())
        settled = running.scene.settled("broken", 150)
        report = load.stop()
    assert settled["EndpointConfigName"] == good
    assert "damaged.tar.gz" in settled["FailureReason"]
    assert report.failed == 0, report.failures[:3]


def test_version_that_fails_requests_is_rolled_back_by_its_alarm(running: Running) -> None:
    good = running.create("errors")
    other = train(Path(running.models[0].removeprefix("file://")).parent, 3, features=9, trees=5)
    bad = running.scene.config(other)
    dimensions = {"EndpointName": "errors", "VariantName": "AllTraffic", "EndpointConfigName": bad}
    given = [{"Name": name, "Value": value} for name, value in dimensions.items()]
    running.scene.alarm("errors-high", "Invocation4XXErrors", 0.1, Dimensions=given)
    with running.load("errors") as load:
        running.scene.update("errors", bad, canary(20, 60, alarms=["errors-high"]))
        settled = running.scene.settled("errors", 120)
        report = load.stop()
    assert settled["EndpointConfigName"] == good
    assert "errors-high" in settled["FailureReason"]
    assert report.failures and {one.config for one in report.failures} == {bad}


def test_rollout_goes_on_after_the_controller_and_keeps_its_weights_without_the_api(running: Running) -> None:
    running.create("away")
    with running.load("away") as load:
        config = running.scene.config(running.models[1])
        running.scene.update("away", config, canary(20, 15))
        wait_until(lambda: load.snapshot().by_config.get(config), "the canary's share", 60)
        running.cluster.server.away = True
        before = load.snapshot().total.count
        wait_until(lambda: load.snapshot().total.count > before + 20 * 50, "twenty seconds of requests", 120)
        events = json.dumps(running.scene.describe("away"), default=str)
        assert "Updating" in events  # nothing moved on while the fleets could not be seen
        running.platform.kill_controller()
        running.cluster.server.away = False
        running.platform.start()
        settled = running.scene.settled("away", 150)
        report = load.stop()
    assert settled["EndpointConfigName"] == config
    assert report.failed == 0, report.failures[:3]


def test_paused_rollout_stays_paused_across_a_restart_and_can_be_aborted(running: Running) -> None:
    good = running.create("paused")
    with running.load("paused") as load:
        config = running.scene.config(running.models[1])
        running.scene.update("paused", config, canary(20, 5))
        wait_until(lambda: load.snapshot().by_config.get(config), "the canary's share", 60)
        steer(running, "paused", "pause")
        running.platform.kill_controller()
        running.platform.start()
        before = load.snapshot().total.count
        wait_until(lambda: load.snapshot().total.count > before + 10 * 50, "ten seconds of requests", 60)
        assert running.scene.describe("paused")["EndpointStatus"] == "Updating"  # five seconds would have ended it
        steer(running, "paused", "abort")
        settled = running.scene.settled("paused", 120)
        report = load.stop()
    assert settled["EndpointConfigName"] == good
    assert report.failed == 0, report.failures[:3]


def steer(running: Running, endpoint: str, what: str) -> None:
    url = f"{running.platform.url}/tidegate/v1/endpoints/{endpoint}/rollout/{what}"
    answer = httpx.post(url, json={"by": "test"})
    assert answer.status_code == 200, answer.text
