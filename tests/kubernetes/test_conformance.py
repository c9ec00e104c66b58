"""Every scenario of ``tests/conformance`` on a real cluster: this is what counts for docs/targets.md."""

import contextlib
import json
from collections.abc import Iterator
from dataclasses import replace

import pytest

from tests.conformance.kubernetes_lab import KubernetesLab
from tests.conformance.own_images import COLUMN, serve_in
from tests.conformance.run import run_scenario
from tests.conformance.scenarios import SCENARIOS
from tests.kubernetes import image as images
from tests.kubernetes.cluster.harness import Cluster
from tests.kubernetes.on_cluster import PYTHON, OnCluster, on_cluster

pytestmark = pytest.mark.timeout(900)
PATIENCE = 240.0
"""Seconds. A container that does not start is tried four times, with 10, 20 and 40 seconds between."""
QUICK = {"deploy", "rolling to success", "rollback by error alarm", "pause across a controller restart", "delete"}
"""What CI runs; ``make conformance`` runs all."""
OWN = {"rollback by failed start"}
"""The same of what is not tested with images of the user's elsewhere."""
KINDS = "deployments,replicasets,pods,services,secrets,configmaps,poddisruptionbudgets,horizontalpodautoscalers"


@pytest.fixture(scope="module")
def running(cluster: Cluster) -> Iterator[OnCluster]:
    with on_cluster(cluster, {"TIDEGATE_DRAIN_TIMEOUT": "5", "TIDEGATE_CONTAINERS": "localhost/*"}) as made:
        yield made


@pytest.fixture(scope="module")
def place(cluster: Cluster) -> str:
    """What the cluster is made of, in words."""
    version = json.loads(cluster.kubectl("version", "-o", "json"))["serverVersion"]["gitVersion"]
    node = json.loads(cluster.kubectl("get", "nodes", "-o", "json"))["items"][0]
    runtime = node["status"]["nodeInfo"]["containerRuntimeVersion"].replace("://", " ")
    return f"Kubernetes {version.removeprefix('v')}, {len(cluster.nodes)} nodes with {runtime} on one machine"


@pytest.fixture(scope="module")
def lab(running: OnCluster) -> KubernetesLab:
    @contextlib.contextmanager
    def cut_off() -> Iterator[None]:
        running.cluster.stop_api_server()
        try:
            yield
        finally:
            running.cluster.start_api_server()

    def find(endpoint: str) -> list[str]:
        return running.kubectl("get", KINDS, "-l", f"tidegate.io/endpoint={endpoint}", "-o", "name").split()

    return KubernetesLab(running.platform, lambda: running.gateway, cut_off, find, PATIENCE)


@pytest.mark.parametrize(
    "scenario", [name if name in QUICK else pytest.param(name, marks=pytest.mark.long) for name in SCENARIOS]
)
def test_conforms(lab: KubernetesLab, scenario: str, place: str) -> None:
    run_scenario(lab, scenario, place)


@pytest.mark.parametrize(
    "scenario", [name if name in OWN else pytest.param(name, marks=pytest.mark.long) for name in SCENARIOS]
)
def test_conforms_with_an_image_of_the_users(lab: KubernetesLab, scenario: str, place: str) -> None:
    run_scenario(replace(lab, make_model=serve_in(images.NAME, PYTHON)), scenario, place, of=COLUMN)
