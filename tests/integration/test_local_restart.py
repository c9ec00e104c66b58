"""A controller that is stopped in each of its ways and started again."""

import json
import signal
import threading
from dataclasses import replace
from pathlib import Path

import httpx
import psutil
import pytest

from tests.fixtures import STAND_IN, images
from tests.scene import Scene, linear
from tidegate.host.platform import Platform, wait_until
from tidegate.load import LoadGenerator

pytestmark = [pytest.mark.slow, pytest.mark.e2e]
FAST = {"TIDEGATE_DRAIN_TIMEOUT": "5"}
ROW = [[0.1, 0.2, 0.3, 0.4]]


def load(platform: Platform, endpoint: str) -> LoadGenerator:
    path, headers = f"/endpoints/{endpoint}/invocations", {"Content-Type": "text/csv"}
    return LoadGenerator(platform.url, path, b"0.1,0.2,0.3,0.4", headers, 50, connections=4)


def workers(platform: Platform) -> set[int]:
    return {process.pid for process in platform.workers().values()}


def signalled(platform: Platform, *numbers: int) -> None:
    """Sends the signals one after the other and waits for the controller's end."""
    controller = platform._controller
    assert controller is not None
    for number in numbers:
        controller.send_signal(number)
    controller.wait(timeout=60)


def test_hang_up_then_up_again_serves_all_the_time(models: tuple[str, str]) -> None:
    with Platform() as platform:
        scene = Scene(platform)
        scene.create("fraud", scene.config(models[0], instances=2))
        before = workers(platform)
        new = scene.config(models[1], instances=2)
        with load(platform, "fraud") as running:
            scene.update("fraud", new, linear(25, 1))
            wait_until(lambda: new in running.snapshot().by_config, "the new version takes traffic")
            signalled(platform, signal.SIGHUP, signal.SIGHUP)
            assert before <= workers(platform)
            platform.start()
            assert scene.settled("fraud")["EndpointConfigName"] == new
            assert running.stop().failed == 0
        assert platform.stop(keep=True) == []


def test_down_in_the_middle_of_a_rollout_then_up_goes_on_with_it(models: tuple[str, str]) -> None:
    with Platform() as platform:
        scene = Scene(platform)
        scene.create("fraud", scene.config(models[0]))
        new = scene.config(models[1])
        scene.update("fraud", new, linear(25, 2))
        wait_until(lambda: len(workers(platform)) == 2, "the new version is started")
        assert platform.stop(keep=True) == []
        platform.start()
        assert scene.settled("fraud")["EndpointConfigName"] == new
        assert scene.invoke("fraud", ROW)["Body"].read()


def test_requests_in_flight_are_answered_however_often_and_how_it_is_asked_to_stop(tmp_path: Path) -> None:
    with Platform(environment={"TIDEGATE_IMAGES": str(images(tmp_path))}) as platform:
        scene = Scene(platform)
        scene.create("slow", scene.config(None, image=STAND_IN, environment={"DELAY_MS": "2000"}))
        answers: list[int] = []

        def ask() -> None:
            url = f"{platform.url}/endpoints/slow/invocations"
            answers.append(httpx.post(url, content=b"1", timeout=30).status_code)

        asking = threading.Thread(target=ask)
        asking.start()
        (worker,) = workers(platform)
        wait_until(lambda: _in_hand(worker) == 1, "the request is in hand")
        signalled(platform, signal.SIGTERM, signal.SIGTERM, signal.SIGHUP)
        asking.join()
        assert answers == [200]
        assert platform.processes() == [], "asked to end, it ended everything"


def test_workers_from_before_there_were_access_keys_do_not_serve_without_a_signature(
    models: tuple[str, str],
) -> None:
    with Platform(environment=FAST) as platform:
        scene = Scene(platform)
        scene.create("fraud", scene.config(models[0]))
        before = workers(platform)
        platform.kill_controller()
        roots = str(Path(models[0].removeprefix("file://")).parent)
        own = {"TIDEGATE_ACCESS_KEYS": "test:test-secret", "TIDEGATE_FILE_ROOTS": roots}
        keyed = replace(platform, environment={**FAST, **own})
        try:
            keyed.start()
            wait_until(lambda: workers(keyed) and not workers(keyed) & before, "they are replaced")
            wait_until(lambda: _served(scene), "signed requests are served")
            url = f"{keyed.url}/endpoints/fraud/invocations"
            headers = {"Authorization": "AWS4-HMAC-SHA256 nonsense", "Content-Type": "text/csv"}
            assert httpx.post(url, content=b"0.1,0.2,0.3,0.4", headers=headers).status_code == 403
        finally:
            keyed.stop(keep=True)


def test_a_start_that_fails_leaves_what_serves_to_the_next(models: tuple[str, str]) -> None:
    with Platform() as platform:
        scene = Scene(platform)
        scene.create("fraud", scene.config(models[0]))
        (worker,) = before = workers(platform)
        door = _socket(worker).with_name("controller.sock")
        platform.kill_controller()
        door.unlink()
        door.mkdir()
        with pytest.raises(RuntimeError, match="cannot listen on"):
            platform.start()
        assert workers(platform) == before
        assert scene.invoke("fraud", ROW)["Body"].read()
        door.rmdir()
        platform.start()
        assert workers(platform) == before


def _served(scene: Scene) -> bool:
    try:
        return bool(scene.invoke("fraud", ROW)["Body"].read())
    except Exception:
        return False


def _in_hand(worker: int) -> int:
    """Requests in the hands of a worker, as it says itself."""
    with httpx.Client(transport=httpx.HTTPTransport(uds=str(_socket(worker)))) as client:
        return int(client.get("http://worker/_tidegate/stats").json()["in_flight"])


def _socket(worker: int) -> Path:
    start = json.loads((Path(psutil.Process(worker).cwd()) / "replica.json").read_bytes())
    return Path(start["socket"])
