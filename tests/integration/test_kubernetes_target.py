"""The platform on the Kubernetes target: real controller, gateways and workers; the cluster is one of processes."""

import contextlib
import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.conformance.kubernetes_lab import PROGRAM, KubernetesLab, image_table
from tests.conformance.scenarios import SCENARIOS
from tests.process_cluster import ProcessCluster, why_not
from tests.scene import Scene, canary, linear, train
from tidegate.host.platform import Platform, wait_until
from tidegate.load import LoadGenerator
from tidegate.targets.kubernetes.names import ENDPOINT

pytestmark = [pytest.mark.slow, pytest.mark.e2e]
ROW = b"0.1,0.2,0.3,0.4"
LIKE_OTHERS = ("all at once to success", "linear to success", "rollback by error alarm")
"""Scenarios of which each step is in another one: left to the real cluster."""


@dataclass
class Running:
    cluster: ProcessCluster
    platform: Platform
    scene: Scene
    models: tuple[str, str]

    def gateway(self) -> str:
        """URL of one of the gateways."""
        return f"http://{self.cluster.addresses('gateway')[0]}:8080"

    def load(self, endpoint: str, rate: float = 50) -> LoadGenerator:
        path = f"/endpoints/{endpoint}/invocations"
        return LoadGenerator(self.gateway(), path, ROW, {"Content-Type": "text/csv"}, rate, connections=4)

    def create(self, endpoint: str, instances: int = 1) -> str:
        config = self.scene.config(self.models[0], instances=instances)
        self.scene.sagemaker.create_endpoint(EndpointName=endpoint, EndpointConfigName=config)
        described = self.scene.settled(endpoint)
        assert described["EndpointStatus"] == "InService", described["FailureReason"]
        return config


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
            "TIDEGATE_DRAIN_TIMEOUT": "5",
        }
        with Platform(environment=variables) as platform:
            wait_until(lambda: len(cluster.addresses("gateway")) == 2, "two gateways", 60)
            yield Running(cluster, platform, Scene(platform), models)


@pytest.fixture(scope="module")
def lab(running: Running) -> KubernetesLab:
    server = running.cluster.server

    @contextlib.contextmanager
    def cut_off() -> Iterator[None]:
        server.away = True
        try:
            yield
        finally:
            server.away = False

    def find(endpoint: str) -> list[str]:
        """Of everything, by the label."""
        found = [(key, one["metadata"].get("labels") or {}) for key, one in list(server.objects.items())]
        return ["/".join(key) for key, labels in found if labels.get(ENDPOINT) == endpoint]

    return KubernetesLab(running.platform, running.gateway, cut_off, find, 120.0)


@pytest.mark.parametrize("scenario", [name for name in SCENARIOS if name not in LIKE_OTHERS])
def test_conforms(lab: KubernetesLab, scenario: str) -> None:
    """Not recorded: what counts for docs/targets.md is the real cluster in ``tests/kubernetes``."""
    SCENARIOS[scenario](lab)


def test_version_that_does_not_start_leaves_the_old_one_serving(running: Running, tmp_path: Path) -> None:
    good = running.create("broken")
    damaged = Path(running.models[0].removeprefix("file://")).with_name("damaged.tar.gz")
    damaged.write_bytes(b"no archive")
    with running.load("broken") as load:
        running.scene.update("broken", running.scene.config(damaged.as_uri()), linear())
        settled = running.scene.settled("broken")
        report = load.stop()
    assert settled["EndpointConfigName"] == good
    assert "damaged.tar.gz" in settled["FailureReason"]
    assert report.failed == 0, report.failures[:3]


def test_rollout_goes_on_after_the_controller_and_keeps_its_weights_without_the_api(running: Running) -> None:
    running.create("restarted")
    with running.load("restarted") as load:
        config = running.scene.config(running.models[1])
        running.scene.update("restarted", config, canary(20, 15))
        wait_until(lambda: load.snapshot().by_config.get(config), "the canary's share", 60)
        running.cluster.server.away = True
        before = load.snapshot().total.count
        wait_until(lambda: load.snapshot().total.count > before + 20 * 50, "twenty seconds of requests", 120)
        events = json.dumps(running.scene.describe("restarted"), default=str)
        assert "Updating" in events  # nothing moved on while the fleets could not be seen
        running.platform.kill_controller()
        running.cluster.server.away = False
        running.platform.start()
        settled = running.scene.settled("restarted")
        report = load.stop()
    assert settled["EndpointConfigName"] == config
    assert report.failed == 0, report.failures[:3]
