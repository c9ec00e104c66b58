"""The folder of the sockets is wiped, as by a program that cleans up: all is well again within seconds."""

import shutil
import time
from pathlib import Path

import httpx
import pytest

from tests.integration.test_platform_failures import load, pids
from tests.scene import Scene
from tidegate.host.platform import Platform, wait_until

pytestmark = [pytest.mark.slow, pytest.mark.e2e]


def well(scene: Scene, endpoint: str, run: Path) -> bool:
    try:
        healthy = httpx.get(f"{scene.platform.url}/healthz", timeout=5).status_code == 200
        count = scene.describe(endpoint)["ProductionVariants"][0]["CurrentInstanceCount"]
        return healthy and count == 2 and len(list(run.glob("r-*.sock"))) == 2
    except Exception:
        return False


@pytest.mark.parametrize("controller", ["there", "away"])
def test_a_wiped_folder_of_sockets_costs_a_second_of_requests(models: tuple[str, str], controller: str) -> None:
    with Platform() as platform:
        scene = Scene(platform)
        scene.create("fraud", scene.config(models[0], instances=2))
        workers, run = pids(platform, "fleets/fraud/"), platform.state / "run"
        with load(scene, "fraud", rate=50) as running:
            wait_until(lambda: running.snapshot().total.count > 20, "requests")
            if controller == "away":
                platform.kill_controller()
            began = time.monotonic()
            shutil.rmtree(run)
            if controller == "away":
                platform.start()
            wait_until(lambda: well(scene, "fraud", run), "all is well")
            took, known = time.monotonic() - began, running.snapshot().total.count
            wait_until(lambda: running.snapshot().total.count > known + 100, "requests afterwards")
            report = running.stop()
        print(f"well again after {took:.1f} s; {report.failed} of {report.total.count} requests failed")
        assert pids(platform, "fleets/fraud/") == workers, "none had to be started again"
        late = [failure for failure in report.failures if failure.at > report.failures[0].at + took + 1]
        assert not late, late[:3]
        assert platform.stop(keep=True) == []
