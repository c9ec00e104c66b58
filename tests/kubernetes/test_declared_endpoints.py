"""Endpoints that are declared as resources, with real instances and a real server of tidegate."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.kubernetes.cluster.harness import Cluster
from tests.kubernetes.on_cluster import WORKER, OnCluster, on_cluster
from tidegate.host.platform import wait_until

pytestmark = pytest.mark.timeout(900)
DEFINITION = Path(__file__).parents[2] / "deploy" / "helm" / "tidegate" / "crds" / "endpoints.yaml"
KIND = "endpoints.tidegate.io"


@pytest.fixture(scope="module")
def running(cluster: Cluster) -> Iterator[OnCluster]:
    cluster.kubectl("apply", "--validate=false", "-f", str(DEFINITION))  # 1.20 knows no rules of CEL
    cluster.kubectl("wait", "--for=condition=Established", "--timeout=60s", "crd/endpoints.tidegate.io")
    with on_cluster(cluster, further={"endpoint_resources": True}) as made:
        yield made


def apply(running: OnCluster, model: str) -> None:
    document = {
        "apiVersion": "tidegate.io/v1alpha1",
        "kind": "Endpoint",
        "metadata": {"name": "declared", "namespace": running.namespace},
        "spec": {
            "model": {"image": "tidegate/xgboost", "data": model},
            "rollout": {"strategy": "canary", "size": "50%", "wait": "5s", "final_bake": "5s"},
        },
    }
    running.cluster.kubectl("apply", "-f", "-", stdin=yaml.safe_dump(document))


def wait_for(running: OnCluster, condition: str) -> dict[str, Any]:
    running.kubectl("wait", f"--for=condition={condition}", "--timeout=300s", f"{KIND}/declared")
    found: dict[str, Any] = json.loads(running.kubectl("get", f"{KIND}/declared", "-o", "json"))
    return found


def test_a_declared_endpoint_is_served_updated_rolled_back_and_deleted(running: OnCluster) -> None:
    apply(running, running.models[0])
    first = wait_for(running, "Ready")
    assert first["status"]["reason"] == "Serving" and first["status"]["observedGeneration"] == 1
    with running.load("declared", rate=30) as load:
        apply(running, running.models[1])
        wait_until(lambda: wait_for(running, "Ready")["status"]["observedGeneration"] == 2, "the second", 300, 1.0)
        apply(running, running.damaged)
        stalled = wait_for(running, "Stalled")
        report = load.stop()
    assert stalled["status"]["reason"] == "RolledBack" and "damaged.tar.gz" in stalled["status"]["message"]
    assert report.failed == 0, report.failures[:3]
    running.kubectl("delete", f"{KIND}/declared", "--timeout=300s")
    labels = f"{WORKER},tidegate.io/endpoint=declared"
    wait_until(lambda: not running.pod_names(labels), "its pods are gone", 120, 1.0)
