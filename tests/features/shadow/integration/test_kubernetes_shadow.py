"""Shadow variants on the Kubernetes target: real controller, gateways and workers; a cluster of processes."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.process_cluster import ProcessCluster, why_not
from tests.scene import Scene, all_at_once, train
from tidegate.host.platform import Platform, wait_until
from tidegate.load import LoadGenerator
from tidegate.targets.kubernetes.names import VARIANT

pytestmark = [pytest.mark.slow, pytest.mark.e2e]
ROW = b"0.1,0.2,0.3,0.4"
CSV = {"Content-Type": "text/csv"}


@pytest.fixture
def cluster() -> Iterator[ProcessCluster]:
    if (reason := why_not()) is not None:
        pytest.skip(reason)
    with ProcessCluster() as running:
        yield running


@pytest.fixture
def platform(cluster: ProcessCluster, tmp_path: Path) -> Iterator[Platform]:
    targets = cluster.write_targets(
        tmp_path,
        volumes=[{"name": "data", "path": str(tmp_path), "host_path": str(tmp_path)}],
    )
    with Platform(environment={"TIDEGATE_TARGETS": str(targets), "TIDEGATE_DRAIN_TIMEOUT": "5"}) as running:
        wait_until(lambda: len(cluster.addresses("gateway")) == 2, "two gateways", 60)
        yield running


def pairs(cluster: ProcessCluster) -> list[dict[str, Any]]:
    """Of pods that are there."""
    found: list[dict[str, Any]] = []
    for path in cluster.folder.glob("*/shadow/pairs.jsonl"):
        found += [json.loads(line) for line in path.read_text().rpartition("\n")[0].splitlines()]
    return found


def comparison(platform: Platform) -> dict[str, Any]:
    answer = httpx.get(f"{platform.url}/tidegate/v1/endpoints/fraud/shadow?seconds=600")
    assert answer.status_code == 200, answer.text
    [found] = answer.json()["comparisons"]
    return dict(found)


def weigh(scene: Scene, weight: float) -> None:
    wish = [{"VariantName": "shadow", "DesiredWeight": weight}]
    scene.sagemaker.update_endpoint_weights_and_capacities(EndpointName="fraud", DesiredWeightsAndCapacities=wish)
    scene.settled("fraud")


def test_requests_are_copied_compared_and_answered_by_the_variant_alone(
    cluster: ProcessCluster, platform: Platform, tmp_path: Path
) -> None:
    scene, models = Scene(platform), [train(tmp_path, number, features=4, trees=5) for number in (1, 2)]
    beside = {"ModelName": scene.model(models[1]), "InitialVariantWeight": 1.0}
    scene.create("fraud", scene.config(models[0], instances=2, shadow=beside))
    gateways = [f"http://{address}:8080" for address in cluster.addresses("gateway")]
    path = "/endpoints/fraud/invocations"
    sent = 0
    for url in gateways:
        with LoadGenerator(url, path, ROW, CSV, 50, connections=4) as load:
            wait_until(lambda load=load: load.snapshot().total.count >= 100, "100 requests", 60)  # type: ignore[misc]
            report = load.stop()
        assert report.failed == 0, report.failures[:3]
        sent += report.total.count
    said = {httpx.post(gateways[0] + path, content=ROW, headers=CSV).text for _ in range(20)}
    assert len(said) == 1, "no answer of the shadow is returned"
    sent += 20
    wait_until(lambda: comparison(platform)["original"]["requests"] >= sent, "the requests are counted")
    wait_until(lambda: comparison(platform)["copied"]["requests"] >= sent, "the shadow's are counted")
    found = wait_until(
        lambda: found if (found := comparison(platform))["compared"] >= sent else None, "all are compared"
    )
    assert (found["failed"], found["dropped"], found["share"]) == (0, 0, 100)
    assert found["agreement"] == 0 and found["largest_difference"] > 0
    assert found["copies"] == found["compared"] == found["with_numbers"] == sent
    kept = pairs(cluster)
    assert kept and {pair["original"]["body"]["text"] for pair in kept} == said
    assert not said & {pair["shadow"]["body"]["text"] for pair in kept}

    # A shadow that is gone, and a share of nothing, change no answer.
    workers = [one["metadata"] for one in cluster.server.pods("worker")]
    [shadow] = [one["name"] for one in workers if one["labels"][VARIANT] == "shadow"]
    with LoadGenerator(gateways[0], path, ROW, CSV, 50, connections=4) as load:
        cluster.kill(shadow)
        weigh(scene, 0.0)
        wait_until(lambda: load.snapshot().total.count >= 200, "200 requests", 60)
        report = load.stop()
    assert report.failed == 0, report.failures[:3]

    def silent() -> bool:
        """Requests were counted, and no copy was."""
        before = comparison(platform)
        for _ in range(20):
            httpx.post(gateways[0] + path, content=ROW, headers=CSV)
        wanted = before["original"]["requests"] + 20
        after = wait_until(
            lambda: found if (found := comparison(platform))["original"]["requests"] >= wanted else None, "counted"
        )
        return bool(after["copies"] + after["dropped"] == before["copies"] + before["dropped"])

    wait_until(silent, "nothing is copied")
    scene.update("fraud", scene.config(models[1], instances=1), all_at_once())
    settled = scene.settled("fraud")
    assert "FailureReason" not in settled and "ShadowProductionVariants" not in settled
