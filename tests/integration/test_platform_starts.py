"""Starts that take too long, and many at once."""

import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.fixtures import STAND_IN, images
from tests.scene import Scene
from tidegate.host.platform import Platform

pytestmark = [pytest.mark.slow, pytest.mark.e2e]


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    table = images(tmp_path_factory.mktemp("images"))
    with Platform(environment={"TIDEGATE_IMAGES": str(table), "TIDEGATE_DRAIN_TIMEOUT": "5"}) as running:
        yield Scene(running)


def starts(scene: Scene, endpoint: str) -> list[Path]:
    """A log for each replica of the latest version that was started."""
    versions = (scene.platform.state / "logs" / endpoint).iterdir()
    return list(max(versions, key=lambda path: int(path.name)).glob("*/*.log"))


def deploy(scene: Scene, endpoint: str, limit: str, environment: dict[str, str]) -> None:
    model = {"image": STAND_IN, "environment": environment}
    body = {"spec": {"endpoint": endpoint, "model": model, "startup_timeout": limit}}
    httpx.put(f"{scene.platform.url}/tidegate/v1/deploy", json=body, timeout=30).raise_for_status()


def test_a_version_that_never_loads_is_turned_back_after_its_limit_and_not_after_three(scene: Scene) -> None:
    deploy(scene, "late", "1m", {})
    assert scene.settled("late")["EndpointStatus"] == "InService"
    began = time.monotonic()
    deploy(scene, "late", "5s", {"START_MS": "3600000"})
    settled = scene.settled("late")
    print(f"turned back {time.monotonic() - began:.1f} s after the update, with a limit of 5 s")
    assert settled["EndpointStatus"] == "InService"
    assert "did not pass the ping health check within 5 s" in settled["FailureReason"]
    assert len(starts(scene, "late")) == 1
    assert httpx.post(f"{scene.platform.url}/endpoints/late/invocations", content=b"1").status_code == 200


def test_models_that_never_load_do_not_keep_another_endpoint_from_starting(scene: Scene) -> None:
    hanging = [f"hangs-{number}" for number in range(12)]
    for name in hanging:
        deploy(scene, name, "10m", {"START_MS": "3600000"})
    began = time.monotonic()
    deploy(scene, "good", "10m", {})
    assert scene.settled("good")["EndpointStatus"] == "InService"
    print(f"in service {time.monotonic() - began:.1f} s after {len(hanging)} that never load")
