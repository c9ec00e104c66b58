"""The store is another than the one that the running fleets are recorded in: none of them answers for what is new."""

import httpx
import pytest

from tests.integration.test_local_restart import workers
from tidegate.testing.platform import Platform, wait_until
from tidegate.testing.scene import Scene

pytestmark = pytest.mark.e2e


def answered_by(platform: Platform, endpoint: str) -> str | None:
    """The config whose model answered; None where nothing did."""
    url, headers = f"{platform.url}/endpoints/{endpoint}/invocations", {"Content-Type": "text/csv"}
    answer = httpx.post(url, content=b"0.1,0.2,0.3,0.4", headers=headers, timeout=30)
    return answer.headers.get("x-tidegate-config") if answer.status_code == 200 else None


def test_an_endpoint_of_the_same_name_in_a_new_store_is_answered_by_its_own_model(models: tuple[str, str]) -> None:
    with Platform() as platform:
        scene = Scene(platform)
        first = scene.config(models[0])
        scene.create("fraud", first)
        assert answered_by(platform, "fraud") == first
        before = workers(platform)
        platform.kill_controller()
        for file in platform.state.glob("tidegate.db*"):
            file.unlink()
        platform.start()
        wait_until(lambda: not before & workers(platform), "the workers without a record are ended")
        assert answered_by(platform, "fraud") is None
        log = platform.log.read_text()
        assert "endpoint fraud has routes and no record" in log
        assert "has no record; stopping it" in log
        second = scene.config(models[1])
        scene.create("fraud", second)
        assert {answered_by(platform, "fraud") for _ in range(20)} == {second}
        assert platform.stop(keep=True) == []
