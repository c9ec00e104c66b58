"""The whole machine goes down in a canary and comes back: what that costs counts against no version, and a version
that brings down its own workers is turned back all the same."""

import contextlib
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import psutil
import pytest

from tests.fixtures import STAND_IN, images
from tests.scene import Scene, canary
from tidegate.host.platform import Platform, wait_until
from tidegate.load import LoadGenerator

pytestmark = [pytest.mark.slow, pytest.mark.chaos, pytest.mark.timeout(600)]
ENDPOINT = "fraud"
BAKE = 10


@contextlib.contextmanager
def baking(tmp_path: Path) -> Iterator[tuple[Platform, str, str, LoadGenerator]]:
    """A canary of 50 % whose replicas take seconds to start, guarded by its errors, under load."""
    environment = {"TIDEGATE_IMAGES": str(images(tmp_path)), "TIDEGATE_DRAIN_TIMEOUT": "5"}
    with Platform(environment=environment) as platform:
        scene, slow = Scene(platform), {"START_MS": "3000"}
        old = scene.config(None, image=STAND_IN, environment=slow)
        scene.create(ENDPOINT, old)
        new = scene.config(None, image=STAND_IN, environment=slow)
        dimensions = {"EndpointName": ENDPOINT, "VariantName": "AllTraffic", "EndpointConfigName": new}
        named = [{"Name": name, "Value": value} for name, value in dimensions.items()]
        scene.alarm("errors", "Invocation5XXErrors", 0.1, EvaluationPeriods=1, Dimensions=named)
        headers, path = {"Content-Type": "text/csv"}, f"/endpoints/{ENDPOINT}/invocations"
        with LoadGenerator(platform.url, path, b"1.0", headers, 60, connections=8) as load:
            scene.update(ENDPOINT, new, canary(50, BAKE, alarms=["errors"]))
            wait_until(lambda: new in load.snapshot().by_config, "the new version takes traffic")
            yield platform, old, new, load
            load.stop()


def replicas(platform: Platform, config: str) -> list[psutil.Process]:
    """Workers that serve a config."""
    return [one for folder, one in platform.workers().items() if config in (folder / "replica.json").read_text()]


def kill(processes: list[psutil.Process]) -> None:
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.suspend()  # so that none sees another one die
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            os.kill(process.pid, signal.SIGKILL)


def counted(platform: Platform, name: str, config: str) -> float:
    """What the page for Prometheus says of a version."""
    page = httpx.get(f"{platform.url}/metrics", timeout=30).text
    lines = [line for line in page.splitlines() if line.startswith(f"{name}{{") and f'"{config}"' in line]
    return sum(float(line.split()[-1]) for line in lines)


@pytest.mark.parametrize("proxy", ["proxy dies", "proxy lives"])
def test_a_crash_of_the_machine_turns_no_good_version_back(tmp_path: Path, proxy: str) -> None:
    with baking(tmp_path) as (platform, _, new, load):
        time.sleep(2)  # for an earlier controller to have followed both versions
        everything = platform.processes()
        if proxy == "proxy lives":
            everything = [one for one in everything if "haproxy" not in one.name()]
        kill(everything)
        platform.kill_controller()  # it is dead already, and is waited for
        failed = load.snapshot().failed
        platform.start()
        wait_until(lambda: load.snapshot().failed > failed, "requests fail while nothing is there")
        settled = Scene(platform).settled(ENDPOINT)
        assert settled["EndpointConfigName"] == new, settled
        assert counted(platform, "tidegate_platform_unavailable_total", new) > 0


def test_a_version_that_loses_its_own_workers_is_turned_back(tmp_path: Path) -> None:
    with baking(tmp_path) as (platform, old, new, _):
        deadline = time.monotonic() + 60
        scene = Scene(platform)
        while scene.describe(ENDPOINT)["EndpointStatus"] == "Updating":
            assert time.monotonic() < deadline, "it is turned back"
            kill(replicas(platform, new))
            time.sleep(0.2)
        settled = scene.settled(ENDPOINT)
        assert settled["EndpointConfigName"] == old, settled
        assert settled["FailureReason"]
        assert counted(platform, "tidegate_platform_unavailable_total", new) == 0
