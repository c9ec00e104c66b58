"""A container image of the user's on a real cluster: real pods of the image beside tidegate's worker.

The image is tidegate's own, since the nodes have no other and there is no registry: it is run with a plain server
that knows nothing of tidegate.
"""

import json
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conformance.own_images import SERVER
from tests.features.containers.container_scene import deploy
from tests.kubernetes import image
from tests.kubernetes.cluster.harness import Cluster
from tests.kubernetes.on_cluster import PYTHON, OnCluster, on_cluster
from tidegate.host.platform import wait_until
from tidegate.load import LoadGenerator

pytestmark = pytest.mark.timeout(900)
ROLLOUT = "rollout: {strategy: rolling, batch: 50%, wait: 5s}"
"""It ends pods whose version still gets requests."""
NAME = "own"
PATH = f"/endpoints/{NAME}/invocations"


@pytest.fixture(scope="module")
def running(cluster: Cluster) -> Iterator[OnCluster]:
    with on_cluster(cluster, {"TIDEGATE_CONTAINERS": "localhost/*"}) as made:
        yield made


def ask(running: OnCluster, body: bytes = b"[[1]]") -> Any:
    headers = {"Content-Type": "application/json"}
    request = urllib.request.Request(running.gateway + PATH, body, headers)
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.loads(answer.read())


def release(running: OnCluster, folder: Path, variables: str, code: int = 0) -> str:
    arguments = f'  arguments: [{PYTHON}, -c, "{SERVER}"]'
    lines = (arguments, f"  environment: {{{variables}}}", "instances: 2", ROLLOUT)
    return deploy(running.scene, folder, NAME, image.NAME, *lines, code=code)


def test_an_image_of_the_users_is_updated_without_a_failed_request_and_rolled_back_if_it_does_not_start(
    running: OnCluster, tmp_path: Path
) -> None:
    release(running, tmp_path, 'PREDICTION: "1"')
    assert ask(running) == [1.0]
    told = ask(running, b"about")
    assert told["user"] != 0 and told["no_new_privileges"] == "1" and not told["model_writable"]
    assert not [name for name in told["environment"] if "SECRET" in name or "KEY" in name]
    with LoadGenerator(running.gateway, PATH, b"[[1]]", {"Content-Type": "application/json"}, 30) as load:
        release(running, tmp_path, 'PREDICTION: "2"')
        wait_until(lambda: ask(running) == [2.0], "the new version answers")
        refused = release(running, tmp_path, "FAULT: exits", code=1)
        report = load.stop()
    assert "no configuration was found" in refused
    assert ask(running) == [2.0]
    assert report.failed == 0, report.failures[:3]
    assert len(report.by_config) == 2
    running.delete(NAME)
