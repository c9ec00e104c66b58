"""Serverless and shadow variants on a real cluster: requests wait in the gateways, and copies go through them."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from tests.kubernetes.cluster.harness import Cluster
from tests.kubernetes.on_cluster import ROW, WORKER, OnCluster, on_cluster
from tests.scene import all_at_once
from tidegate.host.platform import wait_until

pytestmark = pytest.mark.timeout(900)


@pytest.fixture(scope="module")
def lab(cluster: Cluster) -> Iterator[OnCluster]:
    with on_cluster(cluster, {"TIDEGATE_DRAIN_TIMEOUT": "5"}) as running:
        yield running


def deploy(lab: OnCluster, model: str, **more: Any) -> None:
    data = {"image": "tidegate/xgboost", "data": model}
    bounds = {"memory": "512MiB", "max_concurrency": 20, "idle_after": "2s"}
    spec = {"endpoint": "sleepy", "model": data, "serverless": bounds, **more}
    httpx.put(f"{lab.platform.url}/tidegate/v1/deploy", json={"spec": spec}, timeout=30).raise_for_status()


def invoke(lab: OnCluster) -> httpx.Response:
    url = f"{lab.gateway}/endpoints/sleepy/invocations"
    return httpx.post(url, content=ROW, headers={"Content-Type": "text/csv"}, timeout=90)


def asleep(lab: OnCluster) -> None:
    labels = f"{WORKER},tidegate.io/endpoint=sleepy"
    wait_until(lambda: not lab.pod_names(labels), "no pods", 120, 0.5)


@pytest.mark.long
def test_requests_to_an_endpoint_without_pods_are_held_and_answered_also_through_an_update(lab: OnCluster) -> None:
    deploy(lab, lab.models[0])
    described = lab.scene.settled("sleepy")
    assert described["EndpointStatus"] == "InService", described
    for _ in range(2):
        asleep(lab)
        began = time.monotonic()
        with ThreadPoolExecutor(10) as threads:
            found = list(threads.map(lambda _: invoke(lab), range(10)))
        print(f"10 requests to no pods: answered after {time.monotonic() - began:.1f} s")
        assert [one.status_code for one in found] == [200] * 10, found[0].text
    first = found[0].text
    with lab.load("sleepy", 20) as load:
        deploy(lab, lab.models[1], rollout={"strategy": "canary", "size": "20%", "wait": "5s"})
        settled = lab.scene.settled("sleepy")
        report = load.stop()
    assert "FailureReason" not in settled and report.failed == 0, report.failures[:3]
    assert invoke(lab).text != first
    lab.delete("sleepy")


def test_copies_reach_the_shadows_pods_through_the_gateways(lab: OnCluster) -> None:
    beside = {"ModelName": lab.scene.model(lab.models[1]), "InitialVariantWeight": 1.0}
    config = lab.scene.config(lab.models[0], instances=1, shadow=beside)
    lab.scene.sagemaker.create_endpoint(EndpointName="copied", EndpointConfigName=config)
    described = lab.scene.settled("copied")
    assert described["EndpointStatus"] == "InService", described
    with lab.load("copied", 50) as load:
        wait_until(lambda: load.snapshot().total.count >= 200, "200 requests", 60)
        report = load.stop()
    assert report.failed == 0, report.failures[:3]

    def compared() -> dict[str, Any]:
        answer = httpx.get(f"{lab.platform.url}/tidegate/v1/endpoints/copied/shadow?seconds=600").json()
        return dict(answer["comparisons"][0])

    wait_until(lambda: compared()["copies"] >= 200, "the copies are counted", 60, 0.5)
    found = compared()
    assert (found["failed"], found["dropped"], found["agreement"]) == (0, 0, 0), found
    lab.scene.update("copied", lab.scene.config(lab.models[0], instances=1), all_at_once())
    assert "FailureReason" not in lab.scene.settled("copied")
    lab.delete("copied")
