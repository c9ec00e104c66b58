"""What hangs and does not end: it is not ready, and another takes its place."""

import os
import signal
import time

import pytest

from tests.integration.test_platform_failures import load, pids
from tests.scene import Scene
from tidegate.host.platform import Platform, wait_until

pytestmark = [pytest.mark.slow, pytest.mark.e2e]


def ready(scene: Scene, endpoint: str) -> int:
    return int(scene.describe(endpoint)["ProductionVariants"][0]["CurrentInstanceCount"])


def test_a_stopped_worker_is_not_ready_and_its_requests_go_to_another(
    platform: Platform, scene: Scene, models: tuple[str, str]
) -> None:
    scene.create("stopped", scene.config(models[0], instances=2))
    with load(scene, "stopped") as running:
        victim = pids(platform, "fleets/stopped/")[0]
        began = time.monotonic()
        os.kill(victim, signal.SIGSTOP)
        wait_until(lambda: ready(scene, "stopped") == 1, "it is not ready")
        noticed = time.monotonic() - began
        wait_until(lambda: "it is stopped, by a signal" in platform.log.read_text(), "it is given up")
        given_up = time.monotonic() - began
        wait_until(lambda: victim not in pids(platform, "fleets/stopped/"), "it is gone")
        wait_until(lambda: ready(scene, "stopped") == 2, "another has taken its place")
        replaced = time.monotonic() - began
        print(f"not ready after {noticed:.1f} s, given up after {given_up:.1f} s, replaced after {replaced:.1f} s")
        report = running.stop()
    assert report.failed == 0, report.failures[:3]


def test_a_fleet_that_was_stopped_while_there_was_no_controller_is_not_in_service(
    platform: Platform, scene: Scene, models: tuple[str, str]
) -> None:
    scene.create("adopted", scene.config(models[0]))
    (victim,) = pids(platform, "fleets/adopted/")
    platform.kill_controller()
    os.kill(victim, signal.SIGSTOP)
    platform.start()
    wait_until(lambda: victim not in pids(platform, "fleets/adopted/"), "it is replaced")
    wait_until(lambda: ready(scene, "adopted") == 1, "another serves")
